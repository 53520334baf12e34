"""Calibration of a human clip: anatomical frames per segment, from roles, positions and rest pose.

Nothing is set by hand per source skeleton. Bones give directions; flexion axes come from the plane
of bent knees and elbows and are carried over straight stretches; the neutral attitude of pelvis,
trunk, feet and hands comes from the rest pose where that is a standing one, and else from what the
clip itself shows of upright, flat-footed moments (`retarget.person.body_constants`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mimic_base.rotations import quat_rotate
from mimic_base.vectors import Array, across, rotate_about, unit
from motions import HumanMotion
from retarget.person.body_constants import (
    PAIRS,
    BodyConstants,
    body_constants,
    bones,
    middle,
    to_top,
    trunk,
)
from retarget.person.flexion import Fill, fill_clip, flexion_axes
from retarget.person.foot_axes import foot_tracks, sole_points
from robots.segments import SIDES, SegmentTrack


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
    return calibrate_with(human, body_constants(human), fill_clip(human.fps))


def calibrate_with(human: HumanMotion, body: BodyConstants, fill: Fill) -> CalibratedHuman:
    """The anatomical frames of any frames of a person whose constants are known."""
    segments = _limbs(human, body, fill)
    fixed = _fixed(human, body)
    hips = middle(human, "hip")
    segments["pelvis"] = _pelvis(human, hips, body, fixed)
    segments["chest"] = _chest(human, hips, body)
    feet = foot_tracks(human, segments, body.feet, fixed)
    for side, foot in zip(SIDES, feet, strict=True):
        segments[f"{side}_foot"] = foot
        if f"{side}_palm" in fixed:
            along, palm = fixed[f"{side}_fingers"], fixed[f"{side}_palm"]
            segments[f"{side}_hand"] = SegmentTrack(along, across(palm, along), np.ones(len(along)))
    ankle = np.stack([human.role(f"{s}_ankle") for s in SIDES], axis=1)
    ball, heel = sole_points(feet, body.feet, ankle, body.ankle_height)
    # The toes turn out by the torsion; taking it off turns the left foot to the right.
    torsion = -body.feet[0].torsion
    notes = {
        "rest_pose": "standing" if body.rest else "not usable",
        "foot_torsion_deg": round(float(np.degrees(torsion)), 1),
        "ankle_height_m": round(body.ankle_height, 4),
        "leg_length_m": round(body.leg_length, 4),
    }
    return CalibratedHuman(
        human.fps, segments, hips, ankle, ball, heel, body.leg_length, body.ankle_height, notes
    )


def _limbs(human: HumanMotion, body: BodyConstants, fill: Fill) -> dict[str, SegmentTrack]:
    firsts, seconds = zip(*PAIRS, strict=True)
    along = bones(human, (*firsts, *seconds))
    count = len(PAIRS)
    local = [body.flexion_axes[first] for first in firsts]
    axis, confidence = flexion_axes(human, firsts, along[:, :count], along[:, count:], local, fill)
    secondary = across(np.concatenate([axis, axis], axis=1), along)
    return {
        name: SegmentTrack(along[:, k], secondary[:, k], confidence[:, k % count])
        for k, name in enumerate((*firsts, *seconds))
    }


def _fixed(human: HumanMotion, body: BodyConstants) -> dict[str, Array]:
    """World directions [T, 3] of what is fixed in the joints' frames; empty without rotations."""
    known = body.in_joints()
    if human.quat_w is None or not known:
        return {}
    joints = [human.roles[role] for role, _ in known.values()]
    world = quat_rotate(human.quat_w[:, joints], np.array([v for _, v in known.values()]))
    return {name: world[:, k] for k, name in enumerate(known)}


def _pelvis(
    human: HumanMotion, hips: Array, body: BodyConstants, fixed: Mapping[str, Array]
) -> SegmentTrack:
    left = unit(human.role("left_hip") - human.role("right_hip"))
    confidence = np.ones(len(left))
    if "pelvis" in fixed:
        return SegmentTrack(left, across(fixed["pelvis"], left), confidence)
    up = across(to_top(human, body.pelvis_top, hips), left)
    up = rotate_about(up, left, np.full(len(up), body.pelvis_pitch))
    return SegmentTrack(left, up, confidence)


def _chest(human: HumanMotion, hips: Array, body: BodyConstants) -> SegmentTrack:
    up = trunk(human, hips)
    left = across(human.role("left_shoulder") - human.role("right_shoulder"), up)
    if body.chest_pitch:
        up = rotate_about(up, left, np.full(len(up), body.chest_pitch))
    return SegmentTrack(up, across(left, up), np.ones(len(up)))
