"""From task-space targets to a skeleton pose: analytic two-bone legs, spine split, arm angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.rotations import matrix_to_quat, quat_to_matrix, slerp
from motions.human.demo import skeleton
from motions.human.demo.skeleton import INDEX

Array = NDArray[Any]
SIDES = ("Left", "Right")


def rot(axis: str, angle: ArrayLike) -> Array:
    """Rotation matrices [..., 3, 3] about one coordinate axis."""
    angle = np.asarray(angle, dtype=np.float64)
    c, s, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
    rows = {
        "x": ((one, zero, zero), (zero, c, -s), (zero, s, c)),
        "y": ((c, zero, s), (zero, one, zero), (-s, zero, c)),
        "z": ((c, -s, zero), (s, c, zero), (zero, zero, one)),
    }[axis]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def yaw_pitch_roll(yaw: ArrayLike, pitch: ArrayLike, roll: ArrayLike) -> Array:
    """World rotation from heading, forward lean (positive: nose down) and roll (left side up)."""
    return rot("z", yaw) @ rot("y", pitch) @ rot("x", roll)


@dataclass(frozen=True)
class Arms:
    """Joint angles [T, 2] (left, right) in radians, zero with the arms hanging straight."""

    flexion: Array
    abduction: Array
    internal: Array
    elbow: Array
    pronation: Array


@dataclass(frozen=True)
class Targets:
    """What a pose has to satisfy. Positions in metres, world frame z up; [T] frames."""

    pelvis: Array
    """[T, 3] hip-centre position."""
    pelvis_rot: Array
    chest_rot: Array
    head_rot: Array
    """[T, 3, 3] world rotations."""
    ankle: Array
    """[T, 2, 3] ankle positions, left and right."""
    foot_rot: Array
    toe_rot: Array
    """[T, 2, 3, 3] world rotations."""
    knee_forward: Array
    """[T, 2, 3] horizontal direction in which each knee bends."""
    arms: Arms


def solve(targets: Targets) -> tuple[Array, Array]:
    """Joint positions [T, J, 3] and world rotations [T, J, 3, 3] of the skeleton."""
    frames, joints = len(targets.pelvis), len(skeleton.NAMES)
    rotation = np.zeros((frames, joints, 3, 3))
    rotation[:, INDEX["Hips"]] = targets.pelvis_rot
    _spine(rotation, targets)
    for k, side in enumerate(SIDES):
        _leg(rotation, targets, k, side)
        _arm(rotation, targets, k, side)
    position = np.zeros((frames, joints, 3))
    for j, parent in enumerate(skeleton.PARENTS):
        if parent < 0:
            position[:, j] = targets.pelvis
        else:
            position[:, j] = position[:, parent] + rotation[:, parent] @ skeleton.OFFSETS[j]
    return position, rotation


def _hip(targets: Targets, side: int) -> Array:
    return targets.pelvis + targets.pelvis_rot @ skeleton.OFFSETS[INDEX[SIDES[side] + "UpLeg"]]


def _spine(rotation: Array, targets: Targets) -> None:
    low, high = matrix_to_quat(targets.pelvis_rot), matrix_to_quat(targets.chest_rot)
    for name, part in (("Spine", 0.35), ("Spine1", 0.7)):
        rotation[:, INDEX[name]] = quat_to_matrix(slerp(low, high, part))
    rotation[:, INDEX["Spine2"]] = targets.chest_rot
    head = matrix_to_quat(targets.head_rot)
    rotation[:, INDEX["Neck"]] = quat_to_matrix(slerp(high, head, 0.5))
    rotation[:, INDEX["Head"]] = targets.head_rot


def _leg(rotation: Array, targets: Targets, k: int, side: str) -> None:
    a, b = skeleton.THIGH, skeleton.SHANK
    hip, ankle = _hip(targets, k), targets.ankle[:, k]
    span = ankle - hip
    reach = np.linalg.norm(span, axis=-1, keepdims=True)
    if np.any(reach >= a + b):
        raise ValueError(f"{side} leg cannot reach its foot at frame {int(np.argmax(reach))}")
    down = span / reach
    hinge = np.cross(targets.knee_forward[:, k], down)
    hinge /= np.linalg.norm(hinge, axis=-1, keepdims=True)
    front = np.cross(down, hinge)
    cos_hip = (a * a + reach * reach - b * b) / (2 * a * reach)
    sin_hip = np.sqrt(np.maximum(1 - cos_hip * cos_hip, 0.0))
    knee = hip + a * (cos_hip * down + sin_hip * front)
    for name, up in (("UpLeg", (hip - knee) / a), ("Leg", (knee - ankle) / b)):
        rotation[:, INDEX[side + name]] = np.stack([np.cross(hinge, up), hinge, up], axis=-1)
    rotation[:, INDEX[side + "Foot"]] = targets.foot_rot[:, k]
    rotation[:, INDEX[side + "Toe"]] = targets.toe_rot[:, k]


def _arm(rotation: Array, targets: Targets, k: int, side: str) -> None:
    arms, sign = targets.arms, 1.0 if side == "Left" else -1.0
    chest = rotation[:, INDEX["Spine2"]]
    rotation[:, INDEX[side + "Shoulder"]] = chest
    hang = rot("x", -sign * (0.5 * np.pi - arms.abduction[:, k]))
    upper = chest @ rot("y", -arms.flexion[:, k]) @ hang @ rot("y", arms.internal[:, k])
    fore = upper @ rot("z", -sign * arms.elbow[:, k])
    rotation[:, INDEX[side + "Arm"]] = upper
    rotation[:, INDEX[side + "ForeArm"]] = fore
    rotation[:, INDEX[side + "Hand"]] = fore @ rot("y", arms.pronation[:, k])
