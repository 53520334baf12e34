"""Attitude of the source's feet: where the sole is, where it points, when it is flat."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mimic_base.rotations import cross, quat_inv_rotate, quat_rotate
from mimic_base.vectors import (
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
from motions import HumanMotion
from robots.segments import SIDES, SegmentTrack

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


@dataclass(frozen=True)
class FootConstants:
    """What of a foot does not change from frame to frame.

    Attributes:
        sole, forward: [3] up from the sole and ahead, in the ankle's joint frame; None without
            rotations. The torsion is taken off `forward`.
        pitch: rad, of the line from ankle to toe when the sole is flat; for positions only.
        torsion: rad about the sole's normal that takes the toes' direction to the foot's forward.
        ahead: m from the ankle to the ball.
    """

    sole: Array | None
    forward: Array | None
    pitch: float
    torsion: float
    ahead: float


def foot_constants(
    human: HumanMotion,
    knees: Mapping[str, SegmentTrack],
    rest: Array | None,
    leg_length: float,
) -> Generator[None, None, tuple[tuple[FootConstants, FootConstants], float]]:
    """Both feet, and the height (m) of their ankles over the sole; in parts, see `BodyConstants`.

    `knees` are the shanks' tracks by segment name, `rest` [3, 3] the joint frames' turn in a
    standing rest pose.
    """
    slow = standing_weight(human, leg_length)
    yield
    found, axes, turned, heights, strength = [], [], [], [], []
    for i, side in enumerate(SIDES):
        weight = slow[:, i]
        knee = knees[f"{side}_shank"]
        knee_forward = _knee_forward(knee)
        sole, ahead, pitch = _attitude(human, side, weight, knee_forward, rest)
        foot = FootConstants(sole, ahead, pitch, 0.0, 0.0)
        up, forward, _ = _axes(human, side, foot, knee)
        found.append(foot)
        axes.append((up, forward))
        evidence = weight * np.clip(knee.confidence, 0.05, 1.0)
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
        yield
    # People are alike on both sides; what differs between the feet is pose.
    torsion = float(np.average(turned, weights=strength))
    torsion = float(np.clip(torsion, *np.radians(TORSION_DEG)))
    feet = []
    for side, foot, (up, forward) in zip(SIDES, found, axes, strict=True):
        back = -torsion if side == "left" else torsion
        forward = across(rotate_about(forward, up, np.full(len(up), back)), up)
        ahead = 0.15 * leg_length
        if f"{side}_toe" in human.roles:
            toe = human.role(f"{side}_toe") - human.role(f"{side}_ankle")
            ahead = float(np.median(dot(toe, forward)))
        if foot.sole is not None and foot.forward is not None:
            local = across(rotate_about(foot.forward, foot.sole, np.array(back)), foot.sole)
            feet.append(replace(foot, forward=local, torsion=back, ahead=ahead))
        else:
            feet.append(replace(foot, torsion=back, ahead=ahead))
    return (feet[0], feet[1]), float(np.clip(np.mean(heights), 0.02, 0.2))


def foot_tracks(
    human: HumanMotion,
    segments: Mapping[str, SegmentTrack],
    feet: tuple[FootConstants, FootConstants],
    fixed: Mapping[str, Array],
) -> list[SegmentTrack]:
    """Axes of both feet.

    Of `segments` the shanks are needed; `fixed` are the world directions [T, 3] of soles and
    fronts that are known in the ankles' frames.
    """
    tracks = []
    for side, foot in zip(SIDES, feet, strict=True):
        if f"{side}_sole" in fixed:
            up = fixed[f"{side}_sole"]
            forward = across(fixed[f"{side}_forward"], up)
            tracks.append(SegmentTrack(up, forward, np.ones(len(up))))
            continue
        up, forward, known = _axes(human, side, foot, segments[f"{side}_shank"])
        forward = across(rotate_about(forward, up, np.full(len(up), foot.torsion)), up)
        tracks.append(SegmentTrack(up, forward, np.full(len(up), known)))
    return tracks


def _knee_forward(knee: SegmentTrack) -> Array:
    """Forward is the horizontal perpendicular of the knee's flexion axis, which points left."""
    return across(cross(knee.secondary, UP), UP)


def _attitude(
    human: HumanMotion, side: str, weight: Array, knee_forward: Array, rest: Array | None
) -> tuple[Array | None, Array | None, float]:
    """`FootConstants.sole`, `forward` (torsion still in it) and `pitch`."""
    vertical = np.tile(UP, (human.num_frames, 1))
    toe = _toe(human, side)
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
        return sole, robust_direction(ahead, weight), 0.0
    if toe is None:
        return None, None, 0.0
    flat = _flat(toe, knee_forward)
    return None, None, float(median(np.arctan2(toe[:, 2], dot(toe, flat)), weight))


def _axes(
    human: HumanMotion, side: str, foot: FootConstants, knee: SegmentTrack
) -> tuple[Array, Array, float]:
    """Sole normal, forward direction [T, 3] and its confidence; the torsion left in."""
    if human.quat_w is not None and foot.sole is not None and foot.forward is not None:
        quat = human.quat_w[:, human.roles[f"{side}_ankle"]]
        up = quat_rotate(quat, foot.sole)
        return up, across(quat_rotate(quat, foot.forward), up), 1.0
    vertical = np.tile(UP, (human.num_frames, 1))
    toe = _toe(human, side)
    if toe is None:
        return vertical, _knee_forward(knee), 0.3
    flat = _flat(toe, _knee_forward(knee))
    pitch = np.arctan2(toe[:, 2], dot(toe, flat))
    forward = rotate_about(flat, cross(vertical, flat), -(pitch - foot.pitch))
    return across(vertical, forward), forward, 1.0


def _toe(human: HumanMotion, side: str) -> Array | None:
    """From the ankle to the toe, [T, 3] m; None where the skeleton has no toe."""
    if f"{side}_toe" not in human.roles:
        return None
    return human.role(f"{side}_toe") - human.role(f"{side}_ankle")


def _flat(toe: Array, knee_forward: Array) -> Array:
    """Horizontal direction [T, 3] of a toe; the knee's where the toe points up or down."""
    vertical = np.tile(UP, (len(toe), 1))
    flat = across(toe, vertical)
    steep = np.linalg.norm(toe[:, :2], axis=1) < 0.3 * np.linalg.norm(toe, axis=1)
    return np.where(steep[:, None], across(knee_forward, vertical), flat)


def sole_points(
    tracks: list[SegmentTrack],
    feet: tuple[FootConstants, FootConstants],
    ankle: Array,
    ankle_height: float,
) -> tuple[Array, Array]:
    """Ball and heel on the sole, [T, 2, 3] m each; `ankle` [T, 2, 3]."""
    ball, heel = [], []
    for i, (track, foot) in enumerate(zip(tracks, feet, strict=True)):
        up, forward = track.primary, track.secondary
        below = ankle[:, i] - ankle_height * up
        ball.append(below + foot.ahead * forward)
        heel.append(below - 0.35 * foot.ahead * forward)
    return np.stack(ball, axis=1), np.stack(heel, axis=1)
