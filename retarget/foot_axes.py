"""Attitude of the source's feet: where the sole is, where it points, when it is flat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from motions import HumanMotion
from motions.rotations import quat_inv_rotate, quat_rotate
from retarget.segments import SIDES, SegmentTrack
from retarget.vectors import (
    UP,
    Array,
    across,
    angle_about,
    circular_median,
    dot,
    median,
    robust_direction,
    rotate_about,
    smoothstep,
    turned_within,
)

TORSION_DEG = (-5.0, 20.0)
"""Out-toeing that is taken for anatomy (foot against knee axis), not for a pose."""
REST_DEG = 15.0
"""Soles of a standing rest pose are flat; the clip may correct that by so much."""


def standing_weight(human: HumanMotion, leg_length: float) -> Array:
    """Weight [T, 2] of moments in which a foot stands: slow and as low as it ever stands."""
    weight = np.zeros((human.num_frames, 2))
    for i, side in enumerate(SIDES):
        slow = np.ones(human.num_frames)
        low = np.ones(human.num_frames)
        for part in ("ankle", "toe"):
            if f"{side}_{part}" not in human.roles:
                continue
            path = human.role(f"{side}_{part}")
            speed = np.linalg.norm(np.gradient(path, 1.0 / human.fps, axis=0), axis=1)
            slow = slow * smoothstep(-speed / leg_length, -0.35, -0.12)
            height = path[:, 2] - np.percentile(path[:, 2], 5)
            low = low * smoothstep(-height / leg_length, -0.07, -0.03)
        weight[:, i] = slow * low
        if weight[:, i].sum() < 3:
            weight[:, i] = low
    return weight


def foot_tracks(
    human: HumanMotion,
    segments: Mapping[str, SegmentTrack],
    slow: Array,
    rest: Array | None,
    leg_length: float,
) -> tuple[list[SegmentTrack], float, float]:
    """Axes of both feet, their torsion outwards against the knees (rad), the ankles' height."""
    axes, turned, heights, strength = [], [], [], []
    for i, side in enumerate(SIDES):
        weight = slow[:, i]
        knee = segments[f"{side}_shank"]
        # Flexion axis to the left, so forward is its horizontal perpendicular.
        knee_forward = across(np.cross(knee.secondary, UP), UP)
        up, forward, known = _foot_axes(human, side, weight, knee_forward, rest)
        axes.append((up, forward, known))
        evidence = weight * np.clip(knee.trust, 0.05, 1.0)
        angle = angle_about(across(knee_forward, up), forward, up)
        turned.append(circular_median(angle, evidence) * (1.0 if side == "left" else -1.0))
        strength.append(evidence.sum() + 1e-6)
        drop = 0.07 * leg_length
        if f"{side}_toe" in human.roles:
            drop = float(
                np.median(dot(human.role(f"{side}_ankle") - human.role(f"{side}_toe"), up))
            )
        # Toe joints sit about 2 % of the leg length over the sole.
        heights.append(drop + 0.02 * leg_length)
    # People are alike on both sides; what differs between the feet is pose.
    torsion = float(np.average(turned, weights=strength))
    torsion = float(np.clip(torsion, *np.radians(TORSION_DEG)))
    tracks = []
    for side, (up, forward, known) in zip(SIDES, axes, strict=True):
        back = np.full(len(up), -torsion if side == "left" else torsion)
        forward = across(rotate_about(forward, up, back), up)
        tracks.append(SegmentTrack(up, forward, np.full(len(up), known)))
    return tracks, torsion, float(np.clip(np.mean(heights), 0.02, 0.2))


def _foot_axes(
    human: HumanMotion, side: str, weight: Array, knee_forward: Array, rest: Array | None
) -> tuple[Array, Array, float]:
    """Sole normal, forward direction [T, 3] and the trust in the latter."""
    frames = human.num_frames
    vertical = np.tile(UP, (frames, 1))
    has_toe = f"{side}_toe" in human.roles
    toe = human.role(f"{side}_toe") - human.role(f"{side}_ankle") if has_toe else None
    if human.quat_w is not None:
        quat = human.quat_w[:, human.roles[f"{side}_ankle"]]
        sole = robust_direction(quat_inv_rotate(quat, vertical), weight)
        if rest is not None:
            # Someone may never put the foot down flat in this clip.
            sole = turned_within(sole, rest.T @ UP, np.radians(REST_DEG))
        up = quat_rotate(quat, sole)
        ahead = toe if toe is not None else knee_forward
        ahead = quat_inv_rotate(quat, across(ahead, up))
        # Fixed in the foot: the mean keeps a noisy toe joint out of the heading.
        forward = quat_rotate(quat, robust_direction(ahead, weight))
        return up, across(forward, up), 1.0
    if toe is None:
        return vertical, knee_forward, 0.3
    flat = across(toe, vertical)
    steep = np.linalg.norm(toe[:, :2], axis=1) < 0.3 * np.linalg.norm(toe, axis=1)
    flat = np.where(steep[:, None], across(knee_forward, vertical), flat)
    pitch = np.arctan2(toe[:, 2], dot(toe, flat))
    neutral = float(median(pitch, weight))
    left = np.cross(vertical, flat)
    forward = rotate_about(flat, left, -(pitch - neutral))
    return across(vertical, forward), forward, 1.0


def sole_points(
    human: HumanMotion,
    feet: list[SegmentTrack],
    ankle: Array,
    ankle_height: float,
    leg_length: float,
) -> tuple[Array, Array]:
    """Ball and heel on the sole, [T, 2, 3] m each."""
    ball, heel = [], []
    for i, side in enumerate(SIDES):
        up, forward = feet[i].primary, feet[i].secondary
        ahead = 0.15 * leg_length
        if f"{side}_toe" in human.roles:
            ahead = float(np.median(dot(human.role(f"{side}_toe") - ankle[:, i], forward)))
        below = ankle[:, i] - ankle_height * up
        ball.append(below + ahead * forward)
        heel.append(below - 0.35 * ahead * forward)
    return np.stack(ball, axis=1), np.stack(heel, axis=1)
