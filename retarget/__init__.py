"""Human motion to robot reference: calibrate, scale, plan contacts, solve, align, check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
    from motions.robot.quality.metrics import measure
    from retarget.page.table import quality_table
    from retarget.pipeline import retarget
    from retarget.settings import RetargetSettings

__all__ = ["RetargetSettings", "measure", "quality_table", "retarget"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "RetargetSettings": "retarget.settings",
        "measure": "motions.robot.quality.metrics",
        "quality_table": "retarget.page.table",
        "retarget": "retarget.pipeline",
    },
)
