"""Human and robot motions: the two forms a clip takes, their files, and the readers."""

from __future__ import annotations

from motions.errors import InputError
from motions.human import HumanMotion
from motions.readers import read_human_motion
from motions.robot_motion import RobotMotion

__all__ = ["HumanMotion", "InputError", "RobotMotion", "read_human_motion"]
