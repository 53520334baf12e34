"""Which part of which foot stands on the ground, and where that ground is.

Works on points of the source's soles, so it serves any retargeter. Detection is by speed and height
with hysteresis; the ground level is the height at which slow soles gather, because mocap floors
are seldom at zero (LAFAN1's toes stand 2-3 cm below it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array, smoothstep
from mimic_base.windows import gaussian, highest, middle

SLOW = 0.3
"""m/s for a leg of one metre; slower soles tell where the floor is."""


@dataclass(frozen=True)
class ContactSettings:
    """Speeds and heights for a leg of one metre; they scale with the leg and its square root."""

    enter_speed: float = 0.40
    """m/s; a point slower than this may begin to stand."""
    leave_speed: float = 0.62
    """m/s; a standing point faster than this has left."""
    enter_height: float = 0.05
    """m above the ground."""
    leave_height: float = 0.085
    min_seconds: float = 0.07
    """Shorter contacts and shorter gaps are noise."""


@dataclass(frozen=True)
class FootContacts:
    """Contact of ball and heel of both feet (left, right).

    Attributes:
        ball, heel: [T, 2] bool.
        ball_confidence, heel_confidence: [T, 2] 0..1, smooth in time.
        ground: m, the height of the ground in the source's world.
    """

    ball: Array
    heel: Array
    ball_confidence: Array
    heel_confidence: Array
    ground: float

    @property
    def foot(self) -> Array:
        """[T, 2] bool: any part of the foot stands."""
        return self.ball | self.heel

    @property
    def confidence(self) -> Array:
        """[T, 2] 0..1: any part of the foot stands."""
        return np.maximum(self.ball_confidence, self.heel_confidence)


def detect_contacts(
    ball: Array,
    heel: Array,
    fps: float,
    leg_length: float,
    settings: ContactSettings | None = None,
    lowest: Array | None = None,
) -> FootContacts:
    """Find the contacts of sole points `ball` and `heel`, [T, 2, 3] m.

    `lowest` [T] m, the height of the lowest joint, tells of a ground that feet never touch.
    """
    settings = settings or ContactSettings()
    ground = ground_height(ball, heel, fps, leg_length)
    if lowest is not None:
        body = float(np.percentile(lowest, 3))
        if body < ground - 0.1 * leg_length:
            ground = body - 0.04 * leg_length
    masks = []
    for points in (ball, heel):
        masks.append(_contact_mask(points, ground, fps, leg_length, settings))
    confident = [_confidence(mask, fps) for mask in masks]
    return FootContacts(masks[0], masks[1], confident[0], confident[1], ground)


def planted(contacts: FootContacts, ball: Array, fps: float, leg_length: float) -> Array:
    """[T, 2] bool: feet that stand with their ball at rest.

    A foot stands while any part of it touches, so that a heel that strikes, a foot that rolls and
    one that is dragged stand too. Planted is one whose ball, beside that, takes a step of less than
    `SLOW` to the frame before or after: what slides there is sliding and nothing else.
    """
    step = np.linalg.norm(np.diff(ball, axis=0), axis=-1) * fps
    if not len(step):
        return contacts.foot
    slower = np.minimum(np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]]))
    return contacts.foot & (slower < SLOW * np.sqrt(leg_length))


def ground_height(ball: Array, heel: Array, fps: float, leg_length: float) -> float:
    """Height of the floor: centre of the densest 4 cm window of the heights of slow sole points.

    Without a slow moment (a clip in the air, or one that never stops) the lowest percentile.
    """
    points = np.concatenate([ball, heel], axis=1)
    speed = _speed(points, fps)
    slow = speed < SLOW * np.sqrt(leg_length)
    height = points[..., 2]
    # The lower of ball and heel of a foot is the one that can stand.
    lower = np.minimum(ball[..., 2], heel[..., 2])
    stands = slow & (height <= np.concatenate([lower, lower], axis=1) + 0.01)
    candidates = np.sort(height[stands])
    if len(candidates) < 5:
        return float(np.percentile(lower, 2))
    return densest_level(candidates, leg_length)


def densest_level(candidates: Array, leg_length: float) -> float:
    """The floor (m) among the sorted heights [K] m of soles that stand."""
    window = 0.04 * leg_length
    ends = np.searchsorted(candidates, candidates + window, side="right")
    counts = ends - np.arange(len(candidates))
    # Standing on a box or with a leg up must not win against the floor below.
    floor = candidates[counts >= 0.5 * counts.max()][0]
    inside = candidates[(candidates >= floor) & (candidates <= floor + window)]
    return float(np.median(inside))


def _speed(points: Array, fps: float) -> Array:
    """[T, K]: the slower of the steps before and after a frame, m/s, median-filtered."""
    step = np.linalg.norm(np.diff(points, axis=0), axis=-1) * fps
    step = np.concatenate([step[:1], step, step[-1:]])
    slower = np.minimum(step[:-1], step[1:])
    width = max(1, int(round(0.05 * fps)) | 1)
    return middle(slower, width) if width > 1 else slower


def _contact_mask(
    points: Array, ground: float, fps: float, leg_length: float, s: ContactSettings
) -> Array:
    pace = np.sqrt(leg_length)
    speed = _speed(points, fps) / pace
    height = (points[..., 2] - ground) / leg_length
    enter = (speed < s.enter_speed) & (height < s.enter_height)
    stay = (speed < s.leave_speed) & (height < s.leave_height)
    mask = np.zeros(enter.shape, bool)
    for foot in range(enter.shape[1]):
        mask[:, foot] = _hysteresis(enter[:, foot], stay[:, foot])
        mask[:, foot] = _drop_short(mask[:, foot], s.min_seconds * fps)
    return mask


def _hysteresis(enter: Array, stay: Array) -> Array:
    """Runs of `stay` that hold at least one `enter`."""
    runs = np.cumsum(np.diff(np.concatenate([[False], stay]).astype(int)) == 1)
    good = np.unique(runs[enter & stay])
    return stay & np.isin(runs, good)


def _drop_short(mask: Array, frames: float) -> Array:
    """Gaps shorter than `frames` closed, then runs shorter than that removed."""
    for value in (False, True):
        edges = np.flatnonzero(np.diff(mask.astype(int))) + 1
        bounds = np.concatenate([[0], edges, [len(mask)]])
        mask = mask.copy()
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            at_border = start == 0 or stop == len(mask)
            if bool(mask[start]) is value and stop - start < frames and not at_border:
                mask[start:stop] = not value
    return mask


def _confidence(mask: Array, fps: float) -> Array:
    # A little more at either end: the foot is in its place when it begins and until it ends.
    mask = highest(mask, 2 * max(1, round(0.06 * fps)) + 1)
    soft = gaussian(mask.astype(float), max(0.05 * fps, 0.6))
    return smoothstep(soft, 0.15, 0.85)


def runs(mask: Array) -> list[tuple[int, int]]:
    """Start and stop (excluded) of every run of True in `mask` [T]."""
    padded = np.concatenate([[False], mask, [False]]).astype(int)
    edges = np.flatnonzero(np.diff(padded))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
