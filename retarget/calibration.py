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
from retarget.foot_axes import foot_tracks, sole_points, standing_weight
from retarget.hinges import flexion_axis
from retarget.segments import LIMBS, SIDES, SegmentTrack
from retarget.vectors import (
    UP,
    Array,
    across,
    angle_about,
    robust_direction,
    rotate_about,
    smoothstep,
    unit,
)


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
    for side in SIDES:
        for upper, lower in (("thigh", "shank"), ("upper_arm", "forearm")):
            first, second = f"{side}_{upper}", f"{side}_{lower}"
            hinge, trust = flexion_axis(human, first, along[first], along[second])
            segments[first] = SegmentTrack(along[first], across(hinge, along[first]), trust)
            segments[second] = SegmentTrack(along[second], across(hinge, along[second]), trust)
    hips = 0.5 * (human.role("left_hip") + human.role("right_hip"))
    segments["pelvis"] = _pelvis(human, hips, rest)
    segments["chest"] = _chest(human, hips, rest)
    leg_length = _length(human, ("hip", "knee")) + _length(human, ("knee", "ankle"))
    slow = standing_weight(human, leg_length)
    feet, torsion, ankle_height = foot_tracks(human, segments, slow, rest, leg_length)
    for side, foot in zip(SIDES, feet, strict=True):
        segments[f"{side}_foot"] = foot
        hand = _hand(human, side, segments[f"{side}_forearm"], rest)
        if hand is not None:
            segments[f"{side}_hand"] = hand
    ankle = np.stack([human.role(f"{s}_ankle") for s in SIDES], axis=1)
    ball, heel = sole_points(human, feet, ankle, ankle_height, leg_length)
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


def _upright(human: HumanMotion, hips: Array) -> Array:
    """Weight [T] of moments in which the person stands or walks upright."""
    shoulders = 0.5 * (human.role("left_shoulder") + human.role("right_shoulder"))
    weight = smoothstep(
        unit(shoulders - hips)[:, 2], np.cos(np.radians(35)), np.cos(np.radians(20))
    )
    for side in SIDES:
        leg = unit(hips - human.role(f"{side}_ankle"))[:, 2]
        weight = weight * smoothstep(leg, np.cos(np.radians(60)), np.cos(np.radians(40)))
    return weight


def _pelvis(human: HumanMotion, hips: Array, rest: Array | None) -> SegmentTrack:
    left = unit(human.role("left_hip") - human.role("right_hip"))
    trust = np.ones(len(left))
    if human.quat_w is not None:
        quat = human.quat_w[:, human.roles["pelvis"]]
        upright = _upright(human, hips)
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
        along_local = robust_direction(quat_inv_rotate(quat, forearm.primary), np.ones(len(quat)))
        palm_local = robust_direction(
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
