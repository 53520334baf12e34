"""Clips for a policy that is to stand: into a pose in which the robot can stay, from anywhere.

python scripts/hold_clips.py CLIP... --out FOLDER [--pose CLIP] [--moments 6] [--seconds 6]

Of each robot motion, from moments spread over it: 0.4 s of the motion, then what `mimic deploy`
makes of `hold` there (`mimic.deploy.playlist.Playlist.settle`), a blend of 0.8 s into the quietest
frame of ``--pose`` (the first clip unless given), and ``--seconds`` of staying in it. Beside them
``stand.npz``, 20 s of that pose.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

import robots
from mimic.deploy import clips as moves
from mimic.deploy.rest import Rest
from mimic.policy.contract import PolicyContract
from mimic.policy.observations import Reference
from motions import RobotMotion
from motions.robot.dataset import find_motion_files
from robots import Robot

FPS = 50.0
BEFORE_S, BLEND_S, STAND_S = 0.4, 0.8, 20.0


def whole(robot: Robot, path: Path) -> Reference:
    """A motion at 50 Hz with all joints and bodies of the robot, in its order."""
    motion = RobotMotion.load(path).resample(FPS)
    motion = motion.with_joint_order(robot.joint_names).with_body_order(robot.body_names)
    return Reference(
        **{
            each.name: np.asarray(getattr(motion, each.name), np.float64)
            for each in fields(Reference)
        }
    )


def in_robots_order(robot: Robot) -> PolicyContract:
    """What `Rest` wants to know of a policy, for one whose order is the robot's."""
    return cast(
        PolicyContract,
        SimpleNamespace(
            joint_names=robot.joint_names,
            body_names=robot.body_names,
            root_body=robot.body_names[0],
            num_joints=robot.num_joints,
            default_joint_pos=robot.default_joint_pos,
        ),
    )


def saved(robot: Robot, reference: Reference, path: Path, source: str) -> None:
    """Write a reference as a robot motion."""
    RobotMotion.from_coordinates(
        robot,
        reference.body_pos_w[:, 0],
        reference.body_quat_w[:, 0],
        reference.joint_pos,
        fps=FPS,
        name=path.stem,
        source=source,
    ).save(path)


def main() -> None:
    """Write the clips."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("motion", type=Path, nargs="+")
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--pose", type=Path, default=None)
    asked.add_argument("--moments", type=int, default=6)
    asked.add_argument("--seconds", type=float, default=6.0)
    options = asked.parse_args()
    paths = [each.path for each in find_motion_files(options.motion)]
    robot = robots.load(RobotMotion.load(paths[0]).robot)
    rest = Rest.of(in_robots_order(robot), robot, [whole(robot, options.pose or paths[0])])
    anchor = robot.body_names.index(robot.anchor_body)
    options.out.mkdir(parents=True, exist_ok=True)
    still = moves.held(rest.pose, 0, round(STAND_S * FPS))
    saved(robot, still, options.out / "stand.npz", "a pose that is held")
    blend = round(BLEND_S * FPS)
    pose = moves.held(rest.pose, 0, blend + round(options.seconds * FPS))
    for path in paths:
        clip = whole(robot, path)
        first = round(BEFORE_S * FPS)
        for at in np.linspace(first, clip.num_frames - 1, options.moments).astype(int):
            into = moves.crossed(clip, int(at), pose, anchor, blend, 1.0 / FPS, meet=blend // 2)
            rows = slice(max(int(at) - first, 0), int(at))
            before = {name: values[rows] for name, values in clip.frame_fields().items()}
            parts = into.frame_fields()
            joined = Reference(**{k: np.concatenate([before[k], parts[k]]) for k in parts})
            source = f"{path.stem}, held at {at / FPS:.2f} s"
            saved(robot, joined, options.out / f"{path.stem}_{int(at):04d}.npz", source)


if __name__ == "__main__":
    main()
