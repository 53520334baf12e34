"""The door of a live stream: what files are checked for, checked at the first frames.

A source's unit, vertical axis and order of quaternions are said by its header or on the command
line. What is said is converted; what is not said is taken as metres, z up, wxyz, and compared with
what a person can be. Until the person stands the robot keeps its default pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import quat_mul, quat_rotate
from mimic_base.vectors import Array
from retarget.streaming.skeleton import HumanFrame, Skeleton

Up = Literal["x", "y", "z", "-y"]
Order = Literal["wxyz", "xyzw"]
UPS: tuple[str, ...] = ("x", "y", "z", "-y")
SHORTEST, LONGEST = 0.3, 1.35
"""Lengths of people's legs from hip to ankle, m."""
STANDS = 0.6
"""Mean upward part of legs and trunk from which on a person stands."""
_UNITS = (("centimetres", 0.01), ("millimetres", 0.001), ("inches", 0.0254), ("metres", 1.0),
          ("feet", 0.3048))  # fmt: skip
_TURNS = {"x": (np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0), "-y": (np.sqrt(0.5), -np.sqrt(0.5), 0, 0),
          "y": (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """What a source says of its numbers; None where it says nothing."""

    up: Up | None = None
    """Its vertical axis; z unless said."""
    unit: float | None = None
    """Metres per unit; 1 unless said."""
    quaternions: Order | None = None
    """Order of a quaternion's numbers; wxyz unless said."""

    def over(self, other: Conventions) -> Conventions:
        """These, and where they say nothing those of `other`."""
        return Conventions(
            up=self.up or other.up,
            unit=self.unit if self.unit is not None else other.unit,
            quaternions=self.quaternions or other.quaternions,
        )

    @classmethod
    def of(cls, header: Mapping[str, Any], where: str) -> Conventions:
        """What a stream's header says; raises `InputError` for what cannot be."""
        up, unit, order = (header.get(key) for key in ("up", "unit", "quaternions"))
        if up not in (None, *UPS):
            raise input_error(where, "up", found=repr(up), expected=", ".join(UPS))
        if order not in (None, "wxyz", "xyzw"):
            raise input_error(where, "quaternions", found=repr(order), expected="wxyz or xyzw")
        if unit is not None and not (type(unit) in (int, float) and 0 < unit < np.inf):
            raise input_error(where, "unit", found=repr(unit), expected="metres per unit, above 0")
        return cls(up=up, unit=None if unit is None else float(unit), quaternions=order)

    def frame(self, frame: HumanFrame) -> HumanFrame:
        """The frame in metres, z up, wxyz."""
        if self == Conventions():
            return frame
        quat = frame.quat_w
        if quat is not None:
            quat = np.asarray(quat, np.float64)
            if quat.ndim == 2 and quat.shape[1] == 4:
                quat = quat[:, [3, 0, 1, 2]] if self.quaternions == "xyzw" else quat
                if self.up in _TURNS:
                    quat = quat_mul(np.array(_TURNS[self.up]), quat)
        return HumanFrame(self.points(np.asarray(frame.pos_w, np.float64)), quat, frame.joint_names)

    def points(self, pos: Array) -> Array:
        """Positions [..., 3] in metres, z up."""
        pos = pos if self.unit is None else pos * self.unit
        if self.up not in _TURNS or pos.shape[-1:] != (3,):
            return pos
        return quat_rotate(np.array(_TURNS[self.up]), pos)

    def rest(self, rest: Array, skeleton: Skeleton) -> Array:
        """A rest pose [J, 3] in metres, z up: sources give theirs in their own axes or in ours."""
        found = rest
        if self.unit is not None and not SHORTEST < leg_length(rest, skeleton) < LONGEST:
            found = found * self.unit
        if self.up in _TURNS and stance(found, skeleton)[2] < STANDS:
            turned = quat_rotate(np.array(_TURNS[self.up]), found)
            found = turned if stance(turned, skeleton)[2] > STANDS else found
        return found


def stance(pos: Array, skeleton: Skeleton) -> Array:
    """Mean direction [3] of legs and trunk, upwards; of length 1 for who stands straight."""
    at = {part: 0.5 * (pos[skeleton.roles[f"left_{part}"]] + pos[skeleton.roles[f"right_{part}"]])
          for part in ("hip", "ankle", "shoulder")}  # fmt: skip
    legs, trunk = at["hip"] - at["ankle"], at["shoulder"] - at["hip"]
    sizes = [max(float(np.linalg.norm(v)), 1e-9) for v in (legs, trunk)]
    return 0.5 * (legs / sizes[0] + trunk / sizes[1])


def leg_length(pos: Array, skeleton: Skeleton) -> float:
    """Mean length of both legs from hip over knee to ankle."""
    lengths = []
    for side in ("left", "right"):
        hip, knee, ankle = (pos[skeleton.roles[f"{side}_{p}"]] for p in ("hip", "knee", "ankle"))
        lengths.append(np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))
    return float(np.mean(lengths))


class Door:
    """Lets frames in once they can be a person's who stands; `reason` says what keeps them out."""

    def __init__(self, skeleton: Skeleton, said: Conventions, raw_rest: Array | None) -> None:
        """`raw_rest` [J, 3] is the rest pose as the source gives it."""
        self.skeleton, self.said, self._rest = skeleton, said, raw_rest
        self.open = skeleton.checked
        self.reason = ""

    def take(self, frame: HumanFrame | None) -> HumanFrame | None:
        """The frame in metres, z up, wxyz; None while the door is shut."""
        if frame is None:
            return None
        self.skeleton.check(frame)
        taken = self.said.frame(frame)
        if self.open:
            return taken
        pos = np.asarray(taken.pos_w, np.float64)
        length = leg_length(pos, self.skeleton)
        if not (np.isfinite(pos).all() and length > 0.0):
            return None  # trackers begin so
        self.reason = self._wrong_unit(length) or self._lies(pos) or self._wrong_order(frame)
        self.open = not self.reason
        return taken if self.open else None

    def _wrong_unit(self, length: float) -> str:
        if SHORTEST < length < LONGEST:
            return ""
        own = 1.0 if self.said.unit is None else self.said.unit
        fits = [(name, unit) for name, unit in _UNITS if 0.5 < length / own * unit < 1.2]
        guess = f"are these {fits[0][0]}? --unit {fits[0][1]:g}" if fits else "--unit METRES"
        return f"the person's legs are {length:.3g} m long: {guess}"

    def _lies(self, pos: Array) -> str:
        up = stance(pos, self.skeleton)
        if up[2] >= STANDS or self.said.up is not None:
            return ""
        k = int(np.abs(up[:2]).argmax())
        if abs(up[k]) >= STANDS and not (k == 0 and up[0] < 0.0):
            axis = "x" if k == 0 else "y" if up[1] > 0.0 else "-y"
            equals = "=" if axis == "-y" else " "
            return (
                f"the person lies along {axis}: is {axis} up? --up{equals}{axis}, or --up z if not"
            )
        return "nobody stands upright yet (z up): stand, or --up z to begin as it is"

    def _wrong_order(self, frame: HumanFrame) -> str:
        """Whether rotations turn the rest pose's bones onto the frame's only in the other order."""
        if self._rest is None or frame.quat_w is None or self.said.quaternions is not None:
            return ""
        quat = np.asarray(frame.quat_w, np.float64)
        pos = np.asarray(frame.pos_w, np.float64)
        errors = [self._misfit(pos, quat), self._misfit(pos, quat[:, [3, 0, 1, 2]])]
        if errors[0] > 25.0 and errors[1] < 8.0:
            return "rotations fit the rest pose as xyzw, not as wxyz: --quaternions xyzw"
        return ""

    def _misfit(self, pos: Array, quat: Array) -> float:
        """Mean angle (degrees) from the turned bones of the rest pose to those of a frame."""
        assert self._rest is not None
        back = {up: np.array(turn) * [1, -1, -1, -1] for up, turn in _TURNS.items()}
        rests = [self._rest, *(quat_rotate(np.array(t), self._rest) for t in _TURNS.values()),
                 *(quat_rotate(turn, self._rest) for turn in back.values())]  # fmt: skip
        size = np.linalg.norm(quat, axis=1, keepdims=True)
        quat = quat / np.maximum(size, 1e-9)
        least = np.inf
        for rest in rests:
            angles = []
            for joint, above in enumerate(self.skeleton.parents):
                if above < 0:
                    continue
                bone, seen = rest[joint] - rest[above], pos[joint] - pos[above]
                sizes = float(np.linalg.norm(bone) * np.linalg.norm(seen))
                if sizes > 1e-9:
                    turned = quat_rotate(quat[above], bone)
                    angles.append(np.degrees(np.arccos(np.clip(turned @ seen / sizes, -1, 1))))
            least = min(least, float(np.mean(angles)) if angles else np.inf)
        return least
