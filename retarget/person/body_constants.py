"""What of a person stays the same from frame to frame, derived from a clip and its rest pose.

The constants alone turn any further frame into anatomical axes (`retarget.person.calibration`), so
a live stream is calibrated by the very code that calibrates a clip.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimic_base.rotations import quat_inv_rotate
from mimic_base.vectors import (
    UP,
    Array,
    across,
    angle_about,
    smoothstep,
    unit,
)
from motions import HumanMotion
from retarget.person.flexion import fill_clip, flexion_axes, flexion_axis_in_joint
from retarget.person.foot_axes import FootConstants, foot_constants
from retarget.person.hand_axes import hand_in_joint
from robots.segments import LIMBS, SIDES, SegmentTrack

PAIRS = tuple(
    (f"{s}_{a}", f"{s}_{b}")
    for s in SIDES
    for a, b in (("thigh", "shank"), ("upper_arm", "forearm"))
)
"""The limbs above and below each knee and elbow."""


@dataclass(frozen=True)
class BodyConstants:
    """A person's anatomy on one skeleton. Directions are [3], in frames of the skeleton's joints.

    Attributes:
        flexion_axes: per thigh and upper arm the flexion axis below it; None where it is not known.
        pelvis_up: None without rotations; then `pelvis_top` (a role, or None for the trunk) shows
            up from the hips, pitched by `pelvis_pitch` rad.
        chest_pitch: rad about the left axis from the line hips-neck to the trunk's up.
        hands: per side the directions along the fingers and out of the palm; empty without
            rotations.
        leg_length, ankle_height: m. rest: whether the rest pose was of use.
    """

    flexion_axes: Mapping[str, Array | None]
    pelvis_up: Array | None
    pelvis_top: str | None
    pelvis_pitch: float
    chest_pitch: float
    feet: tuple[FootConstants, FootConstants]
    hands: Mapping[str, tuple[Array, Array]]
    leg_length: float
    ankle_height: float
    rest: bool

    def in_joints(self) -> dict[str, tuple[str, Array]]:
        """All that is fixed in a joint's frame: name -> (role of the joint, direction [3])."""
        known: dict[str, tuple[str, Array]] = {}
        if self.pelvis_up is not None:
            known["pelvis"] = "pelvis", self.pelvis_up
        for side, foot in zip(SIDES, self.feet, strict=True):
            if foot.sole is not None and foot.forward is not None:
                known[f"{side}_sole"] = f"{side}_ankle", foot.sole
                known[f"{side}_forward"] = f"{side}_ankle", foot.forward
        for side, (fingers, palm) in self.hands.items():
            known[f"{side}_fingers"] = f"{side}_wrist", fingers
            known[f"{side}_palm"] = f"{side}_wrist", palm
        return known


def body_constants(human: HumanMotion) -> BodyConstants:
    """The constants that a clip and its rest pose show."""
    parts = constants_in_parts(human)
    while True:
        try:
            next(parts)
        except StopIteration as done:
            return done.value


def constants_in_parts(human: HumanMotion) -> Generator[None, None, BodyConstants]:
    """`body_constants` with a pause after every millisecond or so, for those in a hurry."""
    rest = _rest_rotation(human)
    yield
    axes: dict[str, Array | None] = {}
    limbs: dict[str, SegmentTrack] = {}
    fill = fill_clip(human.fps)
    for first, second in PAIRS:
        upper, lower = bone(human, first), bone(human, second)
        axes[first] = flexion_axis_in_joint(human, first, upper, lower)
        both = np.stack([upper, lower], axis=1)
        axis, confidence = flexion_axes(
            human, (first,), both[:, :1], both[:, 1:], (axes[first],), fill
        )
        secondary = across(axis, both)
        for k, name in enumerate((first, second)):
            limbs[name] = SegmentTrack(both[:, k], secondary[:, k], confidence[:, 0])
        yield
    hips = middle(human, "hip")
    leg_length = _length(human, ("hip", "knee")) + _length(human, ("knee", "ankle"))
    up, top, pitch = _pelvis(human, hips, rest)
    chest = _chest_pitch(human) if rest is not None else 0.0
    yield
    feet, ankle_height = yield from foot_constants(human, limbs, rest, leg_length)
    hands = {}
    for side in SIDES:
        hand = hand_in_joint(human, side, limbs[f"{side}_forearm"], rest)
        if hand is not None:
            hands[side] = hand
    return BodyConstants(
        axes, up, top, pitch, chest, feet, hands, leg_length, ankle_height, rest is not None
    )


def bone(human: HumanMotion, limb: str) -> Array:
    """Direction [T, 3] of a limb."""
    return bones(human, (limb,))[:, 0]


def bones(human: HumanMotion, limbs: Sequence[str]) -> Array:
    """Directions [T, K, 3] of limbs."""
    starts = [human.roles[LIMBS[limb][0]] for limb in limbs]
    ends = [human.roles[LIMBS[limb][1]] for limb in limbs]
    return unit(human.pos_w[:, ends] - human.pos_w[:, starts])


def middle(human: HumanMotion, part: str) -> Array:
    """Middle [T, 3] m of the left and the right joint."""
    return 0.5 * (human.role(f"left_{part}") + human.role(f"right_{part}"))


def trunk(human: HumanMotion, hips: Array) -> Array:
    """Direction [T, 3] from the middle of the hips to the neck, or to the shoulders' middle."""
    return unit((human.role("neck") if "neck" in human.roles else middle(human, "shoulder")) - hips)


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
    straight = rest[child] - rest[parent]
    # One rotation takes all bones from the joint frames to the rest pose (Kabsch).
    u, _, vt = np.linalg.svd(straight.T @ offset)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    misfit = np.linalg.norm(offset @ turn.T - straight, axis=1).max()
    return turn if misfit < 0.05 * np.linalg.norm(straight, axis=1).sum() / 6 else None


def _upright(human: HumanMotion, hips: Array) -> Array:
    """Weight [T] of moments in which the person stands or walks upright."""
    shoulders = middle(human, "shoulder")
    weight = smoothstep(
        unit(shoulders - hips)[:, 2], np.cos(np.radians(35)), np.cos(np.radians(20))
    )
    for side in SIDES:
        leg = unit(hips - human.role(f"{side}_ankle"))[:, 2]
        weight = weight * smoothstep(leg, np.cos(np.radians(60)), np.cos(np.radians(40)))
    return weight


def _pelvis(
    human: HumanMotion, hips: Array, rest: Array | None
) -> tuple[Array | None, str | None, float]:
    """`BodyConstants.pelvis_up`, `pelvis_top` and `pelvis_pitch`."""
    if human.quat_w is not None:
        quat = human.quat_w[:, human.roles["pelvis"]]
        upright = _upright(human, hips)
        if rest is not None:
            local = rest.T @ UP
        elif upright.sum() > 5:
            local = (upright[:, None] * quat_inv_rotate(quat, np.tile(UP, (len(quat), 1)))).sum(0)
        else:
            local = quat_inv_rotate(quat, trunk(human, hips)).mean(axis=0)
        return unit(local), None, 0.0
    top = "spine" if "spine" in human.roles else None
    if top is None or np.median(np.linalg.norm(human.role(top) - hips, axis=1)) < 0.05:
        top = "chest" if "chest" in human.roles else None
    left = unit(human.role("left_hip") - human.role("right_hip"))
    return None, top, _level_pitch(human, hips, across(to_top(human, top, hips), left), left)


def to_top(human: HumanMotion, top: str | None, hips: Array) -> Array:
    """From the hips to the joint of role `top` [T, 3], or along the trunk."""
    return trunk(human, hips) if top is None else human.role(top) - hips


def _level_pitch(human: HumanMotion, hips: Array, up: Array, left: Array) -> float:
    """Pitch about `left` that makes `up` vertical on average when upright."""
    weight = _upright(human, hips)
    if weight.sum() <= 5:
        return 0.0
    pitch = angle_about(across(up, left), across(np.tile(UP, (len(up), 1)), left), left)
    return float((weight * pitch).sum() / weight.sum())


def _chest_pitch(human: HumanMotion) -> float:
    """The line from hips to neck need not be vertical in a straight-standing skeleton."""
    assert human.rest_pos is not None
    at = {r: human.rest_pos[j] for r, j in human.roles.items()}
    low = 0.5 * (at["left_hip"] + at["right_hip"])
    top = at.get("neck", 0.5 * (at["left_shoulder"] + at["right_shoulder"]))
    side = unit(at["left_shoulder"] - at["right_shoulder"])
    return float(angle_about(across(top - low, side), across(UP, side), side))
