"""Human and robot motions: the two forms a clip takes, their files, and the readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.errors import InputError
from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
    from motions.human.motion import HumanMotion
    from motions.human.readers import read_human_motion
    from motions.robot.motion import RobotMotion

__all__ = ["HumanMotion", "InputError", "RobotMotion", "read_human_motion"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "HumanMotion": "motions.human.motion",
        "RobotMotion": "motions.robot.motion",
        "read_human_motion": "motions.human.readers",
    },
)
