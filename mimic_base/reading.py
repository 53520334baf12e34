"""Files of others as bytes and as JSON or TOML, within limits."""

from __future__ import annotations

import os
import stat
from pathlib import Path

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
