"""MimicKit's frames of root position, rotation vector and joint angles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import quat_log
from motions.robot.formats.format import Format, has
from motions.robot.formats.raw import RawRobotMotion, names, numbers, rate, texts
from motions.robot.formats.trajectory import RobotTrajectory

_LOOP_MODES = {0: False, 1: True}
"""0 clamps at the end, 1 wraps around."""


def read_mimickit(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Frames of root position, root rotation vector and joint angles; loop mode 0 or 1."""
    frames = numbers(path, data, "frames", None, None)
    if frames.shape[1] < 7:
        raise input_error(path, "frames are too short", found=frames.shape[1], expected="7 or more")
    mode = int(np.asarray(data.get("loop_mode", 0)).reshape(-1)[0])
    if mode not in _LOOP_MODES:
        raise input_error(path, "unknown loop_mode", found=mode, expected="0 (clamp) or 1 (wrap)")
    return RawRobotMotion(
        root_pos=frames[:, :3],
        root_rot=frames[:, 3:6],
        joint_pos=frames[:, 6:],
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        loop=_LOOP_MODES[mode],
        name=path.stem,
    )


def write_mimickit(trajectory: RobotTrajectory, _form: Format) -> dict[str, Any]:
    """MimicKit's keys."""
    frames = [trajectory.root_pos, quat_log(trajectory.root_quat), trajectory.joint_pos]
    return {
        "fps": np.array(trajectory.fps),
        "loop_mode": np.array(int(trajectory.loop)),
        "frames": np.concatenate(frames, axis=1),
        "joint_names": texts(trajectory.joint_names),
    }


FORMATS = (
    Format(
        name="mimickit",
        title="MimicKit: frames of root position, rotation vector, joints (pkl read, npz written)",
        extensions=(".npz", ".pkl"),
        joint_orders=("g1-29",),
        read=read_mimickit,
        write=write_mimickit,
        recognise=has("frames"),
    ),
)
