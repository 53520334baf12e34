"""Robot motions of other tools: read into, and written from, generalised coordinates."""

from __future__ import annotations

from motions.robot_formats.detect import EXTENSIONS, ReadOptions
from motions.robot_formats.formats import FORMATS, WRITTEN
from motions.robot_formats.reading import read_robot_trajectory
from motions.robot_formats.trajectory import BodyPoses, RobotTrajectory, trajectory_of

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
