"""Flexion axes of knees and elbows, bent or straight."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mimic_base.rotations import cross, quat_inv_rotate, quat_rotate
from mimic_base.signals import weighted_fill
from mimic_base.vectors import Array, across, angle_about, dot, rotate_about, smoothstep, unit
from motions import HumanMotion
from robots.segments import LIMBS

Fill = Callable[[str, Array, Array], Array]
"""Carries an axis over straight stretches: (segment, circle [T, 2], weight [T]) -> [T, 2]."""


def flexion_axis_in_joint(
    human: HumanMotion, first: str, upper: Array, lower: Array
) -> Array | None:
    """Flexion axis [3] of a knee or elbow in the frame of the joint above it.

    `first` is the segment above it; `upper` and `lower` [T, 3] are the bones' directions.
    None without rotations, where the limb hardly ever bends, or where its plane does not hold.
    """
    normal, weight = _bend(upper, lower)
    if human.quat_w is None or weight.sum() <= 0.02 * len(weight):
        return None
    quat = human.quat_w[:, human.roles[LIMBS[first][0]]]
    local = (weight[:, None] * quat_inv_rotate(quat, normal)).sum(axis=0)
    return unit(local) if np.linalg.norm(local) > 0.5 * weight.sum() else None


def flexion_axes(
    human: HumanMotion,
    firsts: Sequence[str],
    upper: Array,
    lower: Array,
    local: Sequence[Array | None],
    fill: Fill,
) -> tuple[Array, Array]:
    """Flexion axes [T, K, 3] of knees and elbows and their confidence [T, K].

    `firsts` [K] are the segments above them, `upper` and `lower` [T, K, 3] the bones'
    directions, `local` [K] the results of `flexion_axis_in_joint`.

    The plane of the two bones gives the axis while the joint is bent. Its angle about the upper
    bone, against a reference carried by the joint's own frame (or, without rotations, by the
    smallest rotation from hanging down), is filled in where the joint is straight.
    """
    normal, weight = _bend(upper, lower)
    reference = _references(human, firsts, upper, local)
    angle = angle_about(reference, normal, upper)
    circle = np.empty((*angle.shape, 2))
    circle[..., 0], circle[..., 1] = np.cos(angle), np.sin(angle)
    for k, first in enumerate(firsts):
        circle[:, k] = fill(first, circle[:, k], weight[:, k])
    axes = rotate_about(reference, upper, np.arctan2(circle[..., 1], circle[..., 0]))
    least = np.array([0.2 if axis is None else 0.5 for axis in local])
    return axes, np.maximum(weight, least)


def _references(
    human: HumanMotion, firsts: Sequence[str], upper: Array, local: Sequence[Array | None]
) -> Array:
    """Directions [T, K, 3] across the upper bones, against which flexion axes turn but slowly."""
    out = np.empty(upper.shape)
    known = [k for k, axis in enumerate(local) if axis is not None]
    if known and human.quat_w is not None:
        joints = [human.roles[LIMBS[firsts[k]][0]] for k in known]
        axes = np.array([local[k] for k in known])
        out[:, known] = across(quat_rotate(human.quat_w[:, joints], axes), upper[:, known])
    for k, first in enumerate(firsts):
        if k not in known or human.quat_w is None:
            out[:, k] = _carried_left(human, upper[:, k], arm="arm" in first)
    return out


def fill_clip(fps: float) -> Fill:
    """The way of a whole clip: from both sides in time."""

    def fill(first: str, circle: Array, weight: Array) -> Array:
        del first
        if weight.sum() < 5:
            # Too little to go by: no twist against the reference where the joint is straight.
            return weight[:, None] * circle + (1.0 - weight[:, None]) * np.array([1.0, 0.0])
        return weighted_fill(circle, weight, fps)

    return fill


def _bend(upper: Array, lower: Array) -> tuple[Array, Array]:
    """Normal [..., 3] of the plane of two bones, and how well [...] it is known."""
    normal = cross(upper, lower)
    bend = np.sqrt(dot(normal, normal))
    weight = smoothstep(bend, np.sin(np.radians(8)), np.sin(np.radians(25)))
    return across(normal, upper), weight


def _carried_left(human: HumanMotion, upper: Array, arm: bool) -> Array:
    """Flexion axis of a limb that hangs straight down, carried along by the smallest rotation.

    Knees bend about the body's left axis; elbows, whose forearm comes forward, about its right.
    """
    joint = "shoulder" if arm else "hip"
    left = human.role(f"left_{joint}") - human.role(f"right_{joint}")
    hips = 0.5 * (human.role("left_hip") + human.role("right_hip"))
    shoulders = 0.5 * (human.role("left_shoulder") + human.role("right_shoulder"))
    down = unit(hips - shoulders)
    axis = across(-left if arm else left, down)
    turn = cross(down, upper)
    size = np.linalg.norm(turn, axis=1)
    angle = np.arctan2(size, dot(down, upper))
    spin = np.where(size[:, None] > 1e-6, unit(turn), axis)
    return across(rotate_about(axis, spin, angle), upper)
