"""Tensors in the pickle of a PyTorch archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.pickle_data.arrays import checked_shape
from mimic_base.pickle_data.machine import Machine, Name, Refused

Array = NDArray[Any]

_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""Kind of a storage -> dtype of its numbers."""


class _Storage:
    """The numbers that tensors are cut from."""

    __slots__ = ("values",)

    def __init__(self, values: Array) -> None:
        self.values = values


class Storages:
    """The storages of an archive by what the pickle calls them.

    Args:
        members: the archive's members. folder: the one with ``data.pkl``, with its slash.
    """

    def __init__(self, members: Mapping[str, bytes], folder: str) -> None:
        self._members = members
        self._folder = folder
        self._big = members.get(f"{folder}byteorder", b"little").strip() == b"big"
        self._known: dict[tuple[str, str], _Storage] = {}

    def __call__(self, identity: Any) -> _Storage:
        # ("storage", kind, key, device, number of values)
        if type(identity) is not tuple or len(identity) < 3 or identity[0] != "storage":
            raise Refused("a reference to another file")
        kind, key = identity[1:3]
        if type(kind) is not Name or kind.name not in _STORAGES or type(key) is not str:
            raise Refused("a storage of an unknown kind")
        if (kind.name, key) not in self._known:
            data = self._members[f"{self._folder}data/{key}"]
            self._known[kind.name, key] = _Storage(self._values(data, _STORAGES[kind.name]))
        return self._known[kind.name, key]

    def _values(self, data: bytes, code: str) -> Array:
        order = ">" if self._big else "<"
        if code != "bfloat16":
            return np.frombuffer(data, np.dtype(order + code))
        # The upper half of a float32.
        halves = np.frombuffer(data, np.dtype(f"{order}u2"))
        return (halves.astype(np.uint32) << 16).view(np.float32)


def _tensor(
    machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *more: Any
) -> Array:
    """The tensor that lies in `storage` from `offset` on, `stride` values apart, as an array."""
    if type(storage) is not _Storage or type(offset) is not int or offset < 0:
        raise Refused("a tensor without a storage")
    size, count = checked_shape(size)
    stride, _ = checked_shape(stride)
    values = storage.values
    if len(size) != len(stride):
        raise ValueError("a tensor with other strides than sizes")
    if not count:
        return np.zeros(size, values.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= len(values):
        raise Refused("a tensor that reaches beyond its data")
    machine.charge(count * values.itemsize)
    steps = [s * values.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps).copy()


def _parameter(_: Machine, data: Any, *more: Any) -> Array:
    if not isinstance(data, np.ndarray):
        raise Refused("a parameter without a tensor")
    return data


def _size(_: Machine, sizes: Any = ()) -> tuple[int, ...]:
    return checked_shape(sizes)[0]


def _storage_class(_: Machine, *arguments: Any) -> Any:
    raise Refused("a call")


TORCH_NAMES: Mapping[str, Name] = {
    **{f"torch {kind}": Name(kind, _storage_class) for kind in _STORAGES},
    "torch Size": Name("torch.Size", _size),
    "torch._utils _rebuild_tensor_v2": Name("torch's _rebuild_tensor_v2", _tensor),
    "torch._utils _rebuild_parameter": Name("torch's _rebuild_parameter", _parameter),
}
"""What the pickle of a PyTorch archive may name besides `arrays.NAMES`."""
