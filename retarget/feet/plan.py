"""The feet's own plan: flat and still where they stand, the source's path where they swing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimic_base.rotations import (
    cross,
    matrix_to_quat,
    quat_continuous,
    quat_normalize,
    quat_to_matrix,
    slerp,
)
from mimic_base.signals import low_pass, smooth_curve, stiffness, weighted_fill
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array, smoothstep
from retarget.feet.contacts import FootContacts, runs
from retarget.person.calibration import CalibratedHuman
from robots.frames import RobotFrames
from robots.segments import SIDES

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
PIVOT_DEG = 12.0
"""A standing foot that turns by more than this in one stance pivots; less is held still."""
LIFT_SPEED = 0.4
"""m/s for a leg of one metre; a foot that has left the ground slower than this, seen from above,
goes straight up."""
LIFT_SECONDS = 0.1
"""No foot goes straight up for longer."""


@dataclass(frozen=True)
class FootPlan:
    """What both feet (left, right) shall do.

    Attributes:
        matrix: [T, 2, 3, 3] orientation of the feet, columns forward, left, up.
        heading: [T, 2] rad, of the footprints; constant over a stance that does not pivot.
        confidence: [T, 2] that the foot stands. flat: [T, 2] that it stands on its whole sole.
        on_ball: [T, 2] 1 where a standing foot rolls over its front edge, 0 over the rear one.
        lock: [T, 2, 2] how firmly the foot keeps its place, horizontally and in height.
        stances: (foot, start, stop) of every stance.
        lift_frames: per stance, for how many frames after it the foot goes straight up.
        ground: the surface that the feet stand on.
        tilt: [T, 2, 3, 3] rotation from the vertical to the ground's normal below each foot; None
            on the flat ground. support: [T] m, the ground's height below the robot; None there.

    On a ground that is not flat, `matrix` is of the world, and the plan's heading, pitch and
    flatness are relative to the ground.
    """

    matrix: Array
    heading: Array
    confidence: Array
    flat: Array
    on_ball: Array
    lock: Array
    stances: tuple[tuple[int, int, int], ...]
    lift_frames: tuple[int, ...]
    ground: Surface = FLAT
    tilt: Array | None = None
    support: Array | None = None


def plan_feet(human: CalibratedHuman, contacts: FootContacts) -> FootPlan:
    """Plan the orientation of the feet.

    A standing foot is flat while the source's is nearly flat, and rolls over its front or rear
    edge as the source does else. The heading is held over a stance unless the foot clearly
    pivots. A foot that leaves the ground straight up stays over its footprint until it moves on.
    Swing keeps the source's orientation.
    """
    matrices, headings, flats, balls = [], [], [], []
    stances: list[tuple[int, int, int]] = []
    lift_frames: list[int] = []
    confidence = contacts.confidence.copy()
    lock = np.zeros((*confidence.shape, 2))
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
        on_ball = smoothstep(-pitch, *np.radians((-2.0, 2.0)))
        standing = contacts.foot[:, i] & (upright > 0.5)
        for start, stop in runs(standing):
            weight = (1.0 - raised + 1e-3) * np.linalg.norm(forward[:, :2], axis=1) ** 2
            window = slice(start, stop)
            heading[window] = _locked_heading(heading[window], weight[window], human.fps)
            lift = slice(stop, stop + _lift_frames(human, standing, i, stop, on_ball[stop - 1]))
            heading[lift] = heading[stop - 1]
            lock[window, i] = confidence[window, i, None]
            lock[lift, i, 0] = 1.0
            stances.append((i, start, stop))
            lift_frames.append(lift.stop - stop)
        matrices.append(np.stack([forward, cross(up, forward), up], axis=-1))
        headings.append(heading)
        flats.append(confidence[:, i] * (1.0 - raised))
        balls.append(on_ball)
    source = np.stack(matrices, axis=1)
    plan = FootPlan(
        source,
        np.stack(headings, axis=1),
        confidence,
        np.stack(flats, axis=1),
        np.stack(balls, axis=1),
        lock,
        tuple(stances),
        tuple(lift_frames),
    )
    return with_orientation(plan, source, human.fps)


def _lift_frames(
    human: CalibratedHuman, standing: Array, foot: int, stop: int, on_ball: float
) -> int:
    """For how many frames from `stop` on the edge that a foot stood on goes straight up."""
    most = LIFT_SPEED * np.sqrt(human.leg_length) / human.fps
    frames = slice(stop - 1, stop + max(1, round(LIFT_SECONDS * human.fps)))
    edge = on_ball * human.ball[frames, foot] + (1.0 - on_ball) * human.heel[frames, foot]
    step = np.linalg.norm(np.diff(edge[:, :2], axis=0), axis=1)
    moves = np.append((step > most) | standing[frames][1:], True)
    return int(moves.argmax())


def with_orientation(plan: FootPlan, swing: Array, fps: float) -> FootPlan:
    """The plan with `swing` [T, 2, 3, 3] as the orientation wherever the foot does not stand.

    A standing foot that is not held flat has the pitch of `swing`, without tilt: it rolls over
    the whole of its edge.
    """
    if plan.tilt is not None:
        swing = np.swapaxes(plan.tilt, -1, -2) @ swing
    matrices = []
    for i in (0, 1):
        held = plan.flat[:, i]
        heading = plan.heading[:, i]
        rate = np.gradient(heading, 1.0 / fps) if len(heading) > 1 else np.zeros_like(heading)
        level = matrix_to_quat(level_foot(heading, rate))
        rolled = matrix_to_quat(rolled_foot(heading, swing[:, i]))
        own = slerp(matrix_to_quat(swing[:, i]), rolled, plan.lock[:, i, 0])
        mixed = quat_continuous(slerp(own, level, held))
        mixed = smooth_curve(mixed, 1.0 + 20.0 * held**2, stiffness(SWING_HZ, fps))
        matrices.append(quat_to_matrix(quat_normalize(mixed)))
    matrix = np.stack(matrices, axis=1)
    return replace(plan, matrix=matrix if plan.tilt is None else plan.tilt @ matrix)


def footprint_offsets(plan: FootPlan, frames: RobotFrames) -> Array:
    """From a footprint's origin to the ankle of the foot that stands on it, [T, 2, 3] m.

    The origin is where the ball of the flat foot stands: feet turn about it. The edge that the
    foot rolls over keeps its place, and the lowest point of the sole is on the ground (which is
    taken for the plane through the origin with the ground's tilt).
    """
    offsets = []
    for i in (0, 1):
        matrix, heading = plan.matrix[:, i], plan.heading[:, i]
        if plan.tilt is not None:
            matrix = np.swapaxes(plan.tilt[:, i], -1, -2) @ matrix
        on_ball = plan.on_ball[:, i, None]
        pivot = on_ball * frames.ball[i] + (1.0 - on_ball) * frames.heel[i]
        c, s = np.cos(heading), np.sin(heading)
        x, y = (pivot - frames.ball[i])[:, :2].T
        place = np.stack([c * x - s * y, s * x + c * y, 0.0 * x], axis=1)
        offset = place - np.einsum("tij,tj->ti", matrix, pivot)
        offset[:, 2] = -np.einsum("tj,kj->tk", matrix[:, 2], frames.soles[i]).min(axis=1)
        if plan.tilt is not None:
            offset = np.einsum("tij,tj->ti", plan.tilt[:, i], offset)
        offsets.append(offset)
    return np.stack(offsets, axis=1)


def _locked_heading(heading: Array, weight: Array, fps: float) -> Array:
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


def rolled_foot(heading: Array, source: Array) -> Array:
    """Orientation [T, 3, 3] of a foot that rolls over its front or rear edge.

    It has the pitch of `source` [T, 3, 3] and the `heading` [T] rad of its footprint, unless the
    source turns further on its edge than a foot does that stands.
    """
    left, play = source[..., 1], np.radians(PIVOT_DEG)
    turned = np.arctan2(-left[:, 0], left[:, 1]) - heading
    turned = np.angle(np.exp(1j * turned))
    heading = heading + turned - np.clip(turned, -play, play)
    pitch = np.arctan2(source[:, 2, 0], source[:, 2, 2])
    c, s, cp, sp = np.cos(heading), np.sin(heading), np.cos(pitch), np.sin(pitch)
    forward = np.stack([cp * c, cp * s, sp], axis=1)
    left = np.stack([-s, c, np.zeros_like(c)], axis=1)
    return np.stack([forward, left, cross(forward, left)], axis=-1)
