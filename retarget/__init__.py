"""Human motion to robot reference: calibrate, scale, plan contacts, solve, align, check."""

from __future__ import annotations

from motions.robot.quality.metrics import measure
from retarget.page.table import quality_table
from retarget.pipeline import RetargetSettings, retarget

__all__ = ["RetargetSettings", "measure", "quality_table", "retarget"]
