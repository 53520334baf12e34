"""What a pickle may name: numpy's arrays, scalars and dtypes, and the containers of Python.

Nothing of numpy is handed to the file. Its descriptions of arrays are read here, held against the
bytes that are there, and the arrays are made by us: a forged state cannot reach numpy's internals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.limits import limit
from mimic_base.pickle_data.machine import (
    Machine,
    Name,
    Refused,
    Stateful,
    Unfinished,
    keys,
    pairs,
)

Array = NDArray[Any]

_NUMBERS = frozenset(
    ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
)
_TEXT = re.compile(r"[SU]([1-9][0-9]{0,9})")
_OBJECTS = ("O", "O8", "O4")
_DIMENSIONS = 32
_PER_VALUE = 64
"""Bytes that a value of a container takes, about."""


class Dtype(Stateful):
    """A dtype of the fixed list: plain numbers, texts of a fixed length, Python objects."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, byte_order: str = "=") -> None:
        if code in _NUMBERS or code in _OBJECTS or _is_text(code):
            self.dtype = np.dtype("O" if code in _OBJECTS else byte_order + code)
        else:
            raise Refused(f"arrays of {code[:20]!r}")

    def finish(self, machine: Machine, state: Any) -> Dtype:
        # (version, byte order, subarray, names, fields, size, alignment, flags[, metadata])
        if type(state) is not tuple or len(state) not in (8, 9) or state[2:5] != (None,) * 3:
            raise Refused("a structured dtype")
        order = _text(state[1])
        if order not in ("<", ">", "|", "="):
            raise Refused(f"the byte order {order[:10]!r}")
        if order in ("<", ">") and self.dtype.kind != "O":
            self.dtype = np.dtype(order + self.dtype.str[1:])
        return self


def _is_text(code: str) -> bool:
    found = _TEXT.fullmatch(code)
    return found is not None and int(found[1]) <= limit("text")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if type(value) is not str:
        raise Refused(f"a {type(value).__name__} where a text belongs")
    return value


def _dtype(_: Machine, code: Any, *flags: Any) -> Dtype:
    return Dtype(_text(code))


class _Array(Unfinished):
    """An array that waits for its shape, dtype and bytes."""

    __slots__ = ()

    def finish(self, machine: Machine, state: Any) -> Array:
        if type(state) is not tuple or len(state) not in (4, 5):
            raise Refused("an array of an unknown make")
        shape, dtype, fortran, data = state[-4:]
        order = "F" if fortran else "C"
        if isinstance(dtype, Dtype) and dtype.dtype.kind == "O" and type(data) is list:
            shape, count = checked_shape(shape)
            if count != len(data):
                raise ValueError(f"an array of {count} values has {len(data)}")
            machine.charge(_PER_VALUE * count)
            values = np.empty(count, dtype=object)
            values[:] = data
            return values.reshape(shape, order=order)
        return array_of(machine, data, dtype, shape, order, exact=True)


def checked_shape(shape: Any) -> tuple[tuple[int, ...], int]:
    """A shape from a file, and how many values it has."""
    if type(shape) is int:
        shape = (shape,)
    if type(shape) is not tuple or len(shape) > _DIMENSIONS:
        raise Refused("a shape that is no short tuple")
    count = 1
    for n in shape:
        if type(n) is not int or not 0 <= n < 1 << 62:
            raise ValueError("a shape with a size that is no whole number")
        count *= n
    return shape, count


def array_of(
    machine: Machine, data: Any, dtype: Any, shape: Any, order: str, *, exact: bool = False
) -> Array:
    """The array that `data` holds, once its size fits the shape."""
    if type(data) is str:
        machine.charge(len(data))
        data = data.encode("latin1")  # written by Python 2
    if type(data) is not bytes or type(dtype) is not Dtype or dtype.dtype.kind == "O":
        raise Refused("an array that does not hold plain numbers")
    shape, count = checked_shape(shape)
    size = count * dtype.dtype.itemsize
    if size > len(data) or (exact and size != len(data)):
        raise ValueError(f"an array of {size} bytes has {len(data)}")
    return _values(data, dtype.dtype, count).reshape(shape, order="F" if order == "F" else "C")


def _values(data: bytes, dtype: np.dtype[Any], count: int) -> Array:
    from mimic_base.numpy_files import check_characters

    values = np.frombuffer(data, dtype, count)
    check_characters(values)
    return values


def _reconstruct(_: Machine, kind: Any, shape: Any, letter: Any) -> _Array:
    if kind is not NDARRAY:
        raise Refused("an array of an unknown class")
    return _Array()


def _from_buffer(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    return array_of(machine, data, dtype, shape, _text(order))


def _scalar(machine: Machine, dtype: Any, data: Any = b"") -> Any:
    if type(data) is bytes and type(dtype) is Dtype:
        kind = dtype.dtype
        if len(data) == kind.itemsize and kind.kind != "O":
            return _values(data, kind, 1)[0]
    return array_of(machine, data, dtype, (1,), "C")[0]


def _encode(machine: Machine, text: Any, encoding: Any = "latin1") -> bytes:
    """`codecs.encode`, by which bytes travel in protocols 0 to 2; they use one encoding."""
    if _text(encoding) not in ("latin1", "latin-1"):
        raise Refused(f"the encoding {_text(encoding)[:20]!r}")
    text = _text(text)
    machine.charge(len(text))
    return text.encode("latin1")


def _bytes(machine: Machine, value: Any = b"", encoding: Any = None) -> bytes:
    """`bytes` and `bytearray`, which protocols below 5 rebuild by name."""
    if type(value) is bytes:
        return value
    if value == () and encoding is None:
        return b""
    if encoding is None:
        raise Refused("bytes of something else")
    return _encode(machine, value, encoding)


def _items(machine: Machine, values: Any) -> list[Any]:
    if type(values) not in (list, tuple):
        raise Refused(f"a container of a {type(values).__name__}")
    machine.charge(_PER_VALUE * len(values))
    return list(values)


def _set(machine: Machine, values: Any = ()) -> set[Any]:
    return set(keys(_items(machine, values)))


def _frozen_set(machine: Machine, values: Any = ()) -> frozenset[Any]:
    return frozenset(_set(machine, values))


def _ordered_dict(machine: Machine, values: Any = ()) -> dict[Any, Any]:
    items = _items(machine, values)
    if any(type(item) not in (list, tuple) or len(item) != 2 for item in items):
        raise ValueError("a dictionary of things that are no pairs")
    return pairs([item[0] for item in items], [item[1] for item in items])


def _default_dict(machine: Machine, factory: Any = None) -> dict[Any, Any]:
    if factory is not None and type(factory) is not Name:
        raise Refused("a default that is no class")
    return {}


def _not_called(_: Machine, *arguments: Any) -> Any:
    raise Refused("a call")


# -- joblib -------------------------------------------------------------------------------------


class _JoblibArray(Unfinished):
    """What joblib writes in front of an array's bytes, which stand between the opcodes."""

    __slots__ = ()

    def finish(self, machine: Machine, state: Any) -> Array:
        if type(state) is not dict or state.get("subclass", NDARRAY) is not NDARRAY:
            raise Refused("an array of an unknown class")
        dtype = state.get("dtype")
        if type(dtype) is not Dtype:
            raise Refused("an array that does not hold plain numbers")
        if dtype.dtype.kind == "O":
            return machine.run_inner()
        if state.get("numpy_array_alignment_bytes") is not None:
            machine.take(machine.take(1)[0])
        shape, count = checked_shape(state.get("shape"))
        data = machine.take(count * dtype.dtype.itemsize)
        return array_of(machine, data, dtype, shape, _text(state.get("order", "C")))


def _joblib_array(_: Machine, *arguments: Any) -> _JoblibArray:
    return _JoblibArray()


def _old_object(machine: Machine, kind: Any, base: Any, state: Any) -> Any:
    """`copyreg._reconstructor`: objects in protocols 0 and 1."""
    if kind is not _JOBLIB or base is not _OBJECT or state is not None:
        raise Refused(f"an object of {kind.name if type(kind) is Name else 'a class'}")
    return _JoblibArray()


NDARRAY = Name("numpy.ndarray", _not_called)
_OBJECT = Name("builtins.object", _not_called)
_JOBLIB = Name("joblib.numpy_pickle.NumpyArrayWrapper", _joblib_array, new=True)


def _table() -> dict[str, Name]:
    table = {
        "numpy ndarray": NDARRAY,
        "numpy dtype": Name("numpy.dtype", _dtype),
        "_codecs encode": Name("codecs.encode", _encode),
        "collections OrderedDict": Name("collections.OrderedDict", _ordered_dict, new=True),
        "collections defaultdict": Name("collections.defaultdict", _default_dict),
        "joblib.numpy_pickle NumpyArrayWrapper": _JOBLIB,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray _reconstruct"] = Name("numpy's _reconstruct", _reconstruct)
        table[f"{core}.multiarray scalar"] = Name("numpy's scalar", _scalar)
        table[f"{core}.numeric _frombuffer"] = Name("numpy's _frombuffer", _from_buffer)
    for module in ("builtins", "__builtin__"):
        table[f"{module} set"] = Name("set", _set)
        table[f"{module} frozenset"] = Name("frozenset", _frozen_set)
        table[f"{module} bytes"] = Name("bytes", _bytes)
        table[f"{module} bytearray"] = Name("bytearray", _bytes)
        table[f"{module} object"] = _OBJECT
        for plain in ("dict", "list", "int", "float"):  # defaults of a defaultdict
            table[f"{module} {plain}"] = Name(plain, _not_called)
    for module in ("copyreg", "copy_reg"):
        table[f"{module} _reconstructor"] = Name("copyreg._reconstructor", _old_object)
    return table


NAMES: Mapping[str, Name] = _table()
"""``"module name"`` in a pickle -> what it stands for here."""
