"""How the whole-clip solver's inner loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called (a few seconds for all of them together).

    The result is kept beside the source for the next process, or in the user's cache folder where
    that is read-only, or not at all where nothing can be written.
    """
    options = {"fastmath": {"contract", "nsz"}, "error_model": "numpy", "nogil": True}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


def warm_up() -> None:
    """Set numba's own tables up (0.2 CPU seconds), which the first kernel of a process waits for.

    Processes that are forked from this one find them as they are.
    """
    _nothing(0)


@kernel
def _nothing(value: int) -> int:
    return value
