"""A reference that no clip is needed for: the robot in its default pose, moved by a velocity."""

from __future__ import annotations

import numpy as np

from motions.robot.motion import RobotMotion
from robots import Robot

LONGEST_S = 10.0
"""How long a velocity is commanded unless told otherwise."""


def steady_motion(
    robot: Robot,
    velocity: tuple[float, float, float],
    *,
    seconds: float = LONGEST_S,
    fps: float = 50.0,
) -> RobotMotion:
    """A base that goes forwards, to the left (m/s) and turns to the left (rad/s) steadily.

    What a policy commanded through the interface ``velocity`` sees of it is the velocity alone; its
    base says whether the robot has gone where it was sent. Joints stay in the default pose.

    Args:
        velocity: along the base's own heading: forwards, to the left, rate of turn.
    """
    times = np.arange(round(seconds * fps) + 1) / fps
    forwards, left, turning = velocity
    yaw = turning * times
    # The way of a constant velocity along a heading that turns steadily.
    if abs(turning) > 1e-9:
        along, across = np.sin(yaw) / turning, (1.0 - np.cos(yaw)) / turning
    else:
        along, across = times, 0.0 * times
    root = np.stack(
        [
            forwards * along - left * across,
            forwards * across + left * along,
            np.full(len(times), robot.default_root_height),
        ],
        1,
    )
    zeros = np.zeros(len(times))
    quat = np.stack([np.cos(yaw / 2), zeros, zeros, np.sin(yaw / 2)], 1)
    joints = np.tile(robot.default_joint_pos, (len(times), 1))
    name = "velocity " + " ".join(f"{value:g}" for value in velocity)
    return RobotMotion.from_coordinates(
        robot, root, quat, joints, fps=fps, name=name, source="a velocity command"
    )
