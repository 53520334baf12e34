"""Giving back memory that was freed."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library, or none that can be asked
        return None


def release_memory() -> None:
    """Give freed memory back to the system, where the C library (glibc's) can be asked to.

    It keeps what is freed in small pieces for later use. After a stage of work on a long clip that
    is hundreds of megabytes, which would count beside what the next stage takes from elsewhere.
    """
    trim = _trim()
    if trim is not None:
        trim(0)
