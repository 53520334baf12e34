"""Human and robot motions: the two forms a clip takes, their files, and the readers."""

from __future__ import annotations

from mimic_base.errors import InputError
from motions.human.motion import HumanMotion
from motions.human.readers import read_human_motion
from motions.robot.motion import RobotMotion

__all__ = ["HumanMotion", "InputError", "RobotMotion", "read_human_motion"]
