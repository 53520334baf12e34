"""The body of the whole-clip fit: its points, the bones between them, the landmarks they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import norm

Array = NDArray[Any]

_PARTS = ("hip", "knee", "ankle", "heel", "toe", "shoulder", "elbow", "wrist", "hand")
POINTS: tuple[str, ...] = (*(f"{side}_{part}" for part in _PARTS for side in ("left", "right")),
                           "head")  # fmt: skip
"""Points of the body; the hips come first and together: that keeps the solve's band narrow."""
INDEX = {name: i for i, name in enumerate(POINTS)}
FEET: tuple[int, ...] = tuple(INDEX[f"{s}_{p}"] for s in ("left", "right") for p in ("heel", "toe"))
"""Points that may stand on the ground."""

_LANDMARKS: dict[str, tuple[int, ...]] = {"head": (7, 8)}
for _part, _left in (
    ("hip", (23,)), ("knee", (25,)), ("ankle", (27,)), ("heel", (29,)), ("toe", (31,)),
    ("shoulder", (11,)), ("elbow", (13,)), ("wrist", (15,)), ("hand", (17, 19)),
):  # fmt: skip
    _LANDMARKS[f"left_{_part}"] = _left
    _LANDMARKS[f"right_{_part}"] = tuple(i + 1 for i in _left)

_RIGID_M, _TRUNK_M, _NECK_M = 0.006, 0.025, 0.03
_SIDED_BONES = (
    ("hip", "knee", _RIGID_M), ("knee", "ankle", _RIGID_M), ("ankle", "heel", _RIGID_M),
    ("ankle", "toe", _RIGID_M), ("heel", "toe", _RIGID_M), ("shoulder", "elbow", _RIGID_M),
    ("elbow", "wrist", _RIGID_M), ("wrist", "hand", 2 * _RIGID_M), ("hip", "shoulder", _TRUNK_M),
)  # fmt: skip


def _bones() -> tuple[tuple[int, int, int, float], ...]:
    """First point, second point, number of the length that both sides share, tolerance m."""
    rows: list[tuple[int, int, int, float]] = [
        (INDEX["left_hip"], INDEX["right_hip"], 0, _RIGID_M),
        (INDEX["left_shoulder"], INDEX["right_shoulder"], 1, _TRUNK_M),
    ]
    for number, (a, b, tolerance) in enumerate(_SIDED_BONES, start=2):
        rows += [(INDEX[f"{s}_{a}"], INDEX[f"{s}_{b}"], number, tolerance)
                 for s in ("left", "right")]  # fmt: skip
    last = 2 + len(_SIDED_BONES)
    rows += [
        (INDEX["left_hip"], INDEX["right_shoulder"], last, _TRUNK_M),
        (INDEX["right_hip"], INDEX["left_shoulder"], last, _TRUNK_M),
        (INDEX["left_shoulder"], INDEX["head"], last + 1, _NECK_M),
        (INDEX["right_shoulder"], INDEX["head"], last + 1, _NECK_M),
    ]
    return tuple(rows)


_ROWS = _bones()
BONE_A: Array = np.array([r[0] for r in _ROWS])
BONE_B: Array = np.array([r[1] for r in _ROWS])
BONE_GROUP: Array = np.array([r[2] for r in _ROWS])
BONE_TOLERANCE: Array = np.array([r[3] for r in _ROWS])

FOLD_A: Array = np.array([INDEX[n] for n in ("left_hip", "right_hip", "left_shoulder",
                                             "right_shoulder")])  # fmt: skip
FOLD_MIDDLE: Array = np.array([INDEX[n] for n in ("left_knee", "right_knee", "left_elbow",
                                                  "right_elbow")])  # fmt: skip
FOLD_B: Array = np.array([INDEX[n] for n in ("left_ankle", "right_ankle", "left_wrist",
                                             "right_wrist")])  # fmt: skip
_MOST_FLEXED = np.radians(155.0)


def points_of(landmarks: Array) -> Array:
    """The body's points [T, P, D] of BlazePose's landmarks [T, 33, D]."""
    return np.stack([landmarks[:, list(_LANDMARKS[n])].mean(axis=1) for n in POINTS], axis=1)


def bone_lengths(pos: Array) -> Array:
    """Median length of every bone in `pos` [T, P, 3], left and right alike, [B] m."""
    length = np.median(norm(pos[:, BONE_A] - pos[:, BONE_B]), axis=0)
    groups = np.bincount(BONE_GROUP, weights=length) / np.bincount(BONE_GROUP)
    return groups[BONE_GROUP]


def least_reach(lengths: Array) -> Array:
    """How near the ends of a limb come at full flexion of knee or elbow (155 deg), [4] m."""
    near = []
    for a, middle, b in zip(FOLD_A, FOLD_MIDDLE, FOLD_B, strict=True):
        first = lengths[(a == BONE_A) & (middle == BONE_B)][0]
        second = lengths[(middle == BONE_A) & (b == BONE_B)][0]
        square = first**2 + second**2 + 2 * first * second * np.cos(_MOST_FLEXED)
        near.append(np.sqrt(max(square, 0.0)))
    return np.array(near)
