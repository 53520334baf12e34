"""Files of others as bytes, within limits."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mimic_base.errors import UserError, input_error
from mimic_base.limits import check_limit, limit, over_limit

_CHUNK = 1 << 20


def read_bounded(path: Path) -> bytes:
    """The content of a file; `InputError` where it is larger than the limit ``bytes``.

    A regular file is refused by its size, before anything is read; a pipe or a device is read
    until it ends or the limit is reached.
    """
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode):
            check_limit(path, "bytes", status.st_size, "the size of the file")
            return stream.read()
        parts: list[bytes] = []
        left = limit("bytes")
        while part := stream.read(_CHUNK):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise over_limit(path, "bytes", None, "the size of the file")
        return b"".join(parts)


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
