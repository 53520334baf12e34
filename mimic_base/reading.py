"""Files of others as bytes, within limits."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mimic_base.errors import UserError, input_error
from mimic_base.limits import check_limit, limit

_PIECE = 1 << 20
"""Bytes that are read at a time of what is larger than it says."""
_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the file begins that Git leaves in place of a large one."""
_SPECIAL = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def real_path(path: Path | str) -> Path:
    """The path without symbolic links; of one that leads round in a circle, as far as it goes.

    `Path.resolve` raises a `RuntimeError` there before Python 3.13; opening the file tells it well.
    """
    return Path(os.path.realpath(path))


def check_ordinary(path: Path | str) -> None:
    """Refuse (`InputError`) a pipe, a socket and a device: reading one may never end.

    So is what Git LFS leaves in place of a file that was not downloaded. What is absent, or a
    folder, is not told here.
    """
    try:
        state = os.stat(path)
        mode = state.st_mode
    except (OSError, ValueError):  # opening it tells
        return
    if stat.S_ISREG(mode) and len(_POINTER) < state.st_size <= 1024:
        check_no_pointer(path)
    for is_kind, name in _SPECIAL:
        if is_kind(mode):
            raise input_error(
                path,
                "it is no ordinary file",
                found=name,
                fix="copy its content into a file and name that",
            )


def check_no_pointer(path: Path | str) -> None:
    """Refuse (`InputError`) a pointer of Git LFS: the file itself was not downloaded."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(len(_POINTER))
    except OSError:  # opening it tells
        return
    if head == _POINTER:
        raise input_error(
            path,
            "a Git LFS pointer, not the file itself",
            fix="fetch the file where the repository was cloned: git lfs pull",
        )


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """An ordinary file, open for reading; `InputError` for a pipe, a socket or a device.

    Opening a pipe that nobody writes into waits for ever, so the kind is looked at first.
    """
    check_ordinary(path)
    with path.open("rb") as stream:
        yield stream


def read_bounded(path: Path) -> bytes:
    """The content of a file; `InputError` where it is larger than the limit ``bytes``.

    It is refused by its size, before anything is read.
    """
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        check_limit(path, "bytes", size, "the size of the file")
        data = stream.read(size)
        # A file of the kernel says it is empty and may be without end.
        while len(data) <= limit("bytes") and (more := stream.read(_PIECE)):
            data += more
    check_limit(path, "bytes", len(data), "the size of the file")
    return data


@contextmanager
def guarded(path: Path | str, what: str) -> Iterator[None]:
    """Make one line of whatever else goes wrong while the block reads a file.

    Readers refuse what they know to be wrong. A file that was made to break one finds a case that
    nobody thought of: it is told as what it is, an unusable file, with the error that it caused.

    Args:
        path: the file. what: what it should be, e.g. "motion".
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except MemoryError as error:
        raise input_error(
            path, f"there is not enough memory for this {what}", fix="use a shorter or smaller one"
        ) from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError,
            AssertionError, EOFError, struct.error) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:160]
        raise input_error(
            path,
            f"not a readable {what}: its content breaks the reader",
            found=f"{type(error).__name__}: {reason}" if reason else type(error).__name__,
            fix="export or download it again; if it is sound, tell us (SECURITY.md)",
        ) from error
