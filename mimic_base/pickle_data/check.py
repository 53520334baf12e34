"""What came out of a pickle: plain data only, and not more than it may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.limits import check_growth, check_limit, limit, over_limit
from mimic_base.pickle_data.machine import Refused

_FIXED = frozenset((type(None), bool, int, float))
_SIZED = frozenset((str, bytes))
_PLAIN = _FIXED | _SIZED
_CONTAINERS = (list, tuple, dict, set, frozenset)
_PER_VALUE = 16
"""Bytes that a value takes at least."""


def check(path: Path, root: Any, size: int) -> None:
    """Refuse anything but plain data, and data that are too deep, too many or too large.

    Args:
        path: the file, for errors. root: what came out. size: bytes of the file.

    A part that is used in many places counts in each of them, since who makes an array of it
    will copy it: 409 bytes can describe lists of lists of ... a billion numbers. A container that
    contains itself is refused.
    """
    sizes: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()
    kept: list[Any] = []  # so that no identity is used twice
    deepest = limit("depth")
    todo: list[tuple[Any, Sequence[Any] | None]] = [(root, None)]
    while todo:
        thing, values = todo.pop()
        if id(thing) in sizes:
            continue
        if values is None:
            if id(thing) in open_:
                raise Refused("a container that contains itself")
            values = _values(thing)
            kept.append(values)
            open_.add(id(thing))
            if len(open_) > deepest:
                raise over_limit(path, "depth", None, "the nesting of the pickle")
            todo.append((thing, values))
            if not _PLAIN.issuperset(map(type, values)):
                todo += [(v, None) for v in values if _is_container(v)]
            continue
        open_.discard(id(thing))
        sizes[id(thing)] = items, total = _measure(thing, values, sizes)
        check_limit(path, "items", items, "the number of values in the pickle")
        check_growth(path, total, size, "the pickle's content")


def _is_container(value: Any) -> bool:
    return isinstance(value, _CONTAINERS) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "O"
    )


def _values(thing: Any) -> Sequence[Any]:
    """What a container holds; the thing itself where it is none."""
    if isinstance(thing, list | tuple):
        return thing
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, set | frozenset):
        return list(thing)
    if isinstance(thing, np.ndarray) and thing.dtype.kind == "O":
        return list(thing.flat)
    return [thing]


def _measure(
    thing: Any, values: Sequence[Any], sizes: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """Number of values below a container, and the bytes they take."""
    items = len(values)
    total = _PER_VALUE * (items + 1)
    types = set(map(type, values))
    if types <= _FIXED:
        return items, total
    if types <= _SIZED:
        return items, total + sum(map(len, values))
    for value in values:
        kind = type(value)
        if kind in _FIXED:
            continue
        if kind in _SIZED:
            total += len(value)
        elif value is not thing and id(value) in sizes:
            inner, size = sizes[id(value)]
            items += inner
            total += size
        elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU":
            total += value.nbytes
        else:
            raise Refused(f"a {kind.__name__} in the place of a value")
    return items, total
