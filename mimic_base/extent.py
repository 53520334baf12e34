"""Clips of others: how many frames and joints they may have, and how large their numbers may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.limits import check_growth, check_limit, limit, over_limit

Array = NDArray[Any]

_PER_JOINT = 7 * 8
"""Bytes of a joint in a frame: position and quaternion as float64."""


def check_clip_size(path: Path | str, frames: int, joints: int, size: int | None = None) -> None:
    """Refuse a clip of too many frames or joints, before arrays of that size are made.

    Args:
        path: the file, for errors.
        frames: T. joints: J, or markers, or columns of a table.
        size: bytes of the file, which its arrays [T, J, 7] may outgrow only so far.
    """
    check_limit(path, "frames", frames, "the number of frames")
    check_limit(path, "joints", joints, "the number of joints")
    if size is not None:
        what = f"the clip of {frames} frames and {joints} joints"
        check_growth(path, _PER_JOINT * frames * joints, size, what)


def all_small(values: Array) -> bool:
    """Whether all numbers are finite and within the limit ``magnitude``; no other kind can be."""
    if not values.size or values.dtype.kind not in "fiu":
        return values.dtype.kind != "c"
    most = limit("magnitude")
    return bool(values.max() <= most and values.min() >= -most)


def check_magnitude(path: Path | str, what: str, values: Array, names: Sequence[str] = ()) -> None:
    """Refuse numbers beyond the limit ``magnitude``: `InputError` with the first frame (and joint).

    Args:
        path: the file, for errors. what: what the numbers are, e.g. "the positions".
        values: [T, ...] any numbers. names: of the second axis.

    Numbers that are not finite are left to the readers, which tell them in their own words.
    """
    if all_small(values):
        return
    most = limit("magnitude")
    with np.errstate(invalid="ignore"):
        beyond = np.argwhere(np.isfinite(values) & (np.abs(values) > most))
    if not len(beyond):
        return
    first = tuple(int(i) for i in beyond[0])
    where = f"frame {first[0]}"
    if len(first) > 1 and len(names) == values.shape[1]:
        where += f", {names[first[1]]}"
    elif len(first) > 1:
        where += f", column {first[1]}"
    raise over_limit(path, "magnitude", abs(float(values[first])), f"a number of {what} ({where})")
