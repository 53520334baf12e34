"""Names of the body's segments, and the paths of their axes."""

from __future__ import annotations

from dataclasses import dataclass

from mimic_base.vectors import Array

SIDES = ("left", "right")
# Segment -> roles at its two ends; the segment's link is the body of the first role.
LIMBS = {
    **{f"{s}_thigh": (f"{s}_hip", f"{s}_knee") for s in SIDES},
    **{f"{s}_shank": (f"{s}_knee", f"{s}_ankle") for s in SIDES},
    **{f"{s}_upper_arm": (f"{s}_shoulder", f"{s}_elbow") for s in SIDES},
    **{f"{s}_forearm": (f"{s}_elbow", f"{s}_wrist") for s in SIDES},
}
SEGMENTS = (
    "pelvis",
    "chest",
    *LIMBS,
    *(f"{s}_foot" for s in SIDES),
    *(f"{s}_hand" for s in SIDES),
)


@dataclass(frozen=True)
class SegmentTrack:
    """Path of a segment's two axes (meanings as in `robot_frames.LinkFrame`)."""

    primary: Array
    """[T, 3] unit."""
    secondary: Array
    """[T, 3] unit, perpendicular to `primary`."""
    confidence: Array
    """How well the secondary axis is known, 0..1, [T]."""
