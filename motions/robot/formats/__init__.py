"""Robot motions of other tools: read into, and written from, generalised coordinates."""

from __future__ import annotations

from motions.robot.formats.detect import EXTENSIONS, ReadOptions
from motions.robot.formats.formats import FORMATS, WRITTEN
from motions.robot.formats.reading import read_robot_trajectory
from motions.robot.formats.trajectory import BodyPoses, RobotTrajectory, trajectory_of

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "WRITTEN",
    "BodyPoses",
    "ReadOptions",
    "RobotTrajectory",
    "read_robot_trajectory",
    "trajectory_of",
]
