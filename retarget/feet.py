"""The feet's own plan: flat and still where they stand, the source's path where they swing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from motions.rotations import (
    cross,
    matrix_to_quat,
    quat_continuous,
    quat_normalize,
    quat_to_matrix,
    slerp,
)
from retarget.calibration import CalibratedHuman
from retarget.contacts import FootContacts, runs
from retarget.robot_frames import RobotFrames
from retarget.scaling import Stance
from retarget.segments import SIDES
from retarget.vectors import Array, low_pass, smoothstep, weighted_fill

SWING_HZ = 5.5
"""Planned feet are smoothed above it; standing ones are held far more firmly."""
FLAT_DEG = (5.0, 18.0)
"""A standing foot pitched by less is made flat, by more keeps its pitch."""
FLAT_LIFT_DEG = 0.15
TURN_LIFT_DEG = 2.0
"""Pitch of a standing foot that turns on its ball."""
STANDING_UP = (0.2, 0.45)
"""Vertical part of the foot's up axis: from the second value on it stands, below the first it
lies."""
GLIDE = 0.03
"""m; a standing foot that strays by more from its middle is moved on."""
GLIDE_SPEED = (0.15, 0.45)
"""m/s; a footprint moves on while the source's foot is faster."""
HOLD = 300.0
"""Weight of a footprint's place where the source's foot is slow, against 1 where it is fast."""
PIVOT_DEG = 12.0
"""A standing foot that turns by more than this in one stance pivots; less is held still."""


@dataclass(frozen=True)
class FootPlan:
    """What both feet (left, right) shall do.

    Attributes:
        matrix: [T, 2, 3, 3] orientation of the feet, columns forward, left, up.
        heading: [T, 2] rad, of the footprints; constant over a stance that does not pivot.
        confidence: [T, 2] that the foot stands. flat: [T, 2] that it stands on its whole sole.
        on_ball: [T, 2] 1 where a standing foot rolls over its front edge, 0 over the rear one.
        stances: (foot, start, stop) of every stance.
    """

    matrix: Array
    heading: Array
    confidence: Array
    flat: Array
    on_ball: Array
    stances: tuple[tuple[int, int, int], ...]


def plan_feet(human: CalibratedHuman, contacts: FootContacts) -> FootPlan:
    """Plan the orientation of the feet.

    A standing foot is flat while the source's is nearly flat, and rolls over its front or rear
    edge as the source does else. The heading is held over a stance unless the foot clearly
    pivots. Swing keeps the source's orientation.
    """
    matrices, headings, flats, balls = [], [], [], []
    stances: list[tuple[int, int, int]] = []
    confidence = contacts.confidence.copy()
    for i, side in enumerate(SIDES):
        track = human.segments[f"{side}_foot"]
        up, forward = track.primary, track.secondary
        pitch = np.arcsin(np.clip(forward[:, 2], -1.0, 1.0))
        # Flat is flat; a clearly raised heel or toe is the source's own. A continuous rule of the
        # pitch, where contact flags of ball and heel would switch from one frame to the next.
        raised = smoothstep(np.abs(pitch), *np.radians(FLAT_DEG))
        heading = np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))
        # A foot that lies on its back or side, as in crawling, touches but does not stand.
        upright = smoothstep(up[:, 2], *STANDING_UP)
        confidence[:, i] *= upright
        for start, stop in runs(contacts.foot[:, i] & (upright > 0.5)):
            weight = (1.0 - raised + 1e-3) * np.linalg.norm(forward[:, :2], axis=1) ** 2
            window = slice(start, stop)
            heading[window] = _hold(heading[window], weight[window], human.fps)
            stances.append((i, start, stop))
        matrices.append(np.stack([forward, cross(up, forward), up], axis=-1))
        headings.append(heading)
        flats.append(confidence[:, i] * (1.0 - raised))
        balls.append(smoothstep(-pitch, *np.radians((-2.0, 2.0))))
    source = np.stack(matrices, axis=1)
    plan = FootPlan(
        source,
        np.stack(headings, axis=1),
        confidence,
        np.stack(flats, axis=1),
        np.stack(balls, axis=1),
        tuple(stances),
    )
    return with_orientation(plan, source, human.fps)


def with_orientation(plan: FootPlan, swing: Array, fps: float) -> FootPlan:
    """The plan with `swing` [T, 2, 3, 3] as the orientation wherever the foot is not held flat."""
    matrices = []
    for i in (0, 1):
        held = plan.flat[:, i]
        heading = plan.heading[:, i]
        rate = np.gradient(heading, 1.0 / fps) if len(heading) > 1 else np.zeros_like(heading)
        level = matrix_to_quat(level_foot(heading, rate))
        mixed = quat_continuous(slerp(matrix_to_quat(swing[:, i]), level, held))
        mixed = smooth_curve(mixed, 1.0 + 20.0 * held**2, stiffness(SWING_HZ, fps))
        matrices.append(quat_to_matrix(quat_normalize(mixed)))
    return replace(plan, matrix=np.stack(matrices, axis=1))


def footprint_offsets(plan: FootPlan, frames: RobotFrames) -> Array:
    """From a footprint's origin to the ankle of the foot that stands on it, [T, 2, 3] m.

    The origin is where the ball of the flat foot stands: feet turn about it. The edge that the
    foot rolls over keeps its place, and the lowest point of the sole is on the ground.
    """
    offsets = []
    for i in (0, 1):
        matrix, heading = plan.matrix[:, i], plan.heading[:, i]
        on_ball = plan.on_ball[:, i, None]
        pivot = on_ball * frames.ball[i] + (1.0 - on_ball) * frames.heel[i]
        c, s = np.cos(heading), np.sin(heading)
        x, y = (pivot - frames.ball[i])[:, :2].T
        place = np.stack([c * x - s * y, s * x + c * y, 0.0 * x], axis=1)
        offset = place - np.einsum("tij,tj->ti", matrix, pivot)
        offset[:, 2] = -np.einsum("tj,kj->tk", matrix[:, 2], frames.soles[i]).min(axis=1)
        offsets.append(offset)
    return np.stack(offsets, axis=1)


def _hold(heading: Array, weight: Array, fps: float) -> Array:
    mean = float((weight * heading).sum() / weight.sum())
    counts = weight > 0.2 * weight.max()
    if np.percentile(np.abs(heading - mean)[counts], 90) < np.radians(PIVOT_DEG):
        return np.full_like(heading, mean)
    return low_pass(weighted_fill(heading, weight, fps), fps, 2.0)


def level_foot(heading: Array, rate: Array) -> Array:
    """Orientation [T, 3, 3] of a flat foot that turns at `rate` [T] rad/s.

    The ball carries a hair more than the heel (under 1 mm), so that it is the ball that is still
    when the heel comes off; a foot that turns has its heel a little off the ground, as people do.
    """
    lift = np.radians(FLAT_LIFT_DEG + TURN_LIFT_DEG * smoothstep(np.abs(rate), 0.2, 0.8))
    c, s, cl, sl = np.cos(heading), np.sin(heading), np.cos(lift), np.sin(lift)
    forward = np.stack([cl * c, cl * s, -sl], axis=1)
    left = np.stack([-s, c, np.zeros_like(c)], axis=1)
    return np.stack([forward, left, cross(forward, left)], axis=-1)


def stances_from(
    plan: FootPlan, ankle: Array, offsets: Array, ball: Array, fps: float
) -> list[Stance]:
    """Stances for the root fit.

    Args: `ankle` [T, 2, 3] m seen from the root; `ball` [T, 2, 3] m path of the source's balls,
    scaled, which tells whether a foot glides.
    """
    origin = ankle - offsets
    result = []
    for foot, a, b in plan.stances:
        weight = plan.confidence[a:b, foot]
        glide = np.zeros((b - a, 3))
        glide[:, :2] = glide_path(ball[a:b, foot, :2], fps)
        result.append(Stance(foot, a, b, origin[a:b, foot], glide, weight))
    return result


def glide_path(path: Array, fps: float) -> Array:
    """Movement [n, 2] m of a footprint: zero for a foot that stands, holds and slips for one that
    glides or is set over without leaving the ground.

    The path is cut into holds until each stays within `GLIDE` of its middle.
    """
    shortest = max(2, int(round(0.1 * fps)))

    def spread(part: Array) -> float:
        return float(np.percentile(np.linalg.norm(part - np.median(part, axis=0), axis=1), 90))

    def cut(start: int, stop: int) -> list[tuple[int, int]]:
        if stop - start < 2 * shortest or spread(path[start:stop]) < GLIDE:
            return [(start, stop)]
        # The sum of both parts' squared distances from their means is least where that between
        # the means counts most.
        part = path[start:stop] - path[start:stop].mean(axis=0)
        before = np.arange(shortest, len(part) - shortest + 1)
        sums = np.cumsum(part, axis=0)[before - 1]
        between = (sums**2).sum(axis=1) * (1.0 / before + 1.0 / (len(part) - before))
        best = start + int(before[int(np.argmax(between))])
        return cut(start, best) + cut(best, stop)

    holds = cut(0, len(path))
    moved = np.zeros_like(path)
    if len(holds) == 1:
        return moved
    for start, stop in holds:
        moved[start:stop] = np.median(path[start:stop], axis=0)
    # It moves while the source's does, and is held where that is slow.
    speed = np.linalg.norm(np.gradient(path, 1.0 / fps, axis=0), axis=1)
    held = 1.0 + HOLD * (1.0 - smoothstep(speed, *GLIDE_SPEED))
    return smooth_curve(moved - moved[0], held, stiffness(2.5, fps))


def ankle_targets(
    plan: FootPlan,
    offsets: Array,
    stances: Sequence[Stance],
    footprints: Array,
    wanted: Array,
    frames: RobotFrames,
    fps: float,
) -> Array:
    """Ankle positions [T, 2, 3] m: on the footprint while standing, near `wanted` else.

    The correction that footprints ask for is carried through the swing as a curve of least
    bending; swinging soles are kept above the ground.
    """
    count = len(wanted)
    target = wanted.copy()
    for foot in (0, 1):
        error = np.zeros((count, 3))
        weight = np.full(count, 1e-4)
        for stance, place in zip(stances, footprints, strict=True):
            if stance.foot != foot:
                continue
            w = slice(stance.start, stance.stop)
            target[w, foot] = place + stance.glide + offsets[w, foot]
            error[w] = target[w, foot] - wanted[w, foot]
            weight[w] = np.maximum(weight[w], 50.0 * stance.weight**2)
        carried = wanted[:, foot] + smooth_curve(error, weight, stiffness(2.0, fps))
        held = (weight / (weight + 1.0))[:, None]
        mixed = held * target[:, foot] + (1 - held) * carried
        target[:, foot] = smooth_curve(mixed, 1.0 + weight, stiffness(SWING_HZ, fps))
        lowest = np.einsum("tj,kj->tk", plan.matrix[:, foot, 2], frames.soles[foot]).min(axis=1)
        depth = np.maximum(-(target[:, foot, 2] + lowest), 0.0)
        target[:, foot, 2] += upper_envelope(depth, fps)
    return target


def stiffness(cutoff_hz: float, fps: float) -> float:
    """Weight on squared second differences that halves what is faster than `cutoff_hz`."""
    return 1.0 / (2.0 * np.sin(np.pi * min(cutoff_hz / fps, 0.5))) ** 4


def smooth_curve(value: Array, weight: Array, stiffness: float) -> Array:
    """Curve [T, D] of least second differences near `value` where `weight` [T] says so."""
    frames = len(value)
    if frames < 3:
        return value
    band = np.zeros((3, frames))
    band[2] = weight
    band[2, :-2] += stiffness
    band[2, 1:-1] += 4 * stiffness
    band[2, 2:] += stiffness
    band[1, 1:-1] -= 2 * stiffness
    band[1, 2:] -= 2 * stiffness
    band[0, 2:] += stiffness
    return solveh_banded(band, weight[:, None] * value)


def upper_envelope(depth: Array, fps: float, seconds: float = 0.1) -> Array:
    """Smooth curve [T] never below `depth` [T], zero away from where it is positive."""
    if not (depth > 0).any():
        return np.zeros_like(depth)
    width = max(1, int(round(seconds * fps)))
    held = maximum_filter1d(depth, 2 * width + 1, mode="nearest")
    return np.maximum(gaussian_filter1d(held, width / 2.0, mode="nearest", truncate=2.0), depth)
