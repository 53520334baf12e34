"""Calibration of a human clip: anatomical frames per segment, from roles, positions and rest pose.

Nothing is set by hand per source skeleton. Bones give directions; flexion axes come from the plane
of bent knees and elbows and are carried over straight stretches; the neutral attitude of pelvis,
trunk, feet and hands comes from the rest pose where that is a standing one, and else from what the
clip itself shows of upright, flat-footed moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motions import HumanMotion
from motions.rotations import quat_inv_rotate, quat_rotate
from retarget.robot_frames import LIMBS, SIDES
from retarget.vectors import (
    UP,
    Array,
    across,
    angle_about,
    dot,
    rotate_about,
    smoothstep,
    unit,
    weighted_fill,
)

TORSION_DEG = (-5.0, 20.0)
"""Out-toeing that is taken for anatomy (foot against knee axis), not for a pose."""
REST_DEG = 15.0
"""Soles of a standing rest pose are flat; the clip may correct that by so much."""


@dataclass(frozen=True)
class SegmentTrack:
    """Path of a segment's two axes (meanings as in `robot_frames.LinkFrame`)."""

    primary: Array
    """[T, 3] unit."""
    secondary: Array
    """[T, 3] unit, perpendicular to `primary`."""
    trust: Array
    """How well the secondary axis is known, 0..1, [T]."""


@dataclass(frozen=True)
class CalibratedHuman:
    """A clip in terms every robot understands.

    Attributes:
        segments: per segment name its axes in the world; hands only where the source has
            rotations.
        hips: [T, 3] m middle of both hip joints.
        ankle, ball, heel: [T, 2, 3] m, left and right; ball and heel lie on the sole.
        leg_length: m hip to ankle along the bones. ankle_height: m above the sole, standing.
        notes: what was derived, for the report.
    """

    fps: float
    segments: Mapping[str, SegmentTrack]
    hips: Array
    ankle: Array
    ball: Array
    heel: Array
    leg_length: float
    ankle_height: float
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_frames(self) -> int:
        return len(self.hips)


def calibrate(human: HumanMotion) -> CalibratedHuman:
    """Derive the anatomical frames of a clip."""
    rest = _rest_rotation(human)
    segments: dict[str, SegmentTrack] = {}
    along = {name: unit(human.role(b) - human.role(a)) for name, (a, b) in LIMBS.items()}
    bend = {}
    for side in SIDES:
        for upper, lower in (("thigh", "shank"), ("upper_arm", "forearm")):
            first, second = f"{side}_{upper}", f"{side}_{lower}"
            hinge, trust, bent = _hinge(human, first, along[first], along[second])
            bend[first] = bent
            segments[first] = SegmentTrack(along[first], across(hinge, along[first]), trust)
            segments[second] = SegmentTrack(along[second], across(hinge, along[second]), trust)
    hips = 0.5 * (human.role("left_hip") + human.role("right_hip"))
    segments["pelvis"] = _pelvis(human, hips, rest, bend)
    segments["chest"] = _chest(human, hips, rest)
    leg_length = _length(human, ("hip", "knee")) + _length(human, ("knee", "ankle"))
    slow = _slow_feet(human, leg_length)
    feet, torsion, ankle_height = _feet(human, segments, slow, rest, leg_length)
    for side, foot in zip(SIDES, feet, strict=True):
        segments[f"{side}_foot"] = foot
        hand = _hand(human, side, segments[f"{side}_forearm"], rest)
        if hand is not None:
            segments[f"{side}_hand"] = hand
    ankle = np.stack([human.role(f"{s}_ankle") for s in SIDES], axis=1)
    ball, heel = _sole_points(human, feet, ankle, ankle_height, leg_length)
    notes = {
        "rest_pose": "standing" if rest is not None else "not usable",
        "foot_torsion_deg": round(float(np.degrees(torsion)), 1),
        "ankle_height_m": round(ankle_height, 4),
        "leg_length_m": round(leg_length, 4),
    }
    return CalibratedHuman(
        human.fps, segments, hips, ankle, ball, heel, leg_length, ankle_height, notes
    )


def _length(human: HumanMotion, ends: tuple[str, str]) -> float:
    both = [
        np.median(
            np.linalg.norm(human.role(f"{s}_{ends[0]}") - human.role(f"{s}_{ends[1]}"), axis=1)
        )
        for s in SIDES
    ]
    return float(np.mean(both))


# -- rest pose -----------------------------------------------------------------------------------


def _rest_rotation(human: HumanMotion) -> Array | None:
    """Orientation [3, 3] of every joint frame in the rest pose; None when it is not a standing one.

    Some formats store bones along one axis (LAFAN1's legs point up beside the spine): such a rest
    pose tells nothing about standing.
    """
    if human.rest_pos is None or human.quat_w is None:
        return None
    rest = human.rest_pos

    def at(role: str) -> Array:
        return rest[human.roles[role]]

    hips = 0.5 * (at("left_hip") + at("right_hip"))
    shoulders = 0.5 * (at("left_shoulder") + at("right_shoulder"))
    ankles = 0.5 * (at("left_ankle") + at("right_ankle"))
    if unit(shoulders - hips)[2] < 0.9 or unit(hips - ankles)[2] < 0.9:
        return None
    bones = [(j, p) for j, p in enumerate(human.parents) if p >= 0]
    child = np.array([j for j, _ in bones])
    parent = np.array([p for _, p in bones])
    local = quat_inv_rotate(human.quat_w[:, parent], human.pos_w[:, child] - human.pos_w[:, parent])
    offset = local.mean(axis=0)
    bone = rest[child] - rest[parent]
    # One rotation takes all bones from the joint frames to the rest pose (Kabsch).
    u, _, vt = np.linalg.svd(bone.T @ offset)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    misfit = np.linalg.norm(offset @ turn.T - bone, axis=1).max()
    return turn if misfit < 0.05 * np.linalg.norm(bone, axis=1).sum() / 6 else None


# -- flexion axes --------------------------------------------------------------------------------


def _hinge(
    human: HumanMotion, first: str, upper: Array, lower: Array
) -> tuple[Array, Array, Array]:
    """Flexion axis [T, 3], its trust [T] and the sine of the bend [T] of a knee or elbow.

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
    # A pinch of "no twist against the reference" decides clips in which the joint never bends.
    prior = np.array([1.0, 0.0]) if weight.sum() < 5 else None
    filled = (
        np.tile(prior, (len(angle), 1))
        if prior is not None
        else weighted_fill(circle, weight, human.fps)
    )
    hinge = rotate_about(reference, upper, np.arctan2(filled[:, 1], filled[:, 0]))
    trust = np.maximum(weight, 0.5 if carried else 0.2)
    return hinge, trust, bend


def _carried_left(human: HumanMotion, upper: Array, arm: bool) -> Array:
    """Flexion axis of a limb that hangs straight down, carried along by the smallest rotation.

    Knees bend about the body's left axis; elbows, whose forearm comes forward, about its right.
    """
    ends = ("shoulder", "shoulder") if arm else ("hip", "hip")
    left = human.role(f"left_{ends[0]}") - human.role(f"right_{ends[1]}")
    hips = 0.5 * (human.role("left_hip") + human.role("right_hip"))
    shoulders = 0.5 * (human.role("left_shoulder") + human.role("right_shoulder"))
    down = unit(hips - shoulders)
    axis = across(-left if arm else left, down)
    turn = np.cross(down, upper)
    size = np.linalg.norm(turn, axis=1)
    angle = np.arctan2(size, dot(down, upper))
    spin = np.where(size[:, None] > 1e-6, unit(turn), axis)
    return across(rotate_about(axis, spin, angle), upper)


# -- trunk ---------------------------------------------------------------------------------------


def _upright(human: HumanMotion, hips: Array, bend: Mapping[str, Array] | None = None) -> Array:
    """Weight [T] of moments in which the person stands or walks upright."""
    shoulders = 0.5 * (human.role("left_shoulder") + human.role("right_shoulder"))
    weight = smoothstep(
        unit(shoulders - hips)[:, 2], np.cos(np.radians(35)), np.cos(np.radians(20))
    )
    for side in SIDES:
        leg = unit(hips - human.role(f"{side}_ankle"))[:, 2]
        weight = weight * smoothstep(leg, np.cos(np.radians(60)), np.cos(np.radians(40)))
    return weight


def _pelvis(
    human: HumanMotion, hips: Array, rest: Array | None, bend: Mapping[str, Array]
) -> SegmentTrack:
    left = unit(human.role("left_hip") - human.role("right_hip"))
    trust = np.ones(len(left))
    if human.quat_w is not None:
        quat = human.quat_w[:, human.roles["pelvis"]]
        upright = _upright(human, hips, bend)
        if rest is not None:
            local = rest.T @ UP
        elif upright.sum() > 5:
            local = (upright[:, None] * quat_inv_rotate(quat, np.tile(UP, (len(quat), 1)))).sum(0)
        else:
            local = quat_inv_rotate(quat, _trunk(human, hips)).mean(axis=0)
        return SegmentTrack(left, across(quat_rotate(quat, unit(local)), left), trust)
    top = human.role("spine") if "spine" in human.roles else None
    if top is None or np.median(np.linalg.norm(top - hips, axis=1)) < 0.05:
        top = human.role("chest") if "chest" in human.roles else hips + _trunk(human, hips)
    up = across(top - hips, left)
    return SegmentTrack(left, _level(human, hips, up, left), trust)


def _trunk(human: HumanMotion, hips: Array) -> Array:
    shoulders = 0.5 * (human.role("left_shoulder") + human.role("right_shoulder"))
    return unit((human.role("neck") if "neck" in human.roles else shoulders) - hips)


def _level(human: HumanMotion, hips: Array, up: Array, left: Array) -> Array:
    """`up` pitched about `left` by a constant, so that it is vertical on average when upright."""
    weight = _upright(human, hips)
    if weight.sum() <= 5:
        return up
    pitch = angle_about(across(up, left), across(np.tile(UP, (len(up), 1)), left), left)
    offset = float((weight * pitch).sum() / weight.sum())
    return rotate_about(up, left, np.full(len(up), offset))


def _chest(human: HumanMotion, hips: Array, rest: Array | None) -> SegmentTrack:
    up = _trunk(human, hips)
    left = across(human.role("left_shoulder") - human.role("right_shoulder"), up)
    if rest is not None and human.rest_pos is not None:
        # The line from hips to neck need not be vertical in a straight-standing skeleton.
        at = {r: human.rest_pos[j] for r, j in human.roles.items()}
        low = 0.5 * (at["left_hip"] + at["right_hip"])
        top = at.get("neck", 0.5 * (at["left_shoulder"] + at["right_shoulder"]))
        side = unit(at["left_shoulder"] - at["right_shoulder"])
        pitch = float(angle_about(across(top - low, side), across(UP, side), side))
        up = rotate_about(up, left, np.full(len(up), pitch))
    return SegmentTrack(up, across(left, up), np.ones(len(up)))


# -- feet ----------------------------------------------------------------------------------------


def _slow_feet(human: HumanMotion, leg_length: float) -> Array:
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


def _feet(
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
        turned.append(_circular_median(angle, evidence) * (1.0 if side == "left" else -1.0))
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
        sole = _robust_direction(quat_inv_rotate(quat, vertical), weight)
        if rest is not None:
            # Someone may never put the foot down flat in this clip.
            sole = _within(sole, rest.T @ UP, np.radians(REST_DEG))
        up = quat_rotate(quat, sole)
        ahead = toe if toe is not None else knee_forward
        ahead = quat_inv_rotate(quat, across(ahead, up))
        # Fixed in the foot: the mean keeps a noisy toe joint out of the heading.
        forward = quat_rotate(quat, _robust_direction(ahead, weight))
        return up, across(forward, up), 1.0
    if toe is None:
        return vertical, knee_forward, 0.3
    flat = across(toe, vertical)
    steep = np.linalg.norm(toe[:, :2], axis=1) < 0.3 * np.linalg.norm(toe, axis=1)
    flat = np.where(steep[:, None], across(knee_forward, vertical), flat)
    pitch = np.arctan2(toe[:, 2], dot(toe, flat))
    neutral = float(_median(pitch, weight))
    left = np.cross(vertical, flat)
    forward = rotate_about(flat, left, -(pitch - neutral))
    return across(vertical, forward), forward, 1.0


def _sole_points(
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


# -- hands ---------------------------------------------------------------------------------------


def _hand(
    human: HumanMotion, side: str, forearm: SegmentTrack, rest: Array | None
) -> SegmentTrack | None:
    """Axes of a hand, from its joint frame; neutral is the rest pose, or the clip's own mean."""
    if human.quat_w is None:
        return None
    quat = human.quat_w[:, human.roles[f"{side}_wrist"]]
    sign = 1.0 if side == "left" else -1.0
    if rest is not None and human.rest_pos is not None:
        at = {r: human.rest_pos[j] for r, j in human.roles.items()}
        bone = unit(at[f"{side}_wrist"] - at[f"{side}_elbow"])
        left = unit(at["left_shoulder"] - at["right_shoulder"])
        palm = _rest_palm(bone, sign * left)
        along_local, palm_local = rest.T @ bone, rest.T @ palm
    else:
        along_local = _robust_direction(quat_inv_rotate(quat, forearm.primary), np.ones(len(quat)))
        palm_local = _robust_direction(
            quat_inv_rotate(quat, sign * forearm.secondary), forearm.trust
        )
    along = quat_rotate(quat, along_local)
    palm = across(quat_rotate(quat, palm_local), along)
    return SegmentTrack(along, palm, np.ones(len(quat)))


def _rest_palm(bone: Array, outward: Array) -> Array:
    """Palm normal of a rest pose: down in a T-pose, carried by the smallest turn of the arm."""
    axis = np.cross(outward, bone)
    size = float(np.linalg.norm(axis))
    if size < 1e-6:
        return -UP
    return rotate_about(-UP, axis / size, np.arctan2(size, outward @ bone))


# -- robust means --------------------------------------------------------------------------------


def _robust_direction(v: Array, weight: Array) -> Array:
    """Weighted mean direction [3] of unit vectors [T, 3], outliers beyond 20 degrees left out."""
    weight = np.maximum(weight, 1e-6)
    mean = unit((weight[:, None] * v).sum(axis=0))
    for _ in range(5):
        near = weight * smoothstep(dot(v, mean), np.cos(np.radians(20)), np.cos(np.radians(8)))
        if near.sum() < 0.05 * weight.sum():
            break
        mean = unit((near[:, None] * v).sum(axis=0))
    return mean


def _within(v: Array, centre: Array, most: float) -> Array:
    """Unit vector `v` [3], or what of its turn away from `centre` is allowed (rad)."""
    angle = float(np.arccos(np.clip(v @ centre, -1.0, 1.0)))
    if angle <= most:
        return v
    return rotate_about(centre, unit(np.cross(centre, v)), np.array(most))


def _median(x: Array, weight: Array) -> float:
    order = np.argsort(x)
    total = np.cumsum(weight[order])
    return (
        float(x[order][np.searchsorted(total, 0.5 * total[-1])])
        if total[-1] > 0
        else float(np.median(x))
    )


def _circular_median(angle: Array, weight: Array) -> float:
    if weight.sum() <= 1e-9:
        weight = np.ones_like(weight)
    centre = np.angle((weight * np.exp(1j * angle)).sum())
    offset = np.angle(np.exp(1j * (angle - centre)))
    return float(centre + _median(offset, weight))
