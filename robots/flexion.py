"""Which way a knee or an elbow bends: several pieces of evidence, weighed against each other.

A hinge whose range is as wide one way as the other says nothing about its side, so the range is
one witness among four: the range, the default pose (which has bent knees and elbows), the human
way (a shank goes back, a forearm forward, up or inward), and the joint's mirror image, whose
witnesses count as much as its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from mimic_base.vectors import Array, rotate_about, unit

SURE = 0.35
"""Evidence below this share of all that was heard is called split."""
CLEAR_RANGE = 0.3
"""Share of the range by which one side must be wider than the other to decide alone."""
_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)
_WEIGHTS = {"range": 1.0, "default pose": 1.2, "human way": 0.7}
_BENT = 0.1
"""rad from straight that a default pose must be bent to say something."""


@dataclass(frozen=True, kw_only=True)
class Bend:
    """The hinge of a knee or an elbow at a model's zero pose."""

    joint: int
    """Joint of the model."""
    axis: Array
    """[3] in the world, unit."""
    upper: Array
    """[3] direction of thigh or upper arm, unit."""
    lower: Array
    """[3] direction of shank or forearm, unit."""
    low: float
    """rad, of the joint's range."""
    high: float
    """rad."""
    default: float
    """rad, in the default pose."""
    knee: bool
    """Whether it is a knee; else an elbow."""
    side: float
    """1 for the left, -1 for the right."""

    @property
    def straight(self) -> float:
        """Angle (rad) within the range at which upper and lower are most nearly one line."""
        angles = np.linspace(self.low, self.high, 361)
        swept = rotate_about(self.lower[None], self.axis[None], angles)
        along = swept @ self.upper
        at_zero = float(self.lower @ self.upper)
        # Links are drawn straight; small offsets of the joints from the line are mechanics.
        if self.low <= 0.0 <= self.high and at_zero > 0.97 * float(along.max()):
            return 0.0
        return float(angles[int(along.argmax())])

    @property
    def turns(self) -> bool:
        """Whether the hinge bends the limb at all, instead of twisting it."""
        angles = np.linspace(self.low, self.high, 361)
        swept = rotate_about(self.lower[None], self.axis[None], angles)
        normals = np.cross(self.upper, swept)
        best = normals[np.linalg.norm(normals, axis=1).argmax()]
        return abs(float(best @ self.axis)) >= 1e-6

    def witnesses(self) -> dict[str, float]:
        """What each says of the positive direction: 1 it is flexion, -1 extension, 0 nothing."""
        straight = self.straight
        plus = float(np.clip(self.high - straight, 0.0, np.pi))
        minus = float(np.clip(straight - self.low, 0.0, np.pi))
        found = {"range": (plus - minus) / max(plus + minus, 1e-6)}
        bent = self.default - straight
        found["default pose"] = float(np.sign(bent)) if abs(bent) > _BENT else 0.0
        moves = np.cross(self.axis, rotate_about(self.lower, self.axis, np.array(straight)))
        wanted = np.array([-1.0, 0, 0]) if self.knee else np.array([1.0, -0.5 * self.side, 0.4])
        found["human way"] = float(np.clip(1.5 * unit(moves) @ unit(wanted), -1.0, 1.0))
        return found


@dataclass(frozen=True, kw_only=True)
class Side:
    """The side of flexion of a joint and how sure it is."""

    sign: float
    """1 where the joint's positive direction is flexion, else -1."""
    confidence: float
    """0 (nothing said, or as much for as against) to 1 (all agree)."""
    reason: str
    """One clause that names who says what."""


def sides_of_flexion(left: Bend, right: Bend) -> tuple[Side, Side]:
    """Sides of flexion of a pair of mirror images, from the evidence of both."""
    image = np.array([-1.0, 1.0, -1.0]) * left.axis
    agree = float(image @ right.axis)
    same = 1.0 if agree >= 0 else -1.0
    mirrored = abs(agree) > 0.7
    own = [bend.witnesses() for bend in (left, right)]
    found = []
    for k, bend in enumerate((left, right)):
        other = {name: same * value for name, value in own[1 - k].items()} if mirrored else {}
        found.append(_judged(bend, own[k], other))
    return found[0], found[1]


def _judged(bend: Bend, own: dict[str, float], other: dict[str, float]) -> Side:
    votes = {name: _WEIGHTS[name] * value for name, value in own.items()}
    for name, value in other.items():
        votes[f"mirror image's {name}"] = _WEIGHTS[name] * value
    # A range that is clearly wider one way is the maker's word; the rest cannot outvote it.
    clear = [own["range"], other.get("range", 0.0)]
    decided = [v for v in clear if abs(v) > CLEAR_RANGE]
    total = sum(votes.values())
    heard = sum(abs(vote) for vote in votes.values())
    sign = 1.0 if total >= 0.0 else -1.0
    if abs(own["range"]) > CLEAR_RANGE and all(v * own["range"] > 0 for v in decided):
        sign = float(np.sign(own["range"]))
    share = sign * total / heard if heard > 1e-9 else 0.0
    # Little evidence is little sure, however much it agrees.
    confidence = float(np.clip(share, 0.0, 1.0) * min(1.0, heard / 1.0))
    said = {1: [], -1: []}
    for name, value in own.items():
        if abs(value) > 0.1:
            said[1 if value * sign > 0 else -1].append(name)
    turned = {name: value * sign for name, value in other.items()}
    against = [f"the mirror image's {name}" for name, value in turned.items() if value < -0.1]
    reason = f"{'knee' if bend.knee else 'elbow'} bends to {'+' if sign > 0 else '-'}: "
    reason += f"{', '.join(said[1]) or 'nobody'} for it"
    if said[-1] or against:
        reason += f", {', '.join([*said[-1], *against])} against it"
    return Side(sign=sign, confidence=round(confidence, 2), reason=reason)
