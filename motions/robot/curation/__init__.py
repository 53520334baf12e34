"""Curation: is a robot motion fit to be tracked? Keep, repair or reject, chunk by chunk."""

from __future__ import annotations

from motions.robot.curation.faults import Fault, find_faults
from motions.robot.curation.judge import Chunk, ClipVerdict, curate, thresholds_from
from motions.robot.curation.measures import Measures
from motions.robot.curation.settings import CurationSettings, FaultSettings, Thresholds

__all__ = [
    "Chunk",
    "ClipVerdict",
    "CurationSettings",
    "Fault",
    "FaultSettings",
    "Measures",
    "Thresholds",
    "curate",
    "find_faults",
    "thresholds_from",
]
