"""NumPy's ``.npy`` and ``.npz`` of others, read within limits and without numpy's own parser.

The head of an array says its dtype and shape. It is read by a pattern, not as a Python expression;
the dtype has to be plain (numbers, texts, or Python objects, which are the plain data of a pickle:
`mimic_base.pickle_data`), and the shape has to fit the bytes that follow before an array is made.
The format is described in NumPy's "NEP 1".
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.archives import AGAIN, ZIP_MAGIC, checked_archive
from mimic_base.errors import InputError, input_error
from mimic_base.limits import check_limit, limit
from mimic_base.reading import opened

Array = NDArray[Any]

NPY_MAGIC = b"\x93NUMPY"
OBJECTS = "it holds Python objects (a pickle), not plain numbers"
HEAD_START = 1 << 12
"""Bytes that hold the head of any array with a plain dtype; NumPy writes some 128."""
_LONGEST_HEAD = 1 << 16
_LONGEST_START = _LONGEST_HEAD + 12
_PIECE = 1 << 20
"""Bytes that are read at a time."""
_HEAD = re.compile(
    r"\{'descr': (?P<descr>'[^'\\]{1,40}'|\[.*\]), 'fortran_order': (?P<fortran>False|True), "
    r"'shape': \((?P<shape>[0-9L, ]*)\),? *\}\s*",
)
_PLAIN = re.compile(r"(?P<order>[<>|=]?)(?P<code>[biufcSU])(?P<size>[0-9]{1,9})")
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_OBJECT_CODES = ("|O", "O", "|O8", "|O4")
_DIMENSIONS = 32


class NotPlain(Exception):
    """An array of another kind than numbers, texts and plain Python data."""


def load_npz(
    path: Path | str,
    *,
    what: str = ".npz",
    missing: str | None = None,
    fix: str = "copy or export it again; numbers and texts only, no Python objects",
    objects: bool = False,
) -> dict[str, Array]:
    """All arrays of an ``.npz`` by name; no pickle in it is ever run.

    Args:
        what: what the file should be, for the error. missing: what mends an absent file.
        fix: what mends a damaged one.
        objects: whether arrays of Python objects are read as plain data; else they are refused.

    Raises `InputError` when the file is absent, empty, a directory, damaged, no archive, larger
    than the limits allow, or holds other objects.
    """
    path = Path(path)
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file", fix=missing)
    with opened(path) as stream:
        start = stream.read(len(NPY_MAGIC))
    if not start:
        raise input_error(path, "the file is empty", fix=fix)
    if start == NPY_MAGIC:
        raise input_error(path, "a .npz archive is expected, not a single array", fix=fix)
    if not start.startswith(ZIP_MAGIC):
        raise input_error(
            path, f"not a readable {what}: it holds pickled objects or is no .npz archive", fix=fix
        )
    arrays, refused = npz_arrays(path, what=what)
    holds = next((name for name, array in arrays.items() if array.dtype.hasobject), None)
    if holds is not None and not objects:
        refused = NotPlain(f"{holds}: {OBJECTS}")
    if refused is not None:
        raise input_error(path, f"not a readable {what}: {refused}", fix=fix) from refused
    return arrays


def npz_arrays(
    path: Path, names: Collection[str] | None = None, *, what: str = "NumPy archive"
) -> tuple[dict[str, Array], NotPlain | None]:
    """The plain arrays of an archive by name (those in `names`), and why the last of the others
    was left out. Each is read from the disk into its own memory, without a copy in between."""
    found: dict[str, Array] = {}
    refused: NotPlain | None = None
    with checked_archive(path, what=what) as archive:
        for info in archive.infolist():
            name, dot, ending = info.filename.rpartition(".")
            if dot + ending != ".npy" or (names is not None and name not in names):
                continue
            try:
                with archive.open(info) as stream:
                    found[name] = read_array(path, stream, info.file_size, info.filename)
            except NotPlain as error:
                refused = error
    return found, refused


def load_npy(path: Path) -> Array:
    """The array of a ``.npy`` file; see `read_array` for what it raises."""
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        check_limit(path, "bytes", size, "the size of the file")
        return read_array(path, stream, size, path.name)


def npy_array(path: Path, data: bytes, name: str) -> Array:
    """The array of a ``.npy`` in memory; see `read_array`."""
    return read_array(path, io.BytesIO(data), len(data), name)


def read_array(path: Path, stream: IO[bytes], size: int, name: str) -> Array:
    """The array of a ``.npy`` from a stream, writable.

    Args:
        path: the file, for errors. stream: at the beginning of the array's head.
        size: bytes that the stream has. name: of the array, for errors.

    Raises `InputError` where it is damaged or too large, `NotPlain` for structured arrays, dates,
    raw memory and for pickles of anything but plain data, and what the stream raises.
    """
    start = stream.read(min(_LONGEST_START, size))
    try:
        dtype, fortran, shape, at = array_head(start)
        if dtype is None:
            return _objects(path, start + _rest(stream, size - len(start)), at, shape)
        count = math.prod(shape)
        if count * dtype.itemsize > size - at:
            raise EOFError(f"{count * dtype.itemsize} bytes are announced, {size - at} are there")
        if not dtype.itemsize:  # texts without a character, of which none takes a byte
            check_limit(path, "items", count, f"the number of texts of {name}")
            return np.zeros(shape, dtype)
        flat = np.empty(count, dtype)
        _read_into(stream, flat, start[at:])
        check_characters(flat)
        return flat.reshape(shape, order="F" if fortran else "C")
    except (InputError, NotPlain, zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:
        raise input_error(
            path,
            f"{name[:80]} is not a readable NumPy array (is it truncated?)",
            found=str(error)[:200] or type(error).__name__,
            fix=AGAIN,
        ) from error


def _read_into(stream: IO[bytes], array: Array, begun: bytes) -> None:
    """Fill an array [N] with its bytes, of which some have been read already."""
    target = array.view(np.uint8).data if array.size else memoryview(b"")
    done = min(len(begun), len(target))
    if done:
        target[:done] = begun[:done]
    while done < len(target):
        part = _rest(stream, min(_PIECE, len(target) - done))
        target[done : done + len(part)] = part
        done += len(part)
    # To the end, where a member's checksum is held against it.
    while stream.read(_PIECE):
        pass


def _rest(stream: IO[bytes], count: int) -> bytes:
    """The next `count` bytes of a stream."""
    data = stream.read(count)
    if len(data) != count:
        raise EOFError(f"it breaks off {count - len(data)} bytes before its end")
    return data


def npy_shape(data: bytes) -> tuple[int, ...]:
    """The shape that the first bytes of a ``.npy`` say; `ValueError` or `NotPlain` where none."""
    return array_head(data)[2]


def array_head(data: bytes) -> tuple[np.dtype[Any] | None, bool, tuple[int, ...], int]:
    """Dtype (None for objects), whether columns come first, shape, and where the values begin.

    Args: `data`: the first `HEAD_START` bytes of a ``.npy`` or more.

    Raises `ValueError` where it is no head, `NotPlain` for other dtypes.
    """
    if not data.startswith(NPY_MAGIC) or len(data) < 12:
        raise ValueError("it does not begin as a NumPy array does")
    if data[6] == 1:
        (length,) = struct.unpack_from("<H", data, 8)
        start = 10
    elif data[6] in (2, 3):
        (length,) = struct.unpack_from("<I", data, 8)
        start = 12
    else:
        raise ValueError(f"version {data[6]} of the format is unknown")
    if length > _LONGEST_HEAD:
        raise ValueError(f"a head of {length} bytes")
    text = data[start : start + length].decode("utf-8" if data[6] == 3 else "latin1")
    head = _HEAD.fullmatch(text)
    if head is None:
        raise ValueError("a head that NumPy does not write")
    sizes = [part.strip().removesuffix("L") for part in head["shape"].split(",") if part.strip()]
    if len(sizes) > _DIMENSIONS or any(len(n) > 18 for n in sizes):
        raise ValueError("a shape that no array has")
    return (
        _dtype(head["descr"].strip("'")),
        head["fortran"] == "True",
        tuple(map(int, sizes)),
        start + length,
    )


def check_characters(texts: Array) -> None:
    """Raise `ValueError` where an array of texts holds numbers that are no characters.

    NumPy takes any four bytes for one and fails when such a text is taken out.
    """
    if texts.dtype.kind == "U" and texts.size and texts.dtype.itemsize:
        order = texts.dtype.byteorder if texts.dtype.byteorder in "<>" else "="
        largest = int(texts.reshape(-1).view(f"{order}u4").max())
        if largest > sys.maxunicode:
            raise ValueError(f"a text with the character number {largest}, which there is not")


def _dtype(descr: str) -> np.dtype[Any] | None:
    if descr in _OBJECT_CODES:
        return None
    plain = _PLAIN.fullmatch(descr)
    if plain is None or int(plain["size"]) not in _SIZES.get(plain["code"], (int(plain["size"]),)):
        raise NotPlain(f"it holds an array of {descr[:40]}, not plain numbers")
    if int(plain["size"]) > limit("text"):
        raise ValueError(f"texts of {plain['size']} characters")
    return np.dtype(descr)


def _objects(path: Path, data: bytes, at: int, shape: tuple[int, ...]) -> Array:
    """An array of Python objects, which NumPy writes as a pickle."""
    from mimic_base.pickle_data import load_pickle

    try:
        found = load_pickle(path, data, at=at)
    except InputError as error:
        raise NotPlain(f"{OBJECTS}; {error}") from error
    if not isinstance(found, np.ndarray) or found.shape != shape:
        raise NotPlain(OBJECTS)
    return found
