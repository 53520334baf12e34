"""Bring in robot motions from a format of your own, checked against the robot.

    python examples/06_robot_motion_format.py

What every format comes down to is a `RobotTrajectory`: base pose and joint angles by name, metres,
radians, wxyz. `complete` adds the pose of every body and refuses what the robot could not do.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import robots
from mimic_base.errors import UserError
from motions.human import demo
from motions.robot.completion import complete
from motions.robot.formats import RobotTrajectory
from retarget import retarget


def read_json_motion(path: Path) -> RobotTrajectory:
    """`{"rate": .., "base": [[x, y, z, qx, qy, qz, qw]], "joints": {name: [degrees]}}`."""
    data = json.loads(path.read_text(encoding="utf-8"))
    base = np.array(data["base"])
    return RobotTrajectory(
        fps=data["rate"],
        root_pos=base[:, :3],
        root_quat=base[:, [6, 3, 4, 5]],  # xyzw in the file, wxyz in memory
        joint_pos=np.radians(np.stack(list(data["joints"].values()), axis=1)),
        joint_names=tuple(data["joints"]),
        name=path.stem,
    )


def main() -> None:
    robot = robots.load("unitree_g1")
    path = Path("squat.json")
    motion = retarget(demo.generate("squat"), robot, fps=30.0)
    base = np.concatenate([motion.body_pos_w[:, 0], motion.body_quat_w[:, 0, [1, 2, 3, 0]]], axis=1)
    joints = dict(zip(motion.joint_names, np.degrees(motion.joint_pos).T.tolist(), strict=True))
    path.write_text(json.dumps({"rate": 30.0, "base": base.tolist(), "joints": joints}))

    trajectory = read_json_motion(path)
    again = complete(trajectory, robot)
    again.save("squat.npz")
    off = np.abs(again.body_pos_w - motion.body_pos_w).max()
    print(f"squat.npz: {again.num_frames} frames, bodies agree to {1e3 * off:.3f} mm")

    # Metres taken for centimetres: refused in one line that says what was found and expected.
    wrong = RobotTrajectory(**{**vars(trajectory), "root_pos": 100 * trajectory.root_pos})
    try:
        complete(wrong, robot)
    except UserError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main()
