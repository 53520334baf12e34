"""Residuals of the whole-clip fit and their derivatives, written out by hand.

The unknowns are the body's points in the camera's frame (x right, y down, z away from the camera),
x [T, P, 3] m. A residual is a deviation over its tolerance, so every one is about 1 when it is as
wrong as expected; the cost is the sum of their squares, for pixels of rho(s) = 2 (sqrt(1 + s) - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import norm
from motions.human.video import body

Array = NDArray[Any]

_P = len(body.POINTS)
_N = 3 * _P
_HIPS = (0, 1)
_LEAST_DEPTH = 0.3
_PRIOR_M = np.array([0.08, 0.08, 0.20])
_FOLD_M = 0.03
_HYPER_M3 = 0.0015
_GROUND_M = 0.02
_SLIDE_M_S = 0.10
_ACCELERATION = 25.0
_ROOT_ACCELERATION = np.array([3.0, 6.0, 1.5])
# Across, up (jumps are fast) and in depth, where the pixels tell least.
_KNEES = ((0, 1, body.INDEX["left_knee"], body.INDEX["left_ankle"]),
          (0, 1, body.INDEX["right_knee"], body.INDEX["right_ankle"]))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What the fit is given, and what a round of it takes for settled."""

    fps: float
    """Frames a second."""
    focal: float
    """Focal length, pixels."""
    centre: Array
    """Principal point, [2] pixels."""
    pixels: Array
    """Where the points are in the picture, [T, P, 2] pixels."""
    confidence: Array
    """How far each point is believed, 0 to 1, [T, P]; 0 where it is not seen."""
    pixel_tolerance: float
    """Usual error of a point in the picture, pixels."""
    prior: Array
    """The estimator's points about the hips' middle, camera axes, [T, P, 3] m."""
    lengths: Array
    """Length of every bone, [B] m."""
    contact: Array
    """Likelihood that a point of the feet stands, [T, F]."""
    plane: Array
    """Ground: y = plane[0] + plane[1] x + plane[2] z in the camera's frame, [3]."""


def frame_rows(x: Array, problem: Problem) -> tuple[Array, Array]:
    """Residuals within a frame [T, R] and their derivatives [T, R, 3 P]; pixels come first."""
    frames = len(x)
    blocks = [_pixels(x, problem), _bones(x, problem), _prior(x, problem),
              _folds(x, problem), _knees(x), _ground(x, problem)]  # fmt: skip
    residual = np.concatenate([r for r, _ in blocks], axis=1)
    rows = np.concatenate([j.reshape(frames, -1, _N) for _, j in blocks], axis=1)
    return residual, rows


def robust(residual: Array) -> tuple[float, Array]:
    """Cost and the weight rho'(s) of every row [T, R]; a pixel's two residuals share one."""
    square = (residual[:, : 2 * _P] ** 2).reshape(len(residual), _P, 2).sum(axis=2)
    root = np.sqrt(1.0 + square)
    weight = np.ones_like(residual)
    weight[:, : 2 * _P] = np.repeat(1.0 / root, 2, axis=1)
    return float((2.0 * (root - 1.0)).sum() + (residual[:, 2 * _P :] ** 2).sum()), weight


def _pixels(x: Array, p: Problem) -> tuple[Array, Array]:
    depth = np.maximum(x[..., 2], _LEAST_DEPTH)
    scale = np.sqrt(p.confidence) / p.pixel_tolerance
    picture = p.focal * x[..., :2] / depth[..., None] + p.centre
    residual = (picture - p.pixels) * scale[..., None]
    rows = np.zeros((len(x), _P, 2, _P, 3))
    at = np.arange(_P)
    moving = x[..., 2] > _LEAST_DEPTH
    for axis in (0, 1):
        rows[:, at, axis, at, axis] = scale * p.focal / depth
        rows[:, at, axis, at, 2] = -scale * p.focal * x[..., axis] / depth**2 * moving
    return residual.reshape(len(x), -1), rows


def _distances(x: Array, a: Array, b: Array) -> tuple[Array, Array]:
    apart = x[:, a] - x[:, b]
    length = norm(apart)
    unit = apart / np.maximum(length, 1e-9)[..., None]
    rows = np.zeros((len(x), len(a), _P, 3))
    at = np.arange(len(a))
    rows[:, at, a] = unit
    rows[:, at, b] = -unit
    return length, rows


def _bones(x: Array, p: Problem) -> tuple[Array, Array]:
    length, rows = _distances(x, body.BONE_A, body.BONE_B)
    return (length - p.lengths) / body.BONE_TOLERANCE, rows / body.BONE_TOLERANCE[:, None, None]


def _prior(x: Array, p: Problem) -> tuple[Array, Array]:
    middle = x[:, _HIPS].mean(axis=1, keepdims=True)
    scale = np.sqrt(p.confidence)[..., None] / _PRIOR_M
    residual = (x - middle - p.prior) * scale
    rows = np.zeros((len(x), _P, 3, _P, 3))
    at = np.arange(_P)
    for axis in range(3):
        rows[:, at, axis, at, axis] = scale[..., axis]
        for hip in _HIPS:
            rows[:, :, axis, hip, axis] -= 0.5 * scale[..., axis]
    return residual.reshape(len(x), -1), rows


def _folds(x: Array, p: Problem) -> tuple[Array, Array]:
    """Knees and elbows bend no further than a person's do."""
    length, rows = _distances(x, body.FOLD_A, body.FOLD_B)
    lacking = body.least_reach(p.lengths) - length
    inside = lacking > 0
    return lacking * inside / _FOLD_M, -rows * inside[..., None, None] / _FOLD_M


def _knees(x: Array) -> tuple[Array, Array]:
    """Knees do not bend forward: across . (thigh x shin) is not negative, across = right to left.

    A knee bent the human way turns the shin backward about the axis from the right hip to the left.
    """
    residual = np.zeros((len(x), 2))
    rows = np.zeros((len(x), 2, _P, 3))
    for side, (left, right, knee, ankle) in enumerate(_KNEES):
        across = x[:, left] - x[:, right]
        hip = left if side == 0 else right
        thigh, shin = x[:, knee] - x[:, hip], x[:, ankle] - x[:, knee]
        normal = np.cross(thigh, shin)
        volume = (across * normal).sum(axis=1)
        wrong = (volume < 0.0)[:, None]
        residual[:, side] = np.where(wrong[:, 0], -volume, 0.0) / _HYPER_M3
        by_thigh, by_shin = np.cross(shin, across), np.cross(across, thigh)
        for point, value in ((left, normal), (right, -normal), (knee, by_thigh - by_shin),
                             (hip, -by_thigh), (ankle, by_shin)):  # fmt: skip
            rows[:, side, point] -= np.where(wrong, value, 0.0) / _HYPER_M3
    return residual, rows


def _ground(x: Array, p: Problem) -> tuple[Array, Array]:
    """What stands is on the ground; nothing is deep below it."""
    feet = x[:, body.FEET]
    below = feet[..., 1] - (p.plane[0] + p.plane[1] * feet[..., 0] + p.plane[2] * feet[..., 2])
    scale = np.where(below > 0, 1.0, np.sqrt(p.contact)) / _GROUND_M
    rows = np.zeros((len(x), len(body.FEET), _P, 3))
    at, feet_at = np.arange(len(body.FEET)), np.array(body.FEET)
    rows[:, at, feet_at] = scale[..., None] * np.array([-p.plane[1], 1.0, -p.plane[2]])
    return below * scale, rows


@dataclass(frozen=True, kw_only=True)
class Smoothness:
    """Residuals between frames, linear in the points: their share of the normal matrix is fixed.

    Accelerations of all points, of the hips' middle, and speeds of feet that stand.
    """

    second: Array
    """D'D of second differences in m/s^2: diagonals at 0, 1 and 2 frames, [3, T]."""
    first: Array
    """The same of the feet's first differences: diagonals at 0 and 1 frames, [2, T, F]."""
    fps: float

    @classmethod
    def of(cls, problem: Problem) -> Smoothness:
        frames = len(problem.pixels)
        ones = np.ones(max(frames - 2, 0)) * problem.fps**4
        second = np.zeros((3, frames))
        inner = len(ones)
        for offset, value in ((0, 1.0), (1, 4.0), (2, 1.0)):
            second[0, offset : offset + inner] += value * ones
        for offset in (0, 1):
            second[1, offset : offset + inner] += -2.0 * ones
        second[2, :inner] += ones
        stands = np.minimum(problem.contact[1:], problem.contact[:-1])
        weight = stands * (problem.fps / _SLIDE_M_S) ** 2
        first = np.zeros((2, frames, len(body.FEET)))
        first[0, 1:] += weight
        first[0, :-1] += weight
        first[1, :-1] -= weight
        return cls(second=second, first=first, fps=problem.fps)

    def add_to(self, band: Array) -> None:
        """Add to the lower band [K, T, 3 P] of the normal matrix."""
        frames = band.shape[1]
        share = 0.25 / _ROOT_ACCELERATION**2
        for k in range(3):
            value = self.second[k, : frames - k, None]
            band[k * _N, : frames - k] += value / _ACCELERATION**2
            band[k * _N, : frames - k, :6] += np.tile(share, 2) * value
            # Left hip and right hip at different times: below and above the block's diagonal.
            band[k * _N + 3, : frames - k, :3] += share * value
            if k:
                band[k * _N - 3, : frames - k, 3:6] += share * value
        for foot, point in enumerate(body.FEET):
            columns = slice(3 * point, 3 * point + 3)
            band[0, :, columns] += self.first[0, :, foot, None]
            band[_N, : frames - 1, columns] += self.first[1, : frames - 1, foot, None]

    def cost(self, x: Array) -> tuple[float, Array]:
        """Sum of squares and half its gradient, [T, P, 3]."""
        gradient = _times(self.second, x) / _ACCELERATION**2
        middle = x[:, _HIPS].mean(axis=1)
        root = _times(self.second, middle) / _ROOT_ACCELERATION**2
        gradient[:, list(_HIPS)] += 0.5 * root[:, None]
        feet = x[:, body.FEET]
        slide = self.first[0][..., None] * feet
        slide[1:] += self.first[1, :-1, :, None] * feet[:-1]
        slide[:-1] += self.first[1, :-1, :, None] * feet[1:]
        gradient[:, list(body.FEET)] += slide
        return float((gradient * x).sum()), gradient


def _times(diagonals: Array, x: Array) -> Array:
    """A symmetric band of `diagonals` [3, T] along time, times `x` [T, ...]."""
    shape = (-1, *([1] * (x.ndim - 1)))
    result = diagonals[0].reshape(shape) * x
    for k in (1, 2):
        value = diagonals[k, :-k].reshape(shape)
        result[k:] += value * x[:-k]
        result[:-k] += value * x[k:]
    return result
