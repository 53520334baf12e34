"""What ProtoMotions' retargeting writes and its converter reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from motions.robot.formats.format import Format, has
from motions.robot.formats.raw import RawRobotMotion, names, numbers, rate, texts
from motions.robot.formats.trajectory import RobotTrajectory


def read_protomotions(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Base pose and joint angles over time."""
    root_pos = numbers(path, data, "base_frame_pos", None, 3)
    return RawRobotMotion(
        root_pos=root_pos,
        root_rot=numbers(path, data, "base_frame_wxyz", len(root_pos), 4),
        joint_pos=numbers(path, data, "joint_angles", len(root_pos), None),
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        name=path.stem,
    )


def write_protomotions(trajectory: RobotTrajectory, _form: Format) -> dict[str, Any]:
    """The same keys, and the joints' names."""
    return {
        "base_frame_pos": trajectory.root_pos,
        "base_frame_wxyz": trajectory.root_quat,
        "joint_angles": trajectory.joint_pos,
        "fps": np.array(trajectory.fps),
        "joint_names": texts(trajectory.joint_names),
    }


FORMATS = (
    Format(
        name="protomotions-npz",
        title="ProtoMotions' retargeted npz: base_frame_pos, base_frame_wxyz, joint_angles",
        extensions=(".npz",),
        joint_orders=("g1-29",),
        read=read_protomotions,
        write=write_protomotions,
        recognise=has("base_frame_pos"),
    ),
)
