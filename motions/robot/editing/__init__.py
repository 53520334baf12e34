"""Editing motions, mostly robot motions: pure functions on generalised coordinates.

What depends on the robot (mirror partners, default pose, limits) takes a `robots.Robot`; body poses
are left to kinematics afterwards (`motions.robot.completion`).
"""

from __future__ import annotations

from motions.human.editing import mirror_human
from motions.robot.editing.basic import crop, mirror, time_scale
from motions.robot.editing.joining import align, blend, fade_weight, loop, stitch
from motions.robot.editing.ramps import ramp_in, ramp_out, settle

__all__ = [
    "align",
    "blend",
    "crop",
    "fade_weight",
    "loop",
    "mirror",
    "mirror_human",
    "ramp_in",
    "ramp_out",
    "settle",
    "stitch",
    "time_scale",
]
