"""Humanoid robots: vendor models with our overlay of actuators, gains, limits and names."""

from mimic_base.errors import RobotError
from robots.loader import RobotInfo, available, load, summary
from robots.robot import Robot

__all__ = ["Robot", "RobotError", "RobotInfo", "available", "load", "summary"]
