"""What editing needs to know of a robot, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class JointMirror:
    """How joints answer to a reflection in the plane of symmetry.

    Attributes:
        partner: joint -> the joint of the other side, itself on the middle line.
        sign: joint -> +1 or -1; the mirrored angle of `j` is ``sign[j] * angle[partner[j]]``.
    """

    partner: Mapping[str, str]
    sign: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotFacts:
    """A robot's names, default pose and limits; arrays [J] in the order of `joint_names`."""

    name: str
    joint_names: tuple[str, ...]
    default_joint_pos: Array
    default_root_height: float
    """m, soles on the ground in the default pose."""
    joint_lower: Array
    joint_upper: Array
    mirror: JointMirror
