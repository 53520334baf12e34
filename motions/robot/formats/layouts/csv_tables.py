"""Tables without a heading: root xyz, quaternion, joint angles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from motions.robot.formats.format import Format
from motions.robot.formats.quaternions import store
from motions.robot.formats.raw import RawRobotMotion
from motions.robot.formats.trajectory import RobotTrajectory


def read_csv(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Rows of root xyz, quaternion, joint angles (`data` comes from `read_table`)."""
    table = data["table"]
    return RawRobotMotion(
        root_pos=table[:, :3], root_rot=table[:, 3:7], joint_pos=table[:, 7:], name=path.stem
    )


def write_csv(trajectory: RobotTrajectory, form: Format) -> str:
    """The rows as text, without a heading."""
    rows = np.concatenate(
        [
            trajectory.root_pos,
            store(trajectory.root_quat, form.quaternion),
            trajectory.joint_pos,
        ],
        axis=1,
    )
    lines = (",".join(f"{value:.7f}" for value in row) for row in rows)
    return "\n".join(lines) + "\n"


FORMATS = (
    Format(
        name="unitree-csv",
        title="Unitree's retargeted LAFAN1: xyz, xyzw, joints; no header; 30 fps",
        extensions=(".csv",),
        quaternion="xyzw",
        joint_orders=("g1-29", "g1-23"),
        fps=30.0,
        read=read_csv,
        write=write_csv,
    ),
    Format(
        name="kimodo-csv",
        title="Kimodo's G1 csv: xyz, wxyz, joints; no header; 30 fps",
        extensions=(".csv",),
        joint_orders=("g1-29",),
        fps=30.0,
        read=read_csv,
        write=write_csv,
    ),
)
"""Their files look alike: `motions.robot.formats.detect` tells them apart by the quaternions."""
