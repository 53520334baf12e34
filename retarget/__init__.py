"""Human motion to robot reference: calibrate, scale, plan contacts, solve, align, check."""

from __future__ import annotations

from retarget.metrics import measure
from retarget.pipeline import RetargetSettings, retarget
from retarget.report import quality_table

__all__ = ["RetargetSettings", "measure", "quality_table", "retarget"]
