"""``python -m retarget.edit``: edit a robot motion and write a complete motion file.

The same as ``python -m motions edit``, with the robot: it can mirror, ramp from the default pose,
and computes the pose of every body of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro

import robots
from mimic_base.command_line import exit_on_user_error
from motions.robot.completion import complete
from motions.robot.editing.cli import EditOptions, edit
from motions.robot.editing.joining import fade_weight
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.motion import RobotMotion
from motions.robot.quality.ground import sole_heights
from motions.robot.robot_facts import robot_facts
from robots.kinematics import forward_kinematics
from robots.robot import Robot


@dataclass(frozen=True, kw_only=True)
class Options(EditOptions):
    """Edit a robot motion. Whatever the order of the options, the steps are: crop, time scale,
    mirror, blend, join, loop, ramps."""

    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    to: str = "robot-motion"
    """Format to write."""


def settle(motion: RobotTrajectory, robot: Robot, head: int, tail: int) -> RobotTrajectory:
    """Put the soles on the ground during ramps of `head` and `tail` frames.

    The height of the lowest sole goes smoothly from zero, in the default pose, to what it is at the
    clip's own end of the ramp; the clip itself is left as it is.
    """
    pos, quat = forward_kinematics(robot, motion.root_pos, motion.root_quat, motion.joint_pos)
    lowest = sole_heights(robot, pos, quat).min(axis=1)
    root = motion.root_pos.copy()
    if head:
        way = fade_weight(np.arange(head) / head)
        root[:head, 2] += way * lowest[head] - lowest[:head]
    if tail:
        last = motion.num_frames - tail - 1
        way = 1.0 - fade_weight(np.arange(1, tail + 1) / tail)
        root[last + 1 :, 2] += way * lowest[last] - lowest[last + 1 :]
    return replace(motion, root_pos=root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Edit one motion; 0 when all went well."""
    options = tyro.cli(Options, args=arguments, prog="python -m retarget.edit")
    robot = robots.load(options.robot)

    def finish(motion: RobotTrajectory, head: int, tail: int) -> RobotMotion:
        motion = motion.with_joint_order(robot.joint_names)
        return complete(settle(motion, robot, head, tail), robot, check=False)

    return edit(options, robot_facts(robot), finish)


if __name__ == "__main__":
    exit_on_user_error(main)
