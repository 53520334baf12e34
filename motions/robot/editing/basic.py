"""Cutting, mirroring and changing the speed of a motion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mimic_base.errors import input_error
from mimic_base.resample import frames_between, stride_positions
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.scene import mirror_scene

if TYPE_CHECKING:
    from robots import Robot

_LEAST_SCALE = 0.01
_REFLECT_POS = np.array([1.0, -1.0, 1.0])
_REFLECT_QUAT = np.array([1.0, -1.0, 1.0, -1.0])


def crop(motion: RobotTrajectory, start: float, end: float | None) -> RobotTrajectory:
    """The part between two times in s (rounded to frames); to its own end when `end` is None.

    Raises `InputError` when the times do not lie inside the clip or leave less than two frames.
    """
    return motion.with_frames(
        *frames_between(motion.num_frames, motion.fps, start, end, motion.where)
    )


def mirror(motion: RobotTrajectory, robot: Robot) -> RobotTrajectory:
    """The motion reflected in the world's x-z plane: left becomes right.

    Which joint is whose mirror image, and with which sign, is found in the robot's kinematics.
    Objects and terrain are reflected too, and exchange left and right in their names.
    Raises `InputError` when the motion has a joint that the robot lacks, or lacks the partner of
    one; `RobotError` when the robot is not symmetric.
    """
    # Here and not above: it brings the physics engine along.
    from robots.symmetry import mirror_map

    found = mirror_map(robot)
    index, sign = [], []
    for name in motion.joint_names:
        column = robot.joint_names.index(name) if name in robot.joint_names else -1
        partner = robot.joint_names[int(found.joint_index[column])] if column >= 0 else None
        if partner is None or partner not in motion.joint_names:
            raise input_error(
                motion.where, f"joint {name} has no mirror partner in the motion",
                fix="mirror before joints are taken out, with the robot the motion is for",
            )  # fmt: skip
        index.append(motion.joint_names.index(partner))
        sign.append(float(found.joint_sign[column]))
    contact = None if motion.contact is None else motion.contact[:, ::-1]
    return replace(
        motion,
        root_pos=motion.root_pos * _REFLECT_POS,
        root_quat=motion.root_quat * _REFLECT_QUAT,
        joint_pos=motion.joint_pos[:, index] * np.array(sign),
        bodies=None,
        contact=contact,
        objects=None if motion.objects is None else motion.objects.mirrored(),
        scene=mirror_scene(motion.scene),
    )


def time_scale(motion: RobotTrajectory, factor: float) -> RobotTrajectory:
    """The same path in `factor` times the time, at the same frame rate (2 is half the speed).

    All speeds are divided by `factor`, accelerations by its square: a slowed jump is no longer
    possible under gravity. Raises `InputError` unless `factor` is from 0.01 to 100.
    """
    if not _LEAST_SCALE <= factor <= 1.0 / _LEAST_SCALE:  # NaN fits nowhere
        raise input_error(
            None,
            "--time-scale stretches or shortens time",
            found=f"{factor:g}",
            expected=f"{_LEAST_SCALE:g} to {1.0 / _LEAST_SCALE:g}",
        )
    if factor == 1.0:
        return motion
    return motion.at_frames(stride_positions(motion.num_frames, 1.0 / factor))
