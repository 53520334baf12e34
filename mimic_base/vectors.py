"""Small vector helpers shared by the stages; arrays are [..., 3] in metres or unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, fftconvolve, sosfiltfilt
from scipy.signal.windows import gaussian

from mimic_base.rotations import cross

Array = NDArray[Any]

UP = np.array([0.0, 0.0, 1.0])
_TINY = 1e-12


def unit(v: Array) -> Array:
    """Vectors of length one; a zero vector stays zero instead of becoming NaN."""
    return v / np.maximum(np.sqrt((v * v).sum(-1, keepdims=True)), _TINY)


def dot(a: Array, b: Array) -> Array:
    """Inner product over the last axis, [...]."""
    return (a * b).sum(-1)


def across(v: Array, axis: Array) -> Array:
    """The unit part of `v` that is perpendicular to the unit vector `axis`."""
    return unit(v - dot(v, axis)[..., None] * axis)


def rotate_about(v: Array, axis: Array, angle: Array) -> Array:
    """`v` turned by `angle` [...] about the unit vector `axis` (Rodrigues)."""
    c, s = np.cos(angle)[..., None], np.sin(angle)[..., None]
    return c * v + s * cross(axis, v) + (1 - c) * dot(axis, v)[..., None] * axis


def angle_about(a: Array, b: Array, axis: Array) -> Array:
    """Signed angle [...] about `axis` that turns `a` into `b`, both perpendicular to it."""
    return np.arctan2(dot(cross(a, b), axis), dot(a, b))


def smoothstep(x: Array, lower: float, upper: float) -> Array:
    """0 below `lower`, 1 above `upper`, a smooth cubic between."""
    t = np.minimum(np.maximum((x - lower) / (upper - lower), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def low_pass(x: Array, fps: float, cutoff_hz: float) -> Array:
    """Zero-phase Butterworth low-pass of second order along time, [T, ...].

    The ends are padded by point reflection, so that the filter neither bends nor shifts them; a
    clip too short to filter, or a cut-off above the Nyquist rate, comes back unchanged.
    """
    if cutoff_hz >= 0.45 * fps or len(x) < 6:
        return x
    sos = butter(2, cutoff_hz, fs=fps, output="sos")
    pad = min(len(x) - 1, int(3 * fps / cutoff_hz))
    return sosfiltfilt(sos, x, axis=0, padtype="odd", padlen=pad)


def weighted_fill(x: Array, weight: Array, fps: float, seconds: float = 0.25) -> Array:
    """`x` [T, ...] where its weight [T] is high, carried smoothly over where it is low.

    Normalised convolution with ever wider windows; far from any evidence the weighted mean of the
    clip is approached.
    """
    shape = (len(weight),) + (1,) * (x.ndim - 1)
    w = weight.reshape(shape).astype(float)
    total = float(weight.sum())
    mean = (w * x).sum(axis=0) / total if total > _TINY else x.mean(axis=0)
    filled = np.broadcast_to(mean, x.shape).astype(float)
    for scale in (16.0, 4.0, 1.0):
        sigma = max(seconds * scale * fps, 0.5)
        top, bottom = _blurred(w * x, sigma), _blurred(w, sigma)
        share = bottom / (bottom + 0.05)
        filled = share * top / np.maximum(bottom, _TINY) + (1.0 - share) * filled
    return w * x + (1.0 - w) * filled


def _blurred(x: Array, sigma: float) -> Array:
    """Gaussian filter along time; wide ones in the frequency domain, where width costs nothing."""
    if sigma < 8.0:
        return gaussian_filter1d(x, sigma, axis=0, mode="nearest")
    reach = int(4.0 * sigma + 0.5)
    window = gaussian(2 * reach + 1, sigma).reshape(-1, *(1,) * (x.ndim - 1))
    padded = np.pad(x, [(reach, reach)] + [(0, 0)] * (x.ndim - 1), mode="edge")
    return fftconvolve(padded, window / window.sum(), mode="valid", axes=0)


def robust_direction(v: Array, weight: Array) -> Array:
    """Weighted mean direction [3] of unit vectors [T, 3], outliers beyond 20 degrees left out."""
    weight = np.maximum(weight, 1e-6)
    mean = unit((weight[:, None] * v).sum(axis=0))
    for _ in range(5):
        near = weight * smoothstep(dot(v, mean), np.cos(np.radians(20)), np.cos(np.radians(8)))
        if near.sum() < 0.05 * weight.sum():
            break
        mean = unit((near[:, None] * v).sum(axis=0))
    return mean


def turned_within(v: Array, centre: Array, most: float) -> Array:
    """Unit vector `v` [3], or what of its turn away from `centre` is allowed (rad)."""
    angle = float(np.arccos(np.clip(v @ centre, -1.0, 1.0)))
    if angle <= most:
        return v
    return rotate_about(centre, unit(cross(centre, v)), np.array(most))


def median(x: Array, weight: Array) -> float:
    order = np.argsort(x)
    total = np.cumsum(weight[order])
    return (
        float(x[order][np.searchsorted(total, 0.5 * total[-1])])
        if total[-1] > 0
        else float(np.median(x))
    )


def circular_median(angle: Array, weight: Array) -> float:
    if weight.sum() <= 1e-9:
        weight = np.ones_like(weight)
    centre = np.angle((weight * np.exp(1j * angle)).sum())
    offset = np.angle(np.exp(1j * (angle - centre)))
    return float(centre + median(offset, weight))
