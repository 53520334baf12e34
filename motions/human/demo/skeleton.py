"""The adult skeleton of the generated clips: 1.75 m, T-pose at rest.

Segment lengths, masses and mass centres follow the proportions of D. A. Winter, "Biomechanics
and Motor Control of Human Movement" (4th ed., ch. 4), rounded. Joint names are those of common
motion-capture skeletons. Body frame at rest: x forward, y left, z up, metres.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MIDLINE: tuple[tuple[str, str | None, tuple[float, float, float]], ...] = (
    ("Hips", None, (0.0, 0.0, 0.95)),
    ("Spine", "Hips", (-0.01, 0.0, 0.08)),
    ("Spine1", "Spine", (0.0, 0.0, 0.115)),
    ("Spine2", "Spine1", (0.0, 0.0, 0.115)),
    ("Neck", "Spine2", (0.0, 0.0, 0.25)),
    ("Head", "Neck", (0.02, 0.0, 0.10)),
)
_LEG: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("UpLeg", "Hips", (0.0, 0.09, -0.015)),
    ("Leg", "UpLeg", (0.0, 0.0, -0.43)),
    ("Foot", "Leg", (0.0, 0.0, -0.425)),
    ("Toe", "Foot", (0.135, 0.0, -0.055)),
)
_ARM: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("Shoulder", "Spine2", (0.01, 0.04, 0.19)),
    ("Arm", "Shoulder", (0.0, 0.14, 0.0)),
    ("ForeArm", "Arm", (0.0, 0.30, 0.0)),
    ("Hand", "ForeArm", (0.0, 0.25, 0.0)),
)
_ENDS: dict[str, tuple[float, float, float]] = {
    "Head": (0.0, 0.0, 0.15),
    "Toe": (0.065, 0.0, 0.0),
    "Hand": (0.0, 0.18, 0.0),
}

THIGH, SHANK = 0.43, 0.425
ANKLE_HEIGHT = 0.08
TOE_FORWARD, TOE_HEIGHT = 0.135, 0.025
HEEL_BACK = 0.055
"""Distance of the heel behind the ankle joint."""
TOE_TIP = 0.20
"""Distance of the tip of the toes in front of the ankle joint."""
FOOT_HALF_WIDTH = 0.045


@dataclass(frozen=True)
class Segment:
    """A rigid part for the mass model, between two joints (or a joint and an end site)."""

    joint: str
    to: str | None
    mass: float
    """Fraction of the body mass."""
    centre: float
    """Mass centre, as a fraction of the way from `joint` to `to`."""
    gyration: float
    """Radius of gyration about the mass centre, as a fraction of the length."""


def _sided(
    table: tuple[tuple[str, str, tuple[float, float, float]], ...], side: str
) -> Iterator[tuple[str, str, tuple[float, float, float]]]:
    sign = 1.0 if side == "Left" else -1.0
    for name, parent, (x, y, z) in table:
        above = parent if parent in ("Hips", "Spine2") else side + parent
        yield side + name, above, (x, sign * y, z)


_TABLE = (
    _MIDLINE[0],
    *_sided(_LEG, "Left"),
    *_sided(_LEG, "Right"),
    *_MIDLINE[1:],
    *_sided(_ARM, "Left"),
    *_sided(_ARM, "Right"),
)

NAMES: tuple[str, ...] = tuple(row[0] for row in _TABLE)
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
PARENTS: tuple[int, ...] = tuple(-1 if row[1] is None else INDEX[row[1]] for row in _TABLE)
OFFSETS: NDArray[np.float64] = np.array([row[2] for row in _TABLE])
"""Offset of each joint from its parent at rest, [J, 3]."""

END_OFFSETS: dict[str, NDArray[np.float64]] = {}
for _name in NAMES:
    _key = _name.removeprefix("Left").removeprefix("Right")
    if _key in _ENDS:
        _mirror = np.array([1.0, -1.0 if _name.startswith("Right") else 1.0, 1.0])
        END_OFFSETS[_name] = np.array(_ENDS[_key]) * _mirror

ROLES: dict[str, str] = {
    "pelvis": "Hips",
    "spine": "Spine",
    "chest": "Spine2",
    "neck": "Neck",
    "head": "Head",
}
for _side in ("left", "right"):
    for _role, _joint in {
        "hip": "UpLeg",
        "knee": "Leg",
        "ankle": "Foot",
        "toe": "Toe",
        "shoulder": "Arm",
        "elbow": "ForeArm",
        "wrist": "Hand",
    }.items():
        ROLES[f"{_side}_{_role}"] = _side.capitalize() + _joint

SEGMENTS: tuple[Segment, ...] = (
    Segment("Hips", "Spine1", 0.142, 0.0, 0.5),
    Segment("Spine1", "Spine2", 0.139, 0.0, 0.6),
    Segment("Spine2", "Neck", 0.216, 0.4, 0.35),
    Segment("Head", None, 0.081, 0.4, 0.5),
    *(
        Segment(f"{side}{name}", f"{side}{to}" if to else None, mass, centre, gyration)
        for side in ("Left", "Right")
        for name, to, mass, centre, gyration in (
            ("UpLeg", "Leg", 0.100, 0.433, 0.323),
            ("Leg", "Foot", 0.0465, 0.433, 0.302),
            ("Foot", "Toe", 0.0145, 0.5, 0.475),
            ("Arm", "ForeArm", 0.028, 0.436, 0.322),
            ("ForeArm", "Hand", 0.016, 0.430, 0.303),
            ("Hand", None, 0.006, 0.5, 0.3),
        )
    ),
)
