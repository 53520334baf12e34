"""Humanoid robots: vendor models with our overlay of actuators, gains, limits and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.errors import RobotError
from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
    from robots.loader import RobotInfo, available, load, summary
    from robots.robot import Robot

__all__ = ["Robot", "RobotError", "RobotInfo", "available", "load", "summary"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Robot": "robots.robot",
        "RobotInfo": "robots.loader",
        "available": "robots.loader",
        "load": "robots.loader",
        "summary": "robots.loader",
    },
)
