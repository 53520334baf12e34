"""A joint tree to walk up and down in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.skeletons.names import JointName

Array = NDArray[Any]


@dataclass(frozen=True)
class JointTree:
    names: Sequence[JointName]
    parents: Sequence[int]
    pos: Array  # [J, 3] of any pose; lengths only

    def up(self, joint: int) -> Iterator[int]:
        """Ancestors, nearest first."""
        while (joint := self.parents[joint]) >= 0:
            yield joint

    def below(self, joint: int) -> list[int]:
        """Descendants, nearest first."""
        level, found = [joint], []
        while level:
            level = [j for j, p in enumerate(self.parents) if p in level]
            found += level
        return found

    def length(self, a: int, b: int) -> float:
        return float(np.linalg.norm(self.pos[a] - self.pos[b]))

    def common(self, a: int, b: int) -> int | None:
        line = [a, *self.up(a)]
        return next((j for j in [b, *self.up(b)] if j in line), None)

    def path(self, top: int, bottom: int) -> list[int]:
        """Joints strictly between `top` and its descendant `bottom`, downwards."""
        line = list(self.up(bottom))
        return line[: line.index(top)][::-1] if top in line else []


def middle_one(joints: Sequence[int], distance: Callable[[int, int], float]) -> int:
    """The joint that is nearest to all others: of the knuckles of a hand the middle finger's."""
    return min(joints, key=lambda joint: sum(distance(joint, other) for other in joints))
