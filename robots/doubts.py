"""What is unsure about a robot's anatomy, for those who are about to use it."""

from __future__ import annotations

from robots.frames import robot_frames
from robots.robot import Robot


def doubts_of(robot: Robot) -> tuple[str, ...]:
    """One line for each thing that its description, or its model as read now, is unsure of."""
    return tuple(dict.fromkeys([*robot.doubts, *robot_frames(robot).doubts]))
