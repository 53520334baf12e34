"""From joint names, the joint tree and bone lengths to canonical roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from motions.human.motion import SIDES
from motions.human.skeletons import names as vocabulary
from motions.human.skeletons.families import family_of
from motions.human.skeletons.names import parse_joint_name
from motions.human.skeletons.tree import JointTree, middle_one
from motions.human.skeletons.verify import misplaced, unlikely

Array = NDArray[Any]

# Two joints nearer than this fraction of the thigh stand at the same place: rigs put helper
# joints on top of each other.
_SAME_PLACE = 0.02


@dataclass(frozen=True)
class Recognition:
    """Roles that were found and what speaks against them."""

    roles: dict[str, int]
    family: str
    """A known skeleton ("LAFAN1", "Mixamo", ...) or "generic"."""
    misplaced: list[str] = field(default_factory=list)
    """Roles in an order that no skeleton has; empty when all is well."""
    unlikely: list[str] = field(default_factory=list)
    """Lengths that no person has; empty when all is well."""


def recognise(
    joint_names: Sequence[str],
    parents: Sequence[int],
    pos: Array,
    given: dict[str, int] | None = None,
) -> Recognition:
    """Find the roles of a skeleton.

    `pos` [J, 3] is any pose in any unit: only lengths are used. `given` fixes roles by hand; the
    others are still looked for. A role that is not found is absent; nothing is raised.
    """
    tree = JointTree([parse_joint_name(n) for n in joint_names], parents, pos)
    roles = dict(given or {})
    for side in SIDES:
        _find_leg(tree, side, roles)
        _find_arm(tree, side, roles)
    _find_trunk(tree, roles)
    wrong = misplaced(tree, roles)
    return Recognition(roles, family_of(joint_names), wrong, [] if wrong else unlikely(tree, roles))


# -- limbs -----------------------------------------------------------------------------------


def _first(joints: Sequence[int] | Iterator[int], test: Callable[[int], bool]) -> int | None:
    return next((j for j in joints if test(j)), None)


def _is(tree: JointTree, side: str | None, words: frozenset[str]) -> Callable[[int], bool]:
    return lambda j: tree.names[j].side == side and tree.names[j].part in words


def _put(roles: dict[str, int], role: str, joint: int | None) -> None:
    if joint is not None:
        roles[role] = joint


def _above(tree: JointTree, joint: int, test: Callable[[int], bool]) -> int | None:
    """The nearest ancestor with a fitting name (twist joints stand between), else the parent."""
    found = _first(tree.up(joint), test)
    return found if found is not None else _first(tree.up(joint), lambda j: True)


def _between(tree: JointTree, top: int | None, bottom: int | None) -> int | None:
    """A joint whose name says nothing but whose place does: the middle of a limb."""
    if top is None or bottom is None:
        return None
    line = tree.path(top, bottom)
    return min(line, key=lambda j: abs(tree.length(top, j) - tree.length(j, bottom)), default=None)


def _find_leg(tree: JointTree, side: str, roles: dict[str, int]) -> None:
    hip, knee, ankle = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
    everything = range(len(tree.names))
    if knee not in roles:
        found = _first(everything, _is(tree, side, vocabulary.KNEE_WORDS))
        if found is None:
            # A lone "Leg" is the shank where a thigh stands above it.
            found = _first(
                everything,
                lambda j: (
                    _is(tree, side, vocabulary.LEG_WORDS)(j)
                    and _first(tree.up(j), _is(tree, side, vocabulary.HIP_WORDS)) is not None
                ),
            )
        _put(roles, knee, found)
    if hip not in roles:
        if knee in roles:
            thigh = vocabulary.HIP_WORDS | vocabulary.LEG_WORDS
            found = _above(tree, roles[knee], _is(tree, side, thigh))
        else:
            found = _first(everything, _is(tree, side, vocabulary.HIP_WORDS))
        _put(roles, hip, found)
    if ankle not in roles and (knee in roles or hip in roles):
        below = tree.below(roles[knee if knee in roles else hip])
        _put(roles, ankle, _first(below, _is(tree, side, vocabulary.ANKLE_WORDS)))
    if knee not in roles:
        _put(roles, knee, _between(tree, roles.get(hip), roles.get(ankle)))
    if ankle in roles and f"{side}_toe" not in roles:
        _put(roles, f"{side}_toe", _find_toe(tree, side, roles[ankle]))


def _find_toe(tree: JointTree, side: str, ankle: int) -> int | None:
    apart = [j for j in tree.below(ankle) if tree.length(j, ankle) > 0]
    named = [j for j in apart if _is(tree, side, vocabulary.TOE_WORDS)(j)]
    if not named:  # SMPL calls the joint after the ankle "foot"
        return _first(apart, _is(tree, side, vocabulary.ANKLE_WORDS))
    # Rigs with five toes: the nearest row of them, of these the one that reaches farthest.
    depth = {j: len(list(tree.up(j))) for j in named}
    nearest = [j for j in named if depth[j] == min(depth.values())]
    return max(nearest, key=lambda j: tree.length(j, ankle))


def _find_arm(tree: JointTree, side: str, roles: dict[str, int]) -> None:
    shoulder, elbow, wrist = f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"
    everything = range(len(tree.names))
    if elbow not in roles:
        _put(roles, elbow, _first(everything, _is(tree, side, vocabulary.ELBOW_WORDS)))
    if shoulder not in roles:
        upper_arm = _is(tree, side, vocabulary.SHOULDER_WORDS)
        if elbow in roles:
            found = _above(tree, roles[elbow], upper_arm)
        else:  # the last of collar bone and upper arm, where both are called shoulder
            found = _first(reversed(everything), upper_arm)
        _put(roles, shoulder, found)
    if wrist not in roles and (elbow in roles or shoulder in roles):
        top = roles[elbow if elbow in roles else shoulder]
        is_hand = _is(tree, side, vocabulary.WRIST_WORDS)
        hands = [j for j in tree.below(top) if is_hand(j) and tree.length(j, top) > 0]
        if hands:
            roles[wrist] = _true_wrist(tree, side, hands)
    if elbow not in roles:
        _put(roles, elbow, _between(tree, roles.get(shoulder), roles.get(wrist)))
    if wrist in roles and f"{side}_hand" not in roles:
        _put(roles, f"{side}_hand", _find_hand(tree, side, roles[wrist]))


def _true_wrist(tree: JointTree, side: str, hands: list[int]) -> int:
    """The first hand joint, or the second where the thumb begins there.

    CMU's "wrist" bone is the far third of the forearm (it only twists); the hand and the thumb
    both begin at its end, which is where a person's wrist is.
    """
    first = hands[0]
    thumb = _first(tree.below(first), _is(tree, side, vocabulary.THUMB_WORDS))
    for hand in hands[1:]:
        if thumb is None or first not in tree.up(hand):
            continue
        apart = tree.length(first, hand)
        if apart > 0 and tree.length(hand, thumb) < 0.1 * apart:
            return hand
    return first


def _find_hand(tree: JointTree, side: str, wrist: int) -> int | None:
    words = vocabulary.WRIST_WORDS | vocabulary.FINGER_WORDS
    apart = [j for j in tree.below(wrist) if tree.length(j, wrist) > 0]
    middle = _first(
        apart, lambda j: tree.names[j].side == side and tree.names[j].part.endswith("middle")
    )
    if middle is not None:
        return middle
    fingers = [j for j in apart if _is(tree, side, words)(j)]
    knuckles = [j for j in fingers if not set(tree.up(j)) & set(fingers)]
    return middle_one(knuckles, tree.length) if len(knuckles) > 2 else next(iter(fingers), None)


# -- trunk -----------------------------------------------------------------------------------


def _find_trunk(tree: JointTree, roles: dict[str, int]) -> None:
    for role, part in (("pelvis", "hip"), ("chest", "shoulder")):
        ends = (f"left_{part}", f"right_{part}")
        if role not in roles and all(e in roles for e in ends):
            found = tree.common(roles[ends[0]], roles[ends[1]])
            if found is not None and found not in (roles[ends[0]], roles[ends[1]]):
                roles[role] = found
    if "head" not in roles:
        found = _first(range(len(tree.names)), _is(tree, None, vocabulary.HEAD_WORDS))
        _put(roles, "head", found)
    if "chest" in roles and "neck" not in roles:
        bottom = roles.get("head")
        line = tree.path(roles["chest"], bottom) if bottom is not None else []
        line = line or [j for j in tree.below(roles["chest"]) if tree.names[j].side is None]
        _put(roles, "neck", _first(line, _is(tree, None, vocabulary.NECK_WORDS)))
    if "pelvis" in roles and "chest" in roles and "spine" not in roles:
        line = tree.path(roles["pelvis"], roles["chest"])
        if line:
            near = _SAME_PLACE * _thigh(tree, roles)
            found = _first(line, lambda j: tree.length(j, roles["pelvis"]) > near)
            roles["spine"] = found if found is not None else line[0]


def _thigh(tree: JointTree, roles: dict[str, int]) -> float:
    return tree.length(roles["left_hip"], roles["left_knee"]) if "left_knee" in roles else 0.0
