"""Cutting, mirroring and changing the speed of a motion."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from motions.editing.facts import JointMirror
from motions.errors import input_error
from motions.resample import check_fps
from motions.robot_formats.trajectory import RobotTrajectory

_REFLECT_POS = np.array([1.0, -1.0, 1.0])
_REFLECT_QUAT = np.array([1.0, -1.0, 1.0, -1.0])


def crop(motion: RobotTrajectory, start: float, end: float | None) -> RobotTrajectory:
    """The part between two times in s (rounded to frames); to its own end when `end` is None.

    Raises `InputError` when the times do not lie inside the clip or leave less than two frames.
    """
    last = motion.duration if end is None else end
    half = 0.5 / motion.fps
    if not (0.0 <= start <= last - half and last <= motion.duration + half):  # NaN fits nowhere
        raise input_error(
            motion.where,
            "--start and --end must lie inside the clip, at least a frame apart",
            found=f"{start:g} s to {last:g} s",
            expected=f"times between 0 and {motion.duration:.2f} s",
        )
    return motion.with_frames(round(start * motion.fps), round(last * motion.fps) + 1)


def mirror(motion: RobotTrajectory, joints: JointMirror) -> RobotTrajectory:
    """The motion reflected in the world's x-z plane: left becomes right.

    Raises `InputError` when `joints` does not know a joint of the motion.
    """
    index, sign = [], []
    for name in motion.joint_names:
        partner = joints.partner.get(name)
        if partner is None or partner not in motion.joint_names:
            raise input_error(
                motion.where, f"joint {name} has no mirror partner in the motion",
                fix="mirror before joints are taken out, with the robot the motion is for",
            )  # fmt: skip
        index.append(motion.joint_names.index(partner))
        sign.append(joints.sign[name])
    contact = None if motion.contact is None else motion.contact[:, ::-1]
    return replace(
        motion,
        root_pos=motion.root_pos * _REFLECT_POS,
        root_quat=motion.root_quat * _REFLECT_QUAT,
        joint_pos=motion.joint_pos[:, index] * np.array(sign),
        bodies=None,
        contact=contact,
    )


def time_scale(motion: RobotTrajectory, factor: float) -> RobotTrajectory:
    """The same path in `factor` times the time, at the same frame rate (2 is half the speed).

    All speeds are divided by `factor`, accelerations by its square: a slowed jump is no longer
    possible under gravity. Raises `InputError` unless `factor` is positive and finite.
    """
    if not math.isfinite(factor) or factor <= 0:
        raise input_error(None, "--time-scale must be above zero", found=f"{factor:g}")
    fps = motion.fps
    return replace(replace(motion, fps=check_fps(fps / factor)).resample(fps), fps=fps)
