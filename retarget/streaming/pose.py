"""What a live retargeter gives out: one frame of the robot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array
from retarget.streaming.input_filter import Status
from robots.robot import Robot


@dataclass(frozen=True, eq=False)
class RobotPose:
    """One frame of the robot.

    Attributes:
        root_pos: [3] m, z up. root_quat: [4] wxyz. joint_pos: [J] rad, in the robot's order.
        contact: [2] 0..1, that the left, right foot stands.
        status: what became of the source's frame, see `Status`.
    """

    root_pos: Array
    root_quat: Array
    joint_pos: Array
    contact: Array
    status: Status


def waiting_pose(robot: Robot) -> RobotPose:
    """What is given out before the first frame has come: the robot's default pose."""
    return RobotPose(
        np.array([0.0, 0.0, robot.default_root_height]),
        np.array([1.0, 0.0, 0.0, 0.0]),
        robot.default_joint_pos.copy(),
        np.ones(2),
        "waiting",
    )
