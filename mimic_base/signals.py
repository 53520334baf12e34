"""Filtering and smoothing of signals over time, [T, ...].

`scipy.signal` takes seconds to import, so what is needed of it is written out here.
"""

from __future__ import annotations

import numpy as np

from mimic_base.stretches import stretches
from mimic_base.vectors import Array
from mimic_base.windows import gaussian, highest

_TINY = 1e-12
_TOGETHER = 2_000_000
"""Values filtered at once."""


def low_pass(x: Array, fps: float, cutoff_hz: float) -> Array:
    """Zero-phase Butterworth low-pass of second order along time, [T, ...].

    The filter runs forward and backward, so its gain at the cut-off is 1/2. The ends are padded
    by point reflection, so that the filter neither bends nor shifts them; a clip too short to
    filter, or a cut-off above the Nyquist rate, comes back unchanged.
    """
    if cutoff_hz >= 0.45 * fps or len(x) < 6:
        return x
    pad = min(len(x) - 1, int(3 * fps / cutoff_hz))
    flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    # Butterworth of order two by the bilinear transform, with the cut-off pre-warped:
    # y[n] + a1 y[n-1] + a2 y[n-2] = b (x[n] + 2 x[n-1] + x[n-2]).
    k = np.tan(np.pi * cutoff_hz / fps)
    scale = 1.0 / (1.0 + np.sqrt(2.0) * k + k * k)
    b, a1, a2 = k * k * scale, 2.0 * (k * k - 1.0) * scale, (1.0 - np.sqrt(2.0) * k + k * k) * scale
    result = np.empty(flat.shape)
    # A few columns of a long clip at a time: what is in between takes several times their memory.
    together = max(1, _TOGETHER // len(x))
    for columns in stretches(flat.shape[1], together):
        part = flat[:, columns]
        before, after = 2 * part[0] - part[pad:0:-1], 2 * part[-1] - part[-2 : -pad - 2 : -1]
        padded = np.concatenate([before, part, after])
        filtered = _recursive(_recursive(padded, b, a1, a2)[::-1], b, a1, a2)[::-1]
        result[:, columns] = filtered[pad : pad + len(x)]
    return result.reshape(x.shape)


def _recursive(x: Array, b: float, a1: float, a2: float) -> Array:
    """y[n] + a1 y[n-1] + a2 y[n-2] = b (x[n] + 2 x[n-1] + x[n-2]) along the first axis.

    Before its first frame the signal [T, D] is taken to have stood at its first value.
    """
    from scipy.linalg import get_lapack_funcs

    held = np.concatenate([x[:1], x[:1], x])
    right = b * (held[2:] + 2.0 * held[1:-1] + held[:-2])
    right[0] -= (a1 + a2) * x[0]
    right[1] -= a2 * x[0]
    band = np.ones((3, len(x)))
    band[1], band[2] = a1, a2
    (solve,) = get_lapack_funcs(("tbtrs",), dtype=np.float64)
    solution, info = solve(band, np.asfortranarray(right), uplo="L", overwrite_b=1)
    if info:
        raise FloatingPointError(f"the triangular solve of a filter failed ({info})")
    return solution


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
        return gaussian(x, sigma)
    reach = int(4.0 * sigma + 0.5)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(x, [(reach, reach)] + [(0, 0)] * (x.ndim - 1), mode="edge")
    size = _smooth_number(len(padded) + 2 * reach)
    spectrum = np.fft.rfft(window / window.sum(), size).reshape(-1, *(1,) * (x.ndim - 1))
    full = np.fft.irfft(np.fft.rfft(padded, size, axis=0) * spectrum, size, axis=0)
    return full[2 * reach : 2 * reach + len(x)]


def _smooth_number(least: int) -> int:
    """The smallest 2^a 3^b 5^c of at least `least`: Fourier transforms of that length are quick."""
    best = 1 << max(0, (least - 1).bit_length())
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three << max(0, (-(-least // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best


def stiffness(cutoff_hz: float, fps: float) -> float:
    """Weight on squared second differences that halves what is faster than `cutoff_hz`."""
    return 1.0 / (2.0 * np.sin(np.pi * min(cutoff_hz / fps, 0.5))) ** 4


def smooth_curve(value: Array, weight: Array, stiffness: float) -> Array:
    """Curve [T, D] of least second differences near `value` where `weight` [T] says so.

    It minimises ``sum_t weight_t |c_t - value_t|^2 + stiffness sum_t |c_t - 2 c_t+1 + c_t+2|^2``.
    """
    from scipy.linalg import solveh_banded

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
    held = highest(depth, 2 * width + 1)
    return np.maximum(gaussian(held, width / 2.0, truncate=2.0), depth)
