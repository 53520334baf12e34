"""Curation: is a robot motion fit to be tracked? Keep, repair or reject, chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
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

__getattr__ = lazy_attributes(
    __name__,
    {
        "Chunk": "motions.robot.curation.judge",
        "ClipVerdict": "motions.robot.curation.judge",
        "CurationSettings": "motions.robot.curation.settings",
        "Fault": "motions.robot.curation.faults",
        "FaultSettings": "motions.robot.curation.settings",
        "Measures": "motions.robot.curation.measures",
        "Thresholds": "motions.robot.curation.settings",
        "curate": "motions.robot.curation.judge",
        "find_faults": "motions.robot.curation.faults",
        "thresholds_from": "motions.robot.curation.judge",
    },
)
