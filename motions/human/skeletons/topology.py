"""The limbs of a skeleton whose joint names say nothing: from its branches and bone lengths.

A person is two pairs of limbs on one trunk. Which of a pair is the left one is no matter of the
tree: the pairs come back as side 0 and side 1, and who knows the poses decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import norm
from motions.human.motion import SIDES
from motions.human.skeletons.tree import middle_one

Array = NDArray[Any]

_SAME_PLACE = 0.02
"""Joints nearer than this share of the longest bones stand at the same place."""
_ALIKE = 0.15
"""Left and right bones of a person differ by less than this."""
_LEAST_LEG_OVER_ARM = 1.15
"""People have 1.3 to 1.7. Nearer to one, a pair of limbs may be either, as in a quadruped."""
_ARM_OVER_LEG = 0.64
_UPPER_OVER_FOREARM = 1.1
_THIGH_OVER_SHANK = 1.0
_WRIST_BONE = 0.25
"""CMU's wrist bone is the far third of the forearm; what is shorter is a bone of the palm."""
_HEAD_TOP = 0.19
"""From the head's joint to its top is more than this share of the leg, a neck bone is less."""
_KNUCKLE = 0.4


@dataclass(frozen=True)
class Limbs:
    """What was found, or why not.

    Attributes:
        roles: canonical roles; the sides are named "left" and "right" for side 0 and side 1.
        problem: what stands against it, empty when the limbs are clear.
    """

    roles: dict[str, int] = field(default_factory=dict)
    problem: str = ""


def find_limbs(parents: Sequence[int], pos: Array, turns: Array | None = None) -> Limbs:
    """The roles of limbs, neck and head of a tree (`parents`) in poses `pos` [T, J, 3], any unit.

    `turns` [J] says which joints ever turn against their parents, where that is known: the end of
    a skull does not.
    """
    tree = _Shape(parents, pos)
    pairs = sorted(tree.pairs(), key=lambda pair: -pair.size)
    if not pairs:
        return Limbs(problem="it has no two limbs of the same lengths")
    legs = pairs[0]
    apart = [p for p in pairs[1:] if not set(p.joints) & set(legs.joints)]
    # A face and a hand have pairs too: arms have about the size of arms.
    apart = [p for p in apart if p.size > 0.4 * legs.size]
    if not apart:
        return Limbs(problem="it has only one pair of long limbs")
    arms = apart[0]
    if legs.size < _LEAST_LEG_OVER_ARM * arms.size:
        return Limbs(problem="its two pairs of limbs are about equally long")
    if len(apart) > 1 and apart[1].size > 0.8 * arms.size:
        return Limbs(problem="it has more than two pairs of long limbs")
    roles: dict[str, int] = {}
    for side, leg, arm in zip(SIDES, legs.limbs, tree.arms(arms, legs.size), strict=True):
        wrist = tree.wrist(arm[2])
        ends = {"toe": tree.farthest(leg[2]), "hand": tree.knuckle(wrist)}
        roles |= zip((f"{side}_{p}" for p in ("hip", "knee", "ankle")), leg, strict=True)
        roles |= zip((f"{side}_{p}" for p in ("shoulder", "elbow")), arm[:2], strict=True)
        roles[f"{side}_wrist"] = wrist
        roles |= {f"{side}_{part}": joint for part, joint in ends.items() if joint is not None}
    neck = tree.neck(arms, legs, turns)
    if neck:
        roles["head"] = neck[-1]
    if len(neck) > 1:
        roles["neck"] = neck[0]
    return Limbs(roles)


@dataclass(frozen=True)
class _Pair:
    top: int
    """The joint both begin at."""
    paths: tuple[tuple[int, ...], tuple[int, ...]]
    """Joints down to the tip, one for each place."""
    limbs: tuple[tuple[int, int, int], tuple[int, int, int]]
    """Where the two long bones begin and end."""
    size: float
    """Length of both together."""

    @property
    def joints(self) -> tuple[int, ...]:
        return (*self.limbs[0], *self.limbs[1])


class _Shape:
    """The tree with median bone lengths."""

    def __init__(self, parents: Sequence[int], pos: Array) -> None:
        self.parents, self.pos = tuple(parents), pos
        joints = len(self.parents)
        self.children: list[list[int]] = [[] for _ in range(joints)]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                self.children[parent].append(joint)
        above = np.maximum(np.array(self.parents), 0)
        self.bone = np.median(norm(pos - pos[:, above]), axis=0)
        # The way from a world's root to the hips is no bone: not the longest, but the fourth.
        self.near = _SAME_PLACE * float(np.sort(self.bone)[-min(4, joints)])
        self.reach = np.zeros(joints)
        for joint in reversed(range(joints)):  # a parent stands before its children
            for child in self.children[joint]:
                way = float(self.bone[child] + self.reach[child])
                self.reach[joint] = max(self.reach[joint], way)

    def distance(self, a: int, b: int) -> float:
        return float(np.median(norm(self.pos[:, a] - self.pos[:, b])))

    def down(self, joint: int) -> Iterator[int]:
        """`joint` and what follows it on the longest way to a tip."""
        yield joint
        while self.children[joint]:
            joint = max(self.children[joint], key=lambda c: self.bone[c] + self.reach[c])
            yield joint

    def path(self, child: int) -> tuple[int, ...]:
        """A branch down to its tip, without joints at the place of the one before."""
        places = [self.parents[child]]
        for joint in self.down(child):
            if self.distance(places[-1], joint) > self.near:
                places.append(joint)
        return tuple(places[1:])

    def pairs(self) -> Iterator[_Pair]:
        """Branches of one joint that carry two long bones of the same lengths."""
        for top, children in enumerate(self.children):
            paths = [p for p in map(self.path, children) if len(p) > 2]
            for a, b in combinations(paths, 2):
                limbs = self.leg(a), self.leg(b)
                sizes = np.array([self.bones(limb) for limb in limbs])
                if (sizes.min(axis=0) > (1 - _ALIKE) * sizes.max(axis=0)).all():
                    yield _Pair(top, (a, b), limbs, float(sizes.mean(axis=0).sum()))

    def bones(self, limb: tuple[int, int, int]) -> tuple[float, float]:
        return self.distance(limb[0], limb[1]), self.distance(limb[1], limb[2])

    def leg(self, path: tuple[int, ...]) -> tuple[int, int, int]:
        """Hip, knee and ankle: two long bones of about the same length that follow each other."""

        def cost(limb: tuple[int, int, int]) -> float:
            upper, lower = self.bones(limb)
            return abs(math.log(upper / lower / _THIGH_OVER_SHANK)) - math.log(upper + lower)

        return min(zip(path, path[1:], path[2:], strict=False), key=cost)

    def arms(self, pair: _Pair, leg: float) -> list[tuple[int, int, int]]:
        """Shoulder, elbow and wrist of both arms, by the proportions of people.

        A collar bone before the arm and a hand after it are long bones too; the same place in both
        arms counts, since fingers are often broken.
        """

        def cost(first: int) -> float:
            total = 0.0
            for path in pair.paths:
                a, b, c = path[first : first + 3]
                upper, lower = self.bones((a, b, c))
                total += abs(math.log(upper / lower / _UPPER_OVER_FOREARM))
                total += abs(math.log((upper + lower) / leg / _ARM_OVER_LEG))
            return total

        first = min(range(min(map(len, pair.paths)) - 2), key=cost)
        return [(path[first], path[first + 1], path[first + 2]) for path in pair.paths]

    def wrist(self, joint: int) -> int:
        """`joint`, or the place at which hand and thumb begin together below it (see CMU)."""
        least = max(self.near, _WRIST_BONE * float(self.bone[joint]))
        rays = [c for c in self.children[joint] if self.bone[c] > least]
        if len(rays) > 1 and all(self.distance(rays[0], r) < self.near for r in rays[1:]):
            return max(rays, key=lambda r: self.reach[r])
        return joint

    def farthest(self, joint: int) -> int | None:
        """The joint farthest away among the next joints below `joint` that stand elsewhere."""
        level = list(self.children[joint])
        while level:
            apart = [j for j in level if self.distance(j, joint) > self.near]
            if apart:
                return max(apart, key=lambda j: self.distance(j, joint))
            level = [c for j in level for c in self.children[j]]
        return None

    def knuckle(self, wrist: int) -> int | None:
        """Where the middle finger begins, beyond the bones of the palm; None without fingers."""
        knuckles: list[int] = []
        for child in self.children[wrist]:
            ray = self.path(child)
            steps = [self.distance(a, b) for a, b in pairwise((wrist, *ray))]
            beyond = np.cumsum(steps) >= _KNUCKLE * sum(steps)
            knuckles += [ray[int(np.argmax(beyond))]] if ray else []
        if len(knuckles) > 2:
            return middle_one(knuckles, self.distance)
        # Of two, one may be the thumb, which is shorter.
        return max(knuckles, key=lambda joint: self.distance(wrist, joint), default=None)

    def neck(self, arms: _Pair, legs: _Pair, turns: Array | None) -> list[int]:
        """Joints from the first above the arms to the head."""
        taken = {joint for path in arms.paths for joint in path}
        below = {legs.top, *self._up(legs.top)}
        starts = [
            c
            for c in self.children[arms.top]
            if c not in below and c not in legs.joints and not taken & set(self.down(c))
        ]
        if not starts:
            return []
        line: list[int] = []
        for joint in self.down(max(starts, key=lambda c: self.bone[c] + self.reach[c])):
            line.append(joint)
            if len([c for c in self.children[joint] if self.bone[c] > self.near]) > 1:
                break  # eyes, jaw and the skull's top hang on the head
        if turns is not None and turns[line].any():
            while len(line) > 1 and not turns[line[-1]]:
                line.pop()
        elif len(line) > 1 and self.bone[line[-1]] > _HEAD_TOP * legs.size:
            line.pop()
        return line

    def _up(self, joint: int) -> Iterator[int]:
        while (joint := self.parents[joint]) >= 0:
            yield joint
