"""The parts of a control step by name: where compilers and clocks take hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Part = Callable[..., Any]


class StepParts:
    """The functions that a control step is made of; the environment calls them through here.

    ``parts.rewards()`` calls the part ``rewards``. A part may be replaced by another function that
    returns the same: a compiled one for good, a timed one for a while.
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)

    def __getattr__(self, name: str) -> Part:
        try:
            return self.__dict__["_parts"][name]
        except KeyError:
            raise AttributeError(f"a control step has no part '{name}'") from None

    @property
    def names(self) -> tuple[str, ...]:
        """All parts."""
        return tuple(self._parts)

    def replace(self, name: str, wrap: Callable[[Part], Part]) -> None:
        """Have a part done by ``wrap`` of what does it now."""
        self._parts[name] = wrap(self._parts[name])

    @contextmanager
    def wrapped(self, wrap: Callable[[str, Part], Part]) -> Iterator[None]:
        """Have every part done by ``wrap`` of its name and function inside the block."""
        before = dict(self._parts)
        self._parts = {name: wrap(name, part) for name, part in before.items()}
        try:
            yield
        finally:
            self._parts = before
