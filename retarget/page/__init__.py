"""The report of retargeted clips: one self-contained HTML page."""

from retarget.page.curves import ClipCurves, clip_curves
from retarget.page.page import ClipEntry, clip_page, dataset_page

__all__ = ["ClipCurves", "ClipEntry", "clip_curves", "clip_page", "dataset_page"]
