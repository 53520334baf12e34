"""Files of numbers: .npy, .npz, pickles and PyTorch archives, told apart by what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.archives import ZIP_MAGIC
from mimic_base.numpy_files import NPY_MAGIC
from mimic_base.pickle_data import is_torch_archive, load_pickle, load_torch
from mimic_base.reading import opened
from motions.human.readers.arrays import START, UNNAMED, load_arrays, refuse_robot_motion
from motions.human.readers.landmarks import is_landmarks, read_landmarks
from motions.human.readers.positions import read_positions
from motions.human.readers.raw import RawClip, ReadOptions, read_bytes
from motions.human.readers.reader import Reader
from motions.human.readers.smpl import read_smpl
from motions.human.readers.smpl_keys import nothing_found

_END = 1 << 16
"""Bytes at the end of an archive that are looked at."""


def load_keys(path: Path) -> Mapping[Any, Any]:
    """The named arrays (and, in pickles, nested containers) of a file of numbers."""
    start = read_bytes(path, START)
    if start.startswith(ZIP_MAGIC) and is_torch_archive(start + _end(path)):
        content = load_torch(path, read_bytes(path))
    elif start.startswith((NPY_MAGIC, ZIP_MAGIC)) or path.suffix.lower() in (".npy", ".npz"):
        arrays = load_arrays(path)
        alone = arrays.get(UNNAMED)
        if alone is None or alone.shape or not isinstance(alone[()], Mapping):
            return arrays
        content = alone[()]  # a dictionary that was saved with numpy.save
    else:
        content = load_pickle(path, read_bytes(path))
    if not isinstance(content, Mapping):
        raise nothing_found(path, content)
    return content


def _end(path: Path) -> bytes:
    """The last bytes of a file, where a zip archive has its contents."""
    with opened(path) as stream:
        stream.seek(max(0, path.stat().st_size - _END))
        return stream.read()


def read_numeric(path: Path, options: ReadOptions) -> RawClip:
    """A clip from a file of numbers: SMPL parameters, video landmarks or joint positions."""
    keys = load_keys(path)
    refuse_robot_motion(path, keys)
    clip = read_smpl(path, keys, options)
    if clip is not None:
        return clip
    if is_landmarks(keys, options):
        return read_landmarks(path, keys, options)
    plain = {str(k): np.asarray(v) for k, v in keys.items() if _is_array_or_number(v)}
    if not plain:
        raise nothing_found(path, keys)
    return read_positions(path, plain, options)


def _is_array_or_number(value: Any) -> bool:
    return hasattr(value, "shape") or type(value) in (int, float)


def _recognise(start: bytes, _: str) -> bool:
    # A pickle of protocol 2 to 5 begins with its version.
    pickled = len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5
    return start.startswith((NPY_MAGIC, ZIP_MAGIC)) or pickled


def _is_clip(path: Path) -> bool:
    read_numeric(path, ReadOptions(fps=30.0))  # the rate does not decide what it is
    return True


READER = Reader(
    name="arrays",
    extensions=(".npy", ".npz", ".pkl", ".pt"),
    read=read_numeric,
    recognise=_recognise,
    is_clip=_is_clip,
)
