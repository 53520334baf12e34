"""Reading joint names: which side, which part of the body.

The vocabulary covers the names of common exporters (MotionBuilder, Mixamo, 3ds Max Biped,
Blender, MakeHuman, CMU's ASF bones, SMPL); the place in the joint tree decides where a name means
two things ("LeftShoulder" is a collar bone in one skeleton and the upper arm in another).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

LEFT, RIGHT = "left", "right"

HIP_WORDS = frozenset({"upleg", "upperleg", "thigh", "femur", "hip", "legupper"})
KNEE_WORDS = frozenset({"lowleg", "lowerleg", "shin", "tibia", "knee", "calf", "leglower"})
LEG_WORDS = frozenset({"leg"})  # the shank after "UpLeg", the thigh before "Knee"
ANKLE_WORDS = frozenset({"foot", "ankle"})
TOE_WORDS = frozenset({"toe", "toes", "toebase", "ball", "football"})
SHOULDER_WORDS = frozenset({"arm", "uparm", "upperarm", "humerus", "shldr", "armupper", "shoulder"})
COLLAR_WORDS = frozenset({"clavicle", "collar", "collarbone", "scapula", "shoulder"})
ELBOW_WORDS = frozenset({"forearm", "lowarm", "lowerarm", "radius", "elbow", "armlower"})
WRIST_WORDS = frozenset({"hand", "wrist", "palm"})
FINGER_WORDS = frozenset(
    {"fingers", "finger", "fingerbase", "handmiddle", "middle", "handindex", "index"}
)
THUMB_WORDS = frozenset({"thumb", "handthumb"})
NECK_WORDS = frozenset({"neck", "lowerneck", "upperneck"})
HEAD_WORDS = frozenset({"head"})

_PARTS = frozenset().union(
    HIP_WORDS,
    KNEE_WORDS,
    LEG_WORDS,
    ANKLE_WORDS,
    TOE_WORDS,
    SHOULDER_WORDS,
    COLLAR_WORDS,
    ELBOW_WORDS,
    WRIST_WORDS,
    FINGER_WORDS,
    THUMB_WORDS,
    {"hipjoint", "buttock"},
)

# What exporters put before or behind the part's own name.
_NOISE = frozenset(
    {"joint", "jnt", "bip", "bone", "def", "org", "mixamorig", "bn", "skel", "ctrl", "character"}
)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True)
class JointName:
    """A joint name taken apart."""

    side: str | None
    """"left", "right" or None for a joint of the midline (or a name that does not say)."""
    part: str
    """The rest of the name: lower case letters only, such as "upleg" or "handindex"."""
    number: int | None
    """The first number in the name, such as 1 in "Spine1"."""


@functools.lru_cache(maxsize=1024)
def parse_joint_name(name: str) -> JointName:
    """Take a joint name apart: ``mixamorig:LeftUpLeg`` is left, ``upleg``; ``lfemur`` likewise."""
    own = re.split(r"[:|]", name)[-1]
    tokens = [t.lower() for t in _TOKEN.findall(own)]
    numbers = [int(t) for t in tokens if t.isdigit()]
    words = [t for t in tokens if not t.isdigit()]
    if len(words) > 1:
        plain = [t for t in words if t not in _NOISE and (len(t) > 1 or t in ("l", "r"))]
        words = plain or words
    side, rest = _split_side(words)
    return JointName(side, "".join(rest), numbers[0] if numbers else None)


def _split_side(words: list[str]) -> tuple[str | None, list[str]]:
    for index, word in enumerate(words):
        if word in ("left", "l") and len(words) > 1:
            return LEFT, words[:index] + words[index + 1 :]
        if word in ("right", "r") and len(words) > 1:
            return RIGHT, words[:index] + words[index + 1 :]
    for index, word in enumerate(words):
        for mark, side in (("left", LEFT), ("right", RIGHT), ("l", LEFT), ("r", RIGHT)):
            # "lowerback" and "root" begin with these letters too: the remainder must be a part.
            rest = word[len(mark) :]
            long_mark = len(mark) > 1 and rest
            if word.startswith(mark) and (rest in _PARTS or long_mark):
                return side, [*words[:index], rest, *words[index + 1 :]]
    return None, words
