"""Pickles and PyTorch files of others, read without running anything that is in them.

A pickle is a program. The reader here knows plain containers and numpy arrays, the arrays that
joblib puts between the opcodes, and the tensors of a PyTorch archive; every other name in the file
is refused.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import InputError, input_error

Array = NDArray[Any]

_FIX = "save the arrays with numpy.savez, or the dictionary with pickle and numpy arrays only"
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Refused(pickle.UnpicklingError):
    pass


class _JoblibArray:
    """What joblib writes in front of an array's bytes."""

    shape: tuple[int, ...] = ()
    order: str = "C"
    dtype: Any = None
    numpy_array_alignment_bytes: int | None = None


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """`_codecs.encode`, by which bytes travel in pickles of protocol 2."""
    return text.encode(encoding)


def _reconstruct(kind: Any, shape: tuple[int, ...], letter: bytes) -> Array:
    """An empty array to be filled; only plain arrays, no subclass that came from the file."""
    if kind is not np.ndarray:
        raise _Refused("an array of an unknown class")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _from_buffer(data: Any, dtype: Any, shape: tuple[int, ...], order: str) -> Array:
    """How arrays travel in pickles of protocol 5."""
    if np.dtype(dtype).hasobject:
        raise _Refused("an array of Python objects")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype[Any], data: bytes | str = b"") -> Any:
    if isinstance(data, str):
        data = data.encode("latin1")  # written by Python 2
    if dtype.hasobject or not isinstance(data, bytes):
        raise _Refused("a scalar that is a Python object")
    return np.frombuffer(data, dtype, 1)[0]


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
}


class _Reader(pickle._Unpickler):  # the Python one: joblib's raw bytes need a hook
    def __init__(self, stream: io.BytesIO, known: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self._stream = stream
        self._known = known
        self._storage: Callable[[Any], Any] | None = None

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in self._known:
            raise _Refused(f"{module}.{name}")
        return self._known[module, name]

    def persistent_load(self, pid: Any, /) -> Any:
        if self._storage is None:
            raise _Refused("a reference to another file")
        return self._storage(pid)

    def load_build(self) -> None:
        stack: list[Any] = self.stack  # pyright: ignore[reportAttributeAccessIssue]
        # Only things may be filled, not the classes and functions that make them.
        if not isinstance(stack[-2], np.ndarray | np.dtype | OrderedDict | _JoblibArray):
            raise _Refused(f"a state for {type(stack[-2]).__name__}")
        super().load_build()  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(stack[-1], _JoblibArray):
            stack[-1] = _joblib_array(self._stream, stack[-1])

    dispatch = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}  # pyright: ignore


def _joblib_array(stream: io.BytesIO, found: _JoblibArray) -> Array:
    dtype = np.dtype(found.dtype)
    if dtype.hasobject:
        raise _Refused("an array of Python objects")
    if found.numpy_array_alignment_bytes is not None:
        padding = stream.read(1)
        stream.read(padding[0] if padding else 0)
    count = int(np.prod(found.shape, dtype=np.int64))
    data = stream.read(count * dtype.itemsize)
    order = "F" if found.order == "F" else "C"
    return np.frombuffer(data, dtype, count).reshape(found.shape, order=order)


def _read(path: Path, reader: _Reader) -> Any:
    try:
        return reader.load()
    except _Refused as error:
        raise input_error(
            path,
            "this pickle holds more than numbers and plain containers: it is not read, since "
            "loading it could run anything",
            found=str(error),
            fix=_FIX,
        ) from error
    except (pickle.UnpicklingError, EOFError, struct.error, MemoryError) as error:
        raise _broken(path, error) from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    return input_error(
        path,
        "not a readable pickle (is it truncated?)",
        found=str(error) or type(error).__name__,
        fix="export or download the clip again",
    )


def load_pickle(path: Path, data: bytes) -> Any:
    """The containers and arrays of a pickle (also one that joblib wrote, uncompressed)."""
    return _read(path, _Reader(io.BytesIO(data), _KNOWN))


def is_torch_archive(data: bytes) -> bool:
    """Whether a zip archive is one of `torch.save`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(n.endswith("/data.pkl") for n in archive.namelist())
    except zipfile.BadZipFile:
        return False


def load_torch(path: Path, data: bytes) -> Any:
    """The containers of a `torch.save` archive, its tensors as arrays; PyTorch is not needed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = {n: archive.read(n) for n in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _broken(path, error) from error
    main = next(n for n in content if n.endswith("/data.pkl"))
    folder = main.removesuffix("data.pkl")
    big = content.get(f"{folder}byteorder", b"little").strip() == b"big"

    def storage(pid: Any) -> Array:
        kind, letter, key = pid[0], pid[1], pid[2]
        if kind != "storage" or not isinstance(letter, str):
            raise _Refused(f"{kind}")
        dtype = np.dtype(letter).newbyteorder(">" if big else "<")
        return np.frombuffer(content[f"{folder}data/{key}"], dtype)

    known = dict(_KNOWN)
    known |= {("torch", name): letter for name, letter in _STORAGES.items()}
    known["torch._utils", "_rebuild_tensor_v2"] = _tensor
    reader = _Reader(io.BytesIO(content[main]), known)
    reader._storage = storage
    return _read(path, reader)


def _tensor(
    storage: Array, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Array:
    if not all(size):
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if offset < 0 or min(stride, default=0) < 0 or last >= len(storage):
        raise _Refused("a tensor that reaches beyond its data")
    steps = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()
