"""Flexion axes of knees and elbows, bent or straight."""

from __future__ import annotations

import numpy as np

from motions import HumanMotion
from motions.rotations import quat_inv_rotate, quat_rotate
from retarget.segments import LIMBS
from retarget.vectors import (
    Array,
    across,
    angle_about,
    dot,
    rotate_about,
    smoothstep,
    unit,
    weighted_fill,
)


def flexion_axis(human: HumanMotion, first: str, upper: Array, lower: Array) -> tuple[Array, Array]:
    """Flexion axis [T, 3] of a knee or elbow and its trust [T].

    `first` is the segment above the joint; `upper` and `lower` [T, 3] are the bones' directions.

    The plane of the two bones gives the axis while the joint is bent. Its angle about the upper
    bone, against a reference carried by the joint's own frame (or, without rotations, by the
    smallest rotation from hanging down), is filled in where the joint is straight.
    """
    normal = np.cross(upper, lower)
    bend = np.linalg.norm(normal, axis=1)
    weight = smoothstep(bend, np.sin(np.radians(8)), np.sin(np.radians(25)))
    normal = across(normal, upper)
    reference = None
    if human.quat_w is not None and weight.sum() > 0.02 * len(weight):
        quat = human.quat_w[:, human.roles[LIMBS[first][0]]]
        local = (weight[:, None] * quat_inv_rotate(quat, normal)).sum(axis=0)
        if np.linalg.norm(local) > 0.5 * weight.sum():
            reference = across(quat_rotate(quat, unit(local)), upper)
    carried = reference is not None
    if reference is None:
        reference = _carried_left(human, upper, arm="arm" in first)
    angle = angle_about(reference, normal, upper)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if weight.sum() < 5:
        # Too little to go by: no twist against the reference where the joint is straight.
        filled = weight[:, None] * circle + (1.0 - weight[:, None]) * np.array([1.0, 0.0])
    else:
        filled = weighted_fill(circle, weight, human.fps)
    hinge = rotate_about(reference, upper, np.arctan2(filled[:, 1], filled[:, 0]))
    trust = np.maximum(weight, 0.5 if carried else 0.2)
    return hinge, trust


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
    turn = np.cross(down, upper)
    size = np.linalg.norm(turn, axis=1)
    angle = np.arctan2(size, dot(down, upper))
    spin = np.where(size[:, None] > 1e-6, unit(turn), axis)
    return across(rotate_about(axis, spin, angle), upper)
