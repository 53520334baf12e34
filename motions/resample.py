"""Changing the frame rate of sampled data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motions.errors import InputError
from motions.rotations import slerp

Array = NDArray[Any]

# Frame counts are products of decimal rates: 1.2 s * 50 fps is 59.99999..., which means 60.
_GRID_TOLERANCE = 1e-6


def check_fps(fps: float, where: str = "fps") -> float:
    """`fps` as a float; an `InputError` unless it is finite and positive."""
    value = float(fps)
    if not math.isfinite(value) or value <= 0:
        raise InputError(
            f"{where}: the frame rate must be a positive number of frames per second "
            f"(found {value:g}); give the rate the clip was recorded with"
        )
    return value


def resample_positions(num_frames: int, fps: float, new_fps: float) -> Array:
    """Where the new frames lie between the old ones: fractional frame indices, float [T'].

    New frame k lies at time k / new_fps. The first and the last old frame are always kept: when
    the duration is no multiple of the new period, one more frame is added, clamped to the end.
    """
    ratio = check_fps(fps) / check_fps(new_fps, "new frame rate")
    steps = math.ceil((num_frames - 1) / ratio - _GRID_TOLERANCE)
    return np.minimum(np.arange(steps + 1) * ratio, num_frames - 1)


def lerp_frames(values: ArrayLike, positions: Array) -> Array:
    """Linear interpolation of `values` [T, ...] at fractional frame indices [T']."""
    values = np.asarray(values)
    low, fraction = _split(positions, len(values))
    fraction = fraction.reshape(-1, *([1] * (values.ndim - 1)))
    return values[low] + fraction * (values[low + 1] - values[low])


def slerp_frames(quats: ArrayLike, positions: Array) -> Array:
    """Spherical interpolation of unit quaternions [T, ..., 4] at fractional indices [T']."""
    quats = np.asarray(quats)
    low, fraction = _split(positions, len(quats))
    fraction = np.broadcast_to(
        fraction.reshape(-1, *([1] * (quats.ndim - 2))), (len(low), *quats.shape[1:-1])
    )
    return slerp(quats[low], quats[low + 1], fraction)


def _split(positions: Array, num_frames: int) -> tuple[NDArray[np.intp], Array]:
    low = np.clip(np.floor(positions).astype(np.intp), 0, num_frames - 2)
    return low, positions - low
