"""Editing motions, mostly robot motions: pure functions on generalised coordinates.

What depends on the robot (mirror partners, default pose, limits) comes in as `RobotFacts`; body
poses are left to kinematics afterwards (`python -m retarget.edit`).
"""

from __future__ import annotations

from motions.human.editing import mirror_human
from motions.robot.editing.basic import crop, mirror, time_scale
from motions.robot.editing.facts import JointMirror, RobotFacts
from motions.robot.editing.joining import align, blend, fade_weight, loop, stitch
from motions.robot.editing.ramps import ramp_in, ramp_out

__all__ = [
    "JointMirror",
    "RobotFacts",
    "align",
    "blend",
    "crop",
    "fade_weight",
    "loop",
    "mirror",
    "mirror_human",
    "ramp_in",
    "ramp_out",
    "stitch",
    "time_scale",
]
