"""Marker sets of whole-body motion capture, and the joint centres under their markers.

The centres are estimates for adults: hips by the regression of Harrington et al. (2007), shoulders
by Rab et al. (2002), other joints half a joint's width inside the marker on its outer side. A
capture program with the person's own measures does better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import cross, dot, norm
from motions.human.motion import SIDES

Array = NDArray[Any]

# Half the width of a joint and the radius of a marker, m.
_MARKER = 0.007
_HALF_KNEE, _HALF_ANKLE, _HALF_ELBOW = 0.05, 0.035, 0.038
_TOE_THICKNESS = 0.02


@dataclass(frozen=True)
class MarkerSet:
    """A published set: canonical marker to the labels it goes by."""

    name: str
    title: str
    labels: Mapping[str, tuple[str, ...]]
    needed: tuple[str, ...]
    how: str = (
        "hips Harrington 2007, shoulders Rab 2002, knees, ankles and elbows half an adult's joint "
        "width inside their markers"
    )


def _both(*marks: str) -> tuple[str, ...]:
    return tuple(f"{side}{mark}" for side in "LR" for mark in marks)


_NEEDED = (
    *_both("FHD", "SHO", "ELB", "WRA", "WRB", "ASI", "PSI", "KNE", "ANK", "HEE", "TOE"),
    "C7",
    "CLAV",
)
_OPTIONAL = (*_both("BHD", "FIN"), "T10", "STRN")
_SAME = {mark: (mark,) for mark in (*_NEEDED, *_OPTIONAL)}

SETS: tuple[MarkerSet, ...] = (
    MarkerSet(
        "plug-in-gait",
        "Plug-in Gait full body (Vicon)",
        {
            **_SAME,
            "LASI": ("LASI", "LASIS", "LIAS"),
            "RASI": ("RASI", "RASIS", "RIAS"),
            "LPSI": ("LPSI", "LPSIS", "LIPS", "SACR"),
            "RPSI": ("RPSI", "RPSIS", "RIPS", "SACR"),
        },
        _NEEDED,
    ),
    MarkerSet(
        "cmu41",
        "CMU, 41 markers (Vicon)",
        {
            **_SAME,
            "LASI": ("LFWT",),
            "RASI": ("RFWT",),
            "LPSI": ("LBWT",),
            "RPSI": ("RBWT",),
            "LWRA": ("LWRA", "LIWR"),
            "LWRB": ("LWRB", "LOWR"),
            "RWRA": ("RWRA", "RIWR"),
            "RWRB": ("RWRB", "ROWR"),
        },
        _NEEDED,
    ),
)


def match_set(labels: Sequence[str]) -> tuple[MarkerSet | None, dict[str, str]]:
    """The first set all of whose needed markers are there, and canonical name to label.

    Without such a set, the names of the one that comes nearest.
    """
    by_name = {label.upper(): label for label in reversed(labels)}
    best: dict[str, str] = {}
    for markers in SETS:
        names = {
            mark: by_name[alias]
            for mark, aliases in markers.labels.items()
            for alias in reversed(aliases)
            if alias in by_name
        }
        if all(mark in names for mark in markers.needed):
            return markers, names
        if sum(m in names for m in markers.needed) >= sum(m in best for m in markers.needed):
            best = names
    return None, best


def joint_centres(found: MarkerSet, markers: Mapping[str, Array], unit: float) -> dict[str, Array]:
    """Joint centres [T, 3] by name, in the unit of the markers [T, 3] (`unit` m)."""
    metre = 1.0 / unit
    asis, psis = _middle(markers, "ASI"), _middle(markers, "PSI")
    left = _unit(markers["LASI"] - markers["RASI"])
    ahead = asis - psis
    ahead = _unit(ahead - _dot(ahead, left) * left)
    up = cross(ahead, left)
    width = _size(markers["LASI"] - markers["RASI"])
    depth = _size(asis - psis)
    head = [markers[m] for m in ("LFHD", "RFHD", "LBHD", "RBHD") if m in markers]
    neck = 0.5 * (markers["C7"] + markers["CLAV"])
    chest = 0.5 * (markers["T10"] + markers["STRN"]) if {"T10", "STRN"} <= set(markers) else None
    pelvis = 0.5 * (asis + psis)
    trunk = _unit(neck - pelvis)
    centres = {
        "pelvis": pelvis,
        # Without markers on the breast bone: where the thorax has its middle.
        "chest": chest if chest is not None else pelvis + 0.6 * (neck - pelvis),
        "neck": neck,
        "head": np.mean(head, axis=0),
    }
    acromia = _size(markers["LSHO"] - markers["RSHO"])
    for side in SIDES:
        s, sign = side[0].upper(), 1.0 if side == "left" else -1.0
        outward = sign * left
        # Harrington et al., J. Biomech. 40 (2007): from the middle of the ASIS, metres.
        hip = (
            asis
            - (0.24 * depth + 0.0099 * metre) * ahead
            - (0.30 * width + 0.0109 * metre) * up
            + (0.33 * width + 0.0073 * metre) * outward
        )
        knee, ankle, toe = _lower_leg(markers, s, sign, hip, left, metre)
        # Rab et al., Gait & Posture 15 (2002): 17 % of the acromia's distance below them.
        shoulder = markers[f"{s}SHO"] - 0.17 * acromia * trunk
        wrist = 0.5 * (markers[f"{s}WRA"] + markers[f"{s}WRB"])
        inside = (_HALF_ELBOW + _MARKER) * metre
        elbow = _elbow(shoulder, markers[f"{s}ELB"], wrist, inside, sign)
        named = {
            "hip": hip,
            "knee": knee,
            "ankle": ankle,
            "toe": toe,
            "shoulder": shoulder,
            "elbow": elbow,
            "wrist": wrist,
        }
        if f"{s}FIN" in markers:
            named["hand"] = markers[f"{s}FIN"]
        centres.update({f"{side}_{part}": centre for part, centre in named.items()})
    return centres


def _lower_leg(
    markers: Mapping[str, Array], s: str, sign: float, hip: Array, left: Array, metre: float
) -> tuple[Array, Array, Array]:
    """Centres of knee, ankle and ball of the foot.

    Both hinges are taken to lie across the foot; where the foot points along the shank, the pelvis
    keeps the direction defined.
    """
    knee, ankle = markers[f"{s}KNE"], markers[f"{s}ANK"]
    shank = _unit(knee - ankle)
    foot = _unit(markers[f"{s}TOE"] - markers[f"{s}HEE"])
    across = cross(shank, foot) + 0.2 * left
    thigh = _unit(hip - knee)
    at_knee = _unit(across - _dot(across, thigh) * thigh)
    at_ankle = _unit(across - _dot(across, shank) * shank)
    down = _unit(cross(_unit(across - _dot(across, foot) * foot), foot))
    return (
        knee - sign * (_HALF_KNEE + _MARKER) * metre * at_knee,
        ankle - sign * (_HALF_ANKLE + _MARKER) * metre * at_ankle,
        markers[f"{s}TOE"] + _TOE_THICKNESS * metre * down,
    )


def _elbow(shoulder: Array, marker: Array, wrist: Array, inside: float, sign: float) -> Array:
    """The elbow's centre: `inside` of its marker, square to the plane of the bent arm.

    That plane holds the line from shoulder to wrist and passes the marker at that distance; of the
    two that do, the one in which the elbow points back.
    """
    line = _unit(wrist - shoulder)
    away = marker - shoulder
    away = away - _dot(away, line) * line
    reach = np.maximum(norm(away)[..., None], 1e-9)
    outward = away / reach
    bend = np.sqrt(np.maximum(reach**2 - inside**2, 0.0))
    normal = _unit(inside * outward + sign * bend * cross(line, outward))
    return marker - inside * normal


def _middle(markers: Mapping[str, Array], mark: str) -> Array:
    return 0.5 * (markers[f"L{mark}"] + markers[f"R{mark}"])


def _unit(v: Array) -> Array:
    return v / np.maximum(norm(v)[..., None], 1e-12)


def _dot(a: Array, b: Array) -> Array:
    return dot(a, b)[..., None]


def _size(v: Array) -> float:
    return float(np.median(norm(v)))
