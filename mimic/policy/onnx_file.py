"""A look into an ONNX file before a runtime opens it.

ONNX is a protocol buffer; only the fields that decide whether a file may be run are read here
(numbers as in ``onnx.proto``), without the package `onnx`, which a robot's computer has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mimic_base.errors import InputError, input_error
from mimic_base.limits import over_limit

_DEEPEST = 8
_MOST_NODES = 100_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LOOPS = (b"Loop", b"If", b"Scan", b"SequenceMap")
"""Operators that run a graph of their own: no policy needs one, and they may run for ever."""

# Message: {field: kind of the message in it}. Kinds that are absent here are leaves.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION = range(7)
_INSIDE: dict[int, dict[int, int]] = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
_OP_TYPE = 4
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def check_onnx(path: Path, data: bytes) -> None:
    """Refuse an ONNX file that keeps its weights in other files, or that loops (`InputError`).

    A path to external data could name any file of this computer; the policies of this program are
    in one piece.
    """
    try:
        nodes = 0
        todo = [(_MODEL, memoryview(data), 0)]
        while todo:
            kind, part, depth = todo.pop()
            if depth > _DEEPEST:
                raise input_error(path, "the graph is nested too deeply for a policy")
            for field, value in _fields(part):
                inner = _INSIDE[kind].get(field)
                if inner is not None and isinstance(value, memoryview):
                    todo.append((inner, value, depth + 1))
                elif kind == _TENSOR and _is_external(field, value):
                    raise _external(path)
                elif kind == _NODE and field == _OP_TYPE and isinstance(value, memoryview):
                    nodes += 1
                    if bytes(value[:20]) in _LOOPS:
                        raise input_error(
                            path,
                            "the network has an operator that no policy needs",
                            found=bytes(value[:20]).decode(),
                            fix="export the policy again",
                        )
                    if nodes > _MOST_NODES:
                        raise over_limit(path, "items", nodes, "the number of operators")
    except InputError:
        raise
    except (ValueError, IndexError) as error:
        raise input_error(
            path, "not a readable ONNX file", found=str(error), fix="export the policy again"
        ) from error


def _is_external(field: int, value: int | memoryview) -> bool:
    """Whether a field of a tensor says that its numbers are in another file."""
    return field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1)


def _external(path: Path) -> InputError:
    return input_error(
        path,
        "the network's weights are in other files, which are not opened",
        fix="export the policy again in one file",
    )


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, value
        elif wire == _BYTES:
            size, at = _varint(data, at)
            if size > end - at:
                raise ValueError(f"a part of {size} bytes, {end - at} are there")
            yield field, data[at : at + size]
            at += size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")
