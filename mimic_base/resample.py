"""Changing the frame rate of sampled data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import InputError, input_error
from mimic_base.rotations import slerp
from mimic_base.stretches import by_stretches

Array = NDArray[Any]

LEAST_FPS, GREATEST_FPS = 1.0, 1000.0
"""The rates that motion capture, video and simulations have. What lies outside is a slip (seconds
for frames, or the other way round), and would ask for no frames at all or for millions."""

# Frame counts are products of decimal rates: 1.2 s * 50 fps is 59.99999..., which means 60.
_GRID_TOLERANCE = 1e-6


def check_fps(
    fps: float, where: str = "fps", fix: str = "give the rate the clip was recorded with"
) -> float:
    """`fps` as a float; an `InputError` unless it is from `LEAST_FPS` to `GREATEST_FPS`."""
    value = float(fps)
    # 1 / 0.001 and its like may end a rounding error beyond the limit. NaN fits nowhere.
    if LEAST_FPS * (1 - 1e-9) <= value <= GREATEST_FPS * (1 + 1e-9):
        return value
    # The commonest slip: the seconds of a frame where its rate belongs.
    inverse = 1.0 / value if 0 < value < LEAST_FPS else 0.0
    if LEAST_FPS < inverse <= GREATEST_FPS:
        fix = f"{value:g} s is a frame's duration: did you mean {inverse:.6g}?"
    raise InputError(
        f"{where}: the frame rate must be {LEAST_FPS:g} to {GREATEST_FPS:g} frames per second "
        f"(found {value:g}); {fix}"
    )


def resample_positions(num_frames: int, fps: float, new_fps: float) -> Array:
    """Where the new frames lie between the old ones: fractional frame indices, float [T'].

    New frame k lies at time k / new_fps. The first and the last old frame are always kept: when
    the duration is no multiple of the new period, one more frame is added, clamped to the end.
    """
    return stride_positions(num_frames, check_fps(fps) / check_fps(new_fps, "new frame rate"))


def resampled_length(num_frames: int, fps: float, new_fps: float) -> int:
    """How many frames `resample_positions` gives; as many as before at the same rate."""
    if fps == new_fps:
        return num_frames
    stride = check_fps(fps) / check_fps(new_fps, "new frame rate")
    return math.ceil((num_frames - 1) / stride - _GRID_TOLERANCE) + 1


def stride_positions(num_frames: int, stride: float) -> Array:
    """Fractional frame indices [T'] `stride` apart, from the first frame to the last, both kept."""
    steps = math.ceil((num_frames - 1) / stride - _GRID_TOLERANCE)
    return np.minimum(np.arange(steps + 1) * stride, num_frames - 1)


def frames_between(
    num_frames: int,
    fps: float,
    start: float,
    end: float | None,
    where: object,
    *,
    said: tuple[str, str] = ("--start", "--end"),
) -> tuple[int, int]:
    """Frames from time `start` to time `end`, s: the first, and one past the last, for a slice.

    Times are rounded to frames; without an `end` it is the clip's own. Who takes the number of
    frames over the rate for the duration ends a frame late: an end up to a frame and a half past
    the last frame means that frame. `said` names what gave the two times, for the error.

    Raises:
        InputError: the times do not lie inside the clip or leave less than two frames.
    """
    final = num_frames - 1
    last = float(final) if end is None else end * fps
    if last <= final + 1.5:
        last = min(last, float(final))
    if 0.0 <= start <= (last - 0.5) / fps and last <= final:  # NaN fits nowhere
        first, stop = round(start * fps), round(last) + 1
        if stop - first >= 2:
            return first, stop
    until = "the clip's end" if end is None else f"{end:g} s"
    raise input_error(
        None if where is None else str(where),
        f"{' and '.join(dict.fromkeys(said))} must lie inside the clip, at least a frame apart",
        found=f"{start:g} s to {until}",
        expected=f"times between 0 and {final / fps:.2f} s ({num_frames} frames at {fps:g} fps)",
        fix="leave out the end for the clip's own",
    )


def lerp_frames(values: ArrayLike, positions: Array) -> Array:
    """Linear interpolation of `values` [T, ...] at fractional frame indices [T']."""
    values = np.asarray(values)

    def between(positions: Array) -> Array:
        low, fraction = _split(positions, len(values))
        fraction = fraction.reshape(-1, *([1] * (values.ndim - 1)))
        return values[low] + fraction * (values[low + 1] - values[low])

    return by_stretches(between, positions)


def slerp_frames(quats: ArrayLike, positions: Array) -> Array:
    """Spherical interpolation of unit quaternions [T, ..., 4] at fractional indices [T']."""
    quats = np.asarray(quats)

    def between(positions: Array) -> Array:
        low, fraction = _split(positions, len(quats))
        fraction = np.broadcast_to(
            fraction.reshape(-1, *([1] * (quats.ndim - 2))), (len(low), *quats.shape[1:-1])
        )
        return slerp(quats[low], quats[low + 1], fraction)

    return by_stretches(between, positions)


def _split(positions: Array, num_frames: int) -> tuple[NDArray[np.intp], Array]:
    low = np.clip(np.floor(positions).astype(np.intp), 0, num_frames - 2)
    return low, positions - low
