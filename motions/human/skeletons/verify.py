"""What in a recognised skeleton does not fit a person."""

from __future__ import annotations

from itertools import pairwise

from motions.human.motion import SIDES
from motions.human.skeletons.tree import JointTree

# Two chains of joints and the least and greatest ratio of their lengths in a human skeleton. The
# forearm of CMU's BVH variants lost its far third: hence the wide bound for arms.
_RATIOS = (
    (("hip", "knee"), ("knee", "ankle"), 0.6, 1.7),
    (("shoulder", "elbow"), ("elbow", "wrist"), 0.6, 3.0),
    (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"), 0.9, 2.6),
)
_LEAST_SYMMETRY = 0.75


def misplaced(tree: JointTree, roles: dict[str, int]) -> list[str]:
    """Roles that share a joint or do not follow each other down the tree: no skeleton at all."""
    found = []
    used: dict[int, str] = {}
    for role, joint in roles.items():
        # A short spine may give one joint to two roles of the midline.
        if joint in used and {role, used[joint]} - {"neck", "head", "spine", "chest"}:
            found.append(f"{role} and {used[joint]} are the same joint")
        used[joint] = role
    for chain in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
        for side in SIDES:
            for upper, lower in pairwise(f"{side}_{part}" for part in chain):
                if upper in roles and lower in roles and roles[upper] not in tree.up(roles[lower]):
                    found.append(f"{lower} does not hang below {upper}")
    return found


def unlikely(tree: JointTree, roles: dict[str, int]) -> list[str]:
    """Lengths and symmetries that no person has."""
    found = []

    def size(side: str, chain: tuple[str, ...]) -> float | None:
        joints = [roles[f"{side}_{part}"] for part in chain if f"{side}_{part}" in roles]
        if len(joints) < len(chain):
            return None
        return sum(tree.length(a, b) for a, b in pairwise(joints))

    for first, second, least, greatest in _RATIOS:
        for side in SIDES:
            a, b = size(side, first), size(side, second)
            if a is None or b is None:
                continue
            if not (b > 0 and least <= a / b <= greatest):
                found.append(
                    f"{side} {'-'.join(first)} is {a:.3g} long and "
                    f"{'-'.join(second)} {b:.3g} (a ratio of {least}-{greatest} is human)"
                )
        a, b = size("left", first), size("right", first)
        if a is not None and b is not None and min(a, b) < _LEAST_SYMMETRY * max(a, b):
            found.append(f"{'-'.join(first)} is {a:.3g} long left and {b:.3g} right")
    return found
