"""The bones of a source skeleton, for drawing it."""

from __future__ import annotations

from dataclasses import dataclass

from motions import HumanMotion


@dataclass(frozen=True)
class Bone:
    """From joint ``parent`` to joint ``child`` (indices); ``side`` is left, right or empty."""

    parent: int
    child: int
    side: str


def body_bones(human: HumanMotion) -> list[Bone]:
    """The bones of the body, one per joint that has a parent."""
    side = {index: role.split("_")[0] for role, index in human.roles.items()}
    above = _ancestors(human, human.roles["pelvis"])
    # Some skeletons hang on a point of the floor: no bone of the body.
    return [
        Bone(parent, joint, _side_of(human, joint, side))
        for joint, parent in enumerate(human.parents)
        if parent >= 0 and parent not in above
    ]


def _ancestors(human: HumanMotion, joint: int) -> set[int]:
    found = set()
    while human.parents[joint] >= 0:
        joint = human.parents[joint]
        found.add(joint)
    return found


def _side_of(human: HumanMotion, joint: int, side: dict[int, str]) -> str:
    """Side of a joint, or of the nearest ancestor that has one (fingers, toe tips)."""
    while joint >= 0:
        if side.get(joint) in ("left", "right"):
            return side[joint]
        if joint in side:
            return ""
        joint = human.parents[joint]
    return ""
