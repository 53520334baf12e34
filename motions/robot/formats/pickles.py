"""Reading foreign pickles without running what is in them.

A pickle is a program. Here it may build dictionaries, lists, texts and numbers, and *describe*
numpy arrays; the descriptions are turned into arrays afterwards, by us. No class of any library
is handed to the stream, so that a forged state cannot reach numpy's internals either.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import InputError, input_error

_NUMPY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric")
_KINDS = "biuf"
LARGEST_FILE = 1 << 30
"""Bytes; a robot clip of an hour is smaller."""


class _Dtype:
    """Describes a dtype: plain numbers only."""

    def __init__(self, code: Any = None, *_flags: Any) -> None:
        if not isinstance(code, str) or len(code) > 4:
            raise pickle.UnpicklingError(f"a dtype {code!r}")
        self.dtype = np.dtype(code)
        if self.dtype.kind not in _KINDS:
            raise pickle.UnpicklingError(f"an array of {self.dtype}")

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(state[2:5]):
            raise pickle.UnpicklingError("a structured dtype")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Describes an array; `array` is set by the state that follows in the stream."""

    array: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, bytearray)):
            raise pickle.UnpicklingError("an array that does not hold plain numbers")
        flat = np.frombuffer(bytes(data), dtype=dtype.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _array(_subtype: Any = None, _shape: Any = None, _code: Any = None) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str = "C") -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(data)))
    return array


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a numpy scalar that is no plain number")
    return np.frombuffer(data, dtype=dtype.dtype)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Protocol 2 rebuilds bytes with `codecs.encode`; latin1 is the only encoding it uses."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"an encoding {encoding!r}")
    return text.encode("latin1")


def _ordered_dict(*items: Any) -> dict[Any, Any]:
    return dict(*items)


_ARRAY_NAMES: dict[str, Any] = {
    "ndarray": "ndarray",
    "dtype": _Dtype,
    "_reconstruct": _array,
    "_frombuffer": _from_buffer,
    "scalar": _scalar,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _NUMPY_MODULES and name in _ARRAY_NAMES:
            return _ARRAY_NAMES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return _ordered_dict
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def _finished(value: Any) -> Any:
    """The loaded value with arrays in the place of their descriptions."""
    if isinstance(value, _Array):
        if value.array is None:
            raise pickle.UnpicklingError("an array without content")
        return value.array
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    # Rows of plain numbers are most of a file of lists: no need to look at each number.
    if isinstance(value, (list, tuple)):
        if value and all(type(item) is float for item in value):
            return value
        return [_finished(item) for item in value]
    if isinstance(value, (_Dtype, type)):
        raise pickle.UnpicklingError("a bare dtype or class")
    return value


def read_plain_pickle(path: Path) -> Any:
    """Load a pickle of dictionaries, lists, texts, numbers and numpy arrays of numbers.

    Raises `InputError` for an unreadable file and for one that asks for anything else; nothing
    that such a file names is imported or run.
    """
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    size = path.stat().st_size
    if size == 0 or size > LARGEST_FILE:
        raise input_error(path, "the file is empty" if not size else f"{size} bytes are too many")
    data = path.read_bytes()
    if data[:4] == b"PK\x03\x04":
        raise input_error(
            path,
            "this is a PyTorch archive (.pt, .motion), which this program does not read",
            fix="export the clip as npz or csv with the program that wrote it",
        )
    try:
        return _finished(_PlainUnpickler(io.BytesIO(data)).load())
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise input_error(
            path,
            f"the pickle is refused or broken: {error}",
            expected="dictionaries, lists, texts, numbers and numpy arrays of numbers only",
            fix="export the clip as npz or csv with the program that wrote it",
        ) from error
    except Exception as error:
        # The unpickler raises nearly anything on a damaged stream.
        raise input_error(
            path, f"not a readable pickle: {type(error).__name__}: {error}", fix="copy it again"
        ) from error
