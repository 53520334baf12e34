"""Smooth curves through what is known of a path: least bending, and an envelope over depths."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from mimic_base.vectors import Array


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
