"""Records of deployments: compact, and good up to the byte where they were cut off.

A record is a header and frames. Each frame is its length, the CRC-32 of its bytes (both 32 bits,
little endian) and the bytes: a letter for its kind, then zlib. Frames are written as they come,
whole, straight to the operating system, so that what a killed process has recorded is there. A
reader stops at the first frame that is cut off or damaged. A disk that is full ends the record at
its last whole frame and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mimic.deploy.packing import Rows
from mimic_base.errors import input_error
from mimic_base.limits import limit, over_limit

MAGIC = b"humanoid-mimic/session/1\n"
_HEAD = struct.Struct("<II")
LARGEST = 1 << 22
"""Bytes of a frame at most."""


class Recorder:
    """Writes a record.

    Attributes:
        failed: why nothing is written any more; empty while all is well.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.failed = path, ""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._size = 0
        self._append(MAGIC)
        self._frame(b"H", json.dumps(header).encode())

    def row(self, row: np.ndarray) -> None:
        """A control step, a row of `step_layout`."""
        self._frame(b"T", row.tobytes())

    def event(self, now: float, name: str, **told: Any) -> None:
        """Something that happened at ``now`` s."""
        self._frame(b"E", json.dumps({"now": now, "event": name, **told}).encode())

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _frame(self, kind: bytes, data: bytes) -> None:
        body = kind + zlib.compress(data, 1)
        self._append(_HEAD.pack(len(body), zlib.crc32(body)) + body)

    def _append(self, data: bytes) -> None:
        if self.failed or self._file < 0:
            return
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            self._size += len(data)
        except OSError as error:
            self.failed = error.strerror or str(error)
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)


def step_layout(joints: int, observation: int) -> np.dtype:
    """A control step: what was seen, said and asked, and what the guard had told last.

    ``acted`` says whether the network ran in this step.
    """
    rows = Rows(joints)
    return np.dtype(
        [
            ("now", "<f8"), ("overruns", "<u2"), ("acted", "u1"), ("frame", "<u4"),
            ("events", "S64"), ("trip", "S16"), ("state", rows.state),
            ("observation", "<f4", observation), ("action", "<f8", joints),
            ("request", rows.request), ("guard", rows.report),
        ]
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """A record as it was read.

    Attributes:
        header: what the session was. steps: rows of `step_layout`. events: in their order.
        whole: whether it ends with a whole frame. left_over: bytes behind the last whole one.
    """

    path: Path
    header: Mapping[str, Any]
    steps: np.ndarray
    events: tuple[Mapping[str, Any], ...]
    left_over: int

    @property
    def whole(self) -> bool:
        return self.left_over == 0


def read_record(path: Path) -> Record:
    """Read a record up to its last whole frame.

    Raises:
        InputError: no record, or one that is cut off within its header.
    """
    size = path.stat().st_size
    if size > limit("bytes"):
        raise over_limit(path, "bytes", size, "the size of the record")
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        raise input_error(
            path,
            "not the record of a deployment",
            found=repr(data[: len(MAGIC)])[:60],
            expected=repr(MAGIC),
            fix="name a folder that mimic deploy --record has written",
        )
    header: dict[str, Any] | None = None
    layout, rows, events, end = np.dtype("u1"), [], [], len(MAGIC)
    for kind, body, end_of_frame in _frames(data):
        try:
            if kind == b"H" and header is None:
                told: dict[str, Any] = json.loads(body)
                layout = step_layout(int(told["joints"]), int(told["observation"]))
                header = told
            elif kind == b"T" and header is not None and len(body) == layout.itemsize:
                rows.append(np.frombuffer(body, layout)[0])
            elif kind == b"E" and header is not None:
                events.append(json.loads(body))
            else:
                break
        except (ValueError, KeyError, TypeError):
            break
        end = end_of_frame
    if header is None:
        raise input_error(
            path,
            "the record ends within its header",
            found=f"{len(data)} bytes",
            fix="nothing of this session was kept",
        )
    return Record(
        path=path,
        header=header,
        steps=np.array(rows, layout),
        events=tuple(events),
        left_over=len(data) - end,
    )


def _frames(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, contents and end of each whole frame."""
    at = len(MAGIC)
    while at + _HEAD.size <= len(data):
        size, crc = _HEAD.unpack_from(data, at)
        begin, end = at + _HEAD.size, at + _HEAD.size + size
        if not 0 < size <= LARGEST or end > len(data):
            return
        body = data[begin:end]
        if zlib.crc32(body) != crc:
            return
        unpacked = zlib.decompressobj()
        try:
            contents = unpacked.decompress(body[1:], LARGEST)
        except zlib.error:
            return
        yield body[:1], contents, end
        at = end
