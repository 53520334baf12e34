"""The report of retargeted clips: one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
    from retarget.page.curves import ClipCurves, clip_curves
    from retarget.page.page import ClipEntry, clip_page, dataset_page

__all__ = ["ClipCurves", "ClipEntry", "clip_curves", "clip_page", "dataset_page"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "ClipCurves": "retarget.page.curves",
        "ClipEntry": "retarget.page.page",
        "clip_curves": "retarget.page.curves",
        "clip_page": "retarget.page.page",
        "dataset_page": "retarget.page.page",
    },
)
