"""From the person's size to the robot's: one scale for the path, limb directions kept.

Lengths are scaled by the ratio of the legs, so that steps keep their proportion to the legs that
make them. Where feet stand, the root is fitted to them over the whole clip: the robot's thighs,
shanks and hips have other proportions than the person's, so a merely scaled path would make feet
slide. The fit is linear least squares with a narrow band and costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimic_base.vectors import Array
from retarget.person.calibration import CalibratedHuman
from robots.frames import RobotFrames


def _band(values: list[float], offsets: list[int] | int, shape: tuple[int, int]) -> Any:
    """A sparse matrix of constant diagonals; scipy's stubs know only a single offset."""
    from scipy.sparse import diags

    return diags(values, offsets, shape=shape)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class RootFitSettings:
    """Cut-off frequencies of the root fit, Hz."""

    contact_hz: float = 2.0
    """Below it the standing feet lead the root, above it the source's own movement does."""
    smooth_hz: float = 7.0
    """Above it the root is smoothed."""
    drift: float = 1e-4
    """Pull to the scaled path, relative to the feet."""


def leg_scale(human: CalibratedHuman, frames: RobotFrames) -> float:
    """Robot leg length (hip to ankle) over the person's."""
    return frames.leg_length / human.leg_length


def scaled_hips(
    human: CalibratedHuman, frames: RobotFrames, ground: float, support: Array | None = None
) -> Array:
    """Path [T, 3] m of the middle of the robot's hips, the ground at zero or at `support` [T] m.

    With s the ratio of the legs, the horizontal path is ``s x``; heights are scaled above the ankle
    of a standing foot, since ankles of a robot need not be as high over the sole as scaled human
    ones: ``z = s (z_hips - ground - ankle height) + robot's ankle height (+ support)``.
    """
    scale = leg_scale(human, frames)
    path = human.hips * scale
    path[:, 2] = (human.hips[:, 2] - ground - human.ankle_height) * scale + frames.sole_height
    if support is not None:
        path[:, 2] += support
    return path


@dataclass(frozen=True)
class Stance:
    """One stretch of frames in which a foot stands on one footprint."""

    foot: int
    start: int
    stop: int
    """Excluded."""
    offset: Array
    """[n, 3] m: the footprint's origin as seen from the root, from the unplaced solution."""
    slide: Array
    """[n, 3] m: how far the footprint itself has moved; zero for a foot that stands still."""
    weight: Array
    """[n] 0..1."""


Heights = Callable[[Stance, Array], Array]
"""Heights [n] m of a stance's footprint at its horizontal places [n, 2] m."""


def fit_root(
    path: Array,
    stances: list[Stance],
    fps: float,
    settings: RootFitSettings | None = None,
    anchor_z: float = 0.0,
    heights: Heights | None = None,
) -> tuple[Array, Array]:
    """Root path [T, 3] and footprint positions [len(stances), 3] that agree with each other.

    Minimises, over the root r and the footprints a_k: weight |r + offset - slide - a_k|^2 where a
    foot stands, the difference of velocities to `path`, accelerations, and a little of
    |r - path|^2.
    Footprints lie at height `anchor_z`, or where `heights` puts them once their horizontal places
    are known; a sliding footprint's height then follows its way over the ground, and what
    `stance.slide` says of heights is replaced.
    """
    from scipy.sparse import coo_matrix, csc_matrix, vstack
    from scipy.sparse.linalg import splu

    s = settings or RootFitSettings()
    frames, count = len(path), len(stances)
    velocity = 1.0 / (2.0 * np.sin(np.pi * min(s.contact_hz / fps, 0.45))) ** 2
    smooth = velocity / (2.0 * np.sin(np.pi * min(s.smooth_hz / fps, 0.45))) ** 2
    rows, columns, values, right, weights = [], [], [], [], []
    n = 0
    for k, stance in enumerate(stances):
        length = stance.stop - stance.start
        index = np.arange(length)
        rows += [n + index, n + index]
        columns += [np.arange(stance.start, stance.stop), np.full(length, frames + k)]
        values += [np.ones(length), -np.ones(length)]
        right.append(stance.slide - stance.offset)
        weights.append(stance.weight)
        n += length
    if n:
        contact = coo_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(n, frames + count),
        )
        contact_right, contact_weight = np.concatenate(right), np.concatenate(weights)
    else:
        contact = coo_matrix((0, frames + count))
        contact_right, contact_weight = np.zeros((0, 3)), np.zeros(0)
    root = _band([1.0], 0, shape=(frames, frames + count))
    first = _band([-1.0, 1.0], [0, 1], shape=(frames - 1, frames + count))
    blocks = [contact, first, root]
    rights = [contact_right, np.diff(path, axis=0), path]
    scales = [contact_weight, np.full(frames - 1, velocity), np.full(frames, s.drift)]
    if frames > 2:
        second = _band([1.0, -2.0, 1.0], [0, 1, 2], shape=(frames - 2, frames + count))
        blocks.append(second)
        rights.append(np.diff(path, n=2, axis=0) * 0.0)
        scales.append(np.full(frames - 2, 0.02 * smooth))
    a = csc_matrix(vstack(blocks))
    w = np.concatenate(scales)
    b = np.concatenate(rights)
    tiny = _band([1e-9], [0], shape=(frames + count, frames + count))
    normal = csc_matrix(a.T @ a.multiply(w[:, None])) + tiny
    solution = np.empty((frames + count, 3))
    horizontal = splu(csc_matrix(normal)).solve(a.T @ (w[:, None] * b[:, :2]))
    solution[:, :2] = horizontal
    # In height the footprints are known, so they leave the unknowns.
    free, fixed = a[:, :frames], a[:, frames:]
    anchors = np.full(count, anchor_z)
    if heights is not None and n:
        found = [
            heights(stance, solution[frames + k, :2] + stance.slide[:, :2])
            for k, stance in enumerate(stances)
        ]
        anchors = np.array([each[0] for each in found])
        row = 0
        for stance, each in zip(stances, found, strict=True):
            part = slice(row, row + len(each))
            b[part, 2] += each - each[0] - stance.slide[:, 2]
            stance.slide[:, 2] = each - each[0]
            row += len(each)
    target = b[:, 2] - fixed @ anchors
    normal_z = csc_matrix(free.T @ free.multiply(w[:, None])) + _band(
        [1e-9], [0], shape=(frames, frames)
    )
    solution[:frames, 2] = splu(csc_matrix(normal_z)).solve(free.T @ (w * target))
    solution[frames:, 2] = anchors
    return solution[:frames], solution[frames:]
