"""Smooth building blocks of generated motion: every curve here has a continuous acceleration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

Array = NDArray[Any]


def ease(x: ArrayLike) -> Array:
    """Minimum-jerk rise from 0 (x <= 0) to 1 (x >= 1); velocity and acceleration vanish at both."""
    x = np.clip(np.asarray(x, dtype=np.float64), 0.0, 1.0)
    return x**3 * (10.0 + x * (6.0 * x - 15.0))


def ease_between(t: Array, start: float, stop: float) -> Array:
    """`ease` over the interval from `start` to `stop` seconds, [T]."""
    return ease((t - start) / (stop - start))


def through(t: Array, knots: Sequence[tuple[float, float]]) -> Array:
    """Rest-to-rest curve [T] through `knots` (time, value), constant outside them."""
    value = np.full(len(t), knots[0][1])
    for (t0, v0), (t1, v1) in zip(knots[:-1], knots[1:], strict=True):
        value = value + (v1 - v0) * ease_between(t, t0, t1)
    return value


def window(t: Array, rise: float, top: float, fall: float, stop: float) -> Array:
    """0 before `rise`, 1 from `top` to `fall`, 0 after `stop`, smooth between, [T]."""
    return through(t, [(rise, 0.0), (top, 1.0), (fall, 1.0), (stop, 0.0)])


def smooth(x: Array, seconds: float, rate: float) -> Array:
    """Gaussian low-pass along the first axis; `seconds` is the standard deviation."""
    return gaussian_filter1d(x, seconds * rate, axis=0, mode="nearest")


def shift(x: Array, seconds: float, rate: float) -> Array:
    """`x` delayed by `seconds` (negative: ahead of time) along the first axis, ends held."""
    at = np.clip(np.arange(len(x)) - seconds * rate, 0, len(x) - 1)
    frames = np.arange(len(x))
    flat = x.reshape(len(x), -1)
    moved = [np.interp(at, frames, flat[:, k]) for k in range(flat.shape[1])]
    return np.stack(moved, axis=-1).reshape(x.shape)


def smooth_below(limit: Array, fixed: Array, rate: float, stiffness: float) -> Array:
    """A smooth curve [T] that stays close below `limit` [T].

    Asymmetric least squares: overshooting the limit costs far more than staying under it, and
    the third derivative is penalised by `stiffness` (s^6). Where `fixed` [T] is true the curve
    equals the limit.
    """
    frames = len(limit)
    bands = np.zeros((4, frames))
    third = np.array([-1.0, 3.0, -3.0, 1.0]) * rate**3
    # Upper bands of D3' D3, D3 the third difference: row k of `bands` is k above the diagonal.
    for k in range(4):
        for i in range(4 - k):
            bands[3 - k, i + k : frames - 3 + i + k] += third[i] * third[i + k]
    bands *= stiffness
    curve = limit.copy()
    for _ in range(30):
        weight = np.where(fixed, 1e7, np.where(curve > limit, 100.0, 1.0))
        system = bands.copy()
        system[3] += weight
        before, curve = curve, solveh_banded(system, weight * limit)
        if np.abs(curve - before).max() < 1e-9:
            break
    return curve
