"""Working through the frames of a clip a stretch at a time, so that what is in between is small.

A calculation that treats every frame by itself has the same bits however a clip is cut. What looks
at neighbours has to be given them: see who calls `stretches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STRETCH = 8192
"""Frames of a stretch. A minute has 1,800 to 7,200: ordinary clips are a single one."""


def stretches(frames: int, size: int = STRETCH) -> Iterator[slice]:
    """What is from 0 to `frames` in stretches of `size`, the last one shorter."""
    for begin in range(0, frames, size):
        yield slice(begin, min(begin + size, frames))


def by_stretches(function: Callable[..., Array], *arrays: Array, size: int = STRETCH) -> Array:
    """``function(*arrays)`` [T, ...] of arrays [T, ...], for a function of every frame."""
    frames = len(arrays[0])
    if frames <= size:
        return function(*arrays)
    result: Array | None = None
    for part in stretches(frames, size):
        values = function(*(each[part] for each in arrays))
        if result is None:
            result = np.empty((frames, *values.shape[1:]), values.dtype)
        result[part] = values
    assert result is not None
    return result
