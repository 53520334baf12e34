"""The description file of a derived robot, each guess with its confidence and reason."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np

from robots.derive.anatomy import Anatomy, Array, Guess
from robots.derive.motors import MotorGuess
from robots.derive.shapes import Capsule
from robots.derive.soles import Sole


@dataclass(frozen=True, kw_only=True)
class Derived:
    """All that was found out about a robot; indices are those of ``anatomy.model``.

    Attributes:
        ranges: of joints whose file gives none, rad. dropped: names of meshes left out.
        free_joint: the file's robot is fixed to the world; it gets a free joint.
        slides: joints that are fixed because they slide.
        turn: quaternion (wxyz) that sets the file's robot upright and facing +x.
    """

    name: str
    file: Path
    anatomy: Anatomy
    soles: tuple[Sole, Sole]
    pose: dict[int, float]
    motors: dict[int, MotorGuess]
    ranges: dict[int, tuple[float, float]]
    capsules: list[Capsule]
    free_joint: bool
    dropped: tuple[str, ...]
    turn: tuple[float, float, float, float]
    slides: tuple[str, ...]
    frame_doubts: tuple[str, ...] = ()
    """What retargeting would be unsure of, from `robots.frames`, a clause each."""

    def split(self) -> tuple[str, ...]:
        """Decisions for which the model speaks as much for as against, a line each: to confirm."""
        guesses = self.guesses()
        found = [
            f"{name} [{guesses[name].confidence:.2f}]: {guesses[name].reason}"
            for name in _TO_CONFIRM
            if name in guesses and guesses[name].confidence < SPLIT
        ]
        return (*found, *self.frame_doubts)

    def doubts(self) -> tuple[str, ...]:
        """`split`, and what was assumed because the model shows nothing."""
        guesses = self.guesses()
        assumed = [
            f"{name} [{guesses[name].confidence:.2f}]: {guesses[name].reason}"
            for name in ("soles", "wrists")
            if name in guesses and guesses[name].confidence < SPLIT
        ]
        return (*self.split(), *assumed)

    def guesses(self) -> dict[str, Guess]:
        """What was decided -> how sure; of motors and feet the least sure one."""
        found = dict(self.anatomy.guesses)
        for k, what in enumerate(("armature", "torque limits", "speed limits")):
            found[what] = min((m.guesses[k] for m in self.motors.values()), key=_confidence)
        found["soles"] = min((sole.guess for sole in self.soles), key=_confidence)
        return found

    def wrist(self, side: int) -> str:
        """Name of the left (0) or right (1) wrist's body, or of the point that stands for it."""
        arm = self.anatomy.arms[side]
        if not arm.tip.any():
            return self.anatomy.name(arm.end)
        return ("left", "right")[side] + "_wrist_point"


_TO_CONFIRM = ("sides", "legs", "knees", "elbows", "facing", "constraints")
SPLIT = 0.4
"""Confidence below which a decision is said to be doubtful."""


def _confidence(guess: Guess) -> float:
    return guess.confidence


def human_map(derived: Derived) -> dict[str, str]:
    """Human role -> body."""
    a = derived.anatomy
    roles = {"pelvis": a.name(a.pelvis), "chest": a.name(a.chest)}
    for k, side in enumerate(("left", "right")):
        leg, arm = a.legs[k], a.arms[k]
        for role, body in (("hip", leg.upper), ("knee", leg.middle), ("ankle", leg.end)):
            roles[f"{side}_{role}"] = a.name(body)
        for role, body in (("shoulder", arm.upper), ("elbow", arm.middle)):
            roles[f"{side}_{role}"] = a.name(body)
        roles[f"{side}_wrist"] = derived.wrist(k)
    return roles


def key_bodies(derived: Derived) -> list[str]:
    """Root, trunk, and of every limb the middle of its first joints, its bend and its end."""
    a = derived.anatomy
    names = [a.name(a.root), a.name(a.pelvis)]
    for leg in a.legs:
        names += [a.name(b) for b in (leg.second, leg.middle, leg.end)]
    names.append(a.name(a.chest))
    for k, arm in enumerate(a.arms):
        names += [a.name(arm.second), a.name(arm.middle), derived.wrist(k)]
    return list(dict.fromkeys(names))


def toml_text(derived: Derived, out: Path) -> str:
    """The description, to be written to `out`: the model's path is relative where it lies below."""
    a, lines = derived.anatomy, []
    file = derived.file.resolve()
    below = file.is_relative_to(out.resolve().parent)
    place = os.path.relpath(file, out.resolve().parent) if below else str(file)
    lines += [
        f"# {derived.name}: derived from {file.name} by `mimic robots add`. Each guess has a line",
        '# "# [confidence] reason", from 0 to 1. Check the low ones, and the picture.',
        f"name = {_text(derived.name)}",
        f"title = {_text(f'{derived.name} ({len(derived.motors)} DoF, derived)')}",
        *_doubts(derived),
        "",
        "[model]",
        f"file = {_text(Path(place).as_posix())}",
    ]
    if derived.free_joint:
        lines.append("free_joint = true # the file's robot is fixed to the world")
    if derived.slides:
        lines.append(_note(a.guesses["slides"]))
        lines.append(f"fixed_joints = {_texts(derived.slides)}")
    if any(derived.turn[1:]):
        lines.append(_note(a.guesses["facing"]))
        lines.append("# The root's orientation in motions is that of the frame so turned.")
        lines.append(f"turn = {_numbers(np.array(derived.turn))}")
    if derived.dropped:
        lines.append(
            f"drop_missing_meshes = true # absent or unreadable: {', '.join(derived.dropped[:4])}"
        )
    lines += _motors(derived)
    if derived.ranges:
        lines += ["", "[joint_ranges] # rad"]
        lines.append(_note(Guess(0.3, "the file limits these joints nowhere: assumed")))
        for joint, (low, high) in derived.ranges.items():
            lines.append(f"{_joint(a, joint)} = [{low:.4g}, {high:.4g}]")
    lines += ["", "[default_pose] # knees bent, rad"]
    lines.append(_note(a.guesses["pose"]))
    lines += [f"{_joint(a, j)} = {v}" for j, v in derived.pose.items()]
    feet = [a.name(leg.end) for leg in a.legs]
    ends = [*feet, derived.wrist(0), derived.wrist(1)]
    lines += [
        "",
        "[bodies]",
        f"root = {_text(a.name(a.root))}",
        _note(a.guesses["trunk"]),
        f"anchor = {_text(a.name(a.chest))}",
        _note(a.guesses["legs"]),
        f"feet = {_texts(feet)}",
        f"end_effectors = {_texts(ends)}",
        f"key_bodies = {_texts(key_bodies(derived))}",
    ]
    for k in (0, 1):
        arm = a.arms[k]
        if arm.tip.any():
            lines += ["", "[[points]]", _note(a.guesses["wrists"])]
            lines += [f"name = {_text(derived.wrist(k))}", f"body = {_text(a.name(arm.end))}"]
            lines.append(f"pos = {_numbers(arm.tip)}")
    lines += ["", "# Human role -> body whose origin is that key point.", "[human]"]
    for role, body in human_map(derived).items():
        guess = a.guesses.get({"knee": "knees", "elbow": "elbows", "wrist": "wrists"}.get(
            role.rpartition("_")[2], "trunk" if "_" not in role else "sides"
        ))  # fmt: skip
        note = f" # [{guess.confidence:.2f}]" if guess is not None else ""
        lines.append(f"{role} = {_text(body)}{note}")
    lines += [_note(a.guesses[key], key) for key in ("sides", "knees", "elbows", "wrists")]
    lines += _collision(derived)
    return "\n".join(lines) + "\n"


def _doubts(derived: Derived) -> list[str]:
    doubts = derived.doubts()
    if not doubts:
        return []
    lines = [
        "",
        "# Check these against the picture; take out what is right. Retargeting repeats them.",
    ]
    return [*lines, "doubts = [", *(f"    {_text(doubt)}," for doubt in doubts), "]"]


def _motors(derived: Derived) -> list[str]:
    groups: dict[tuple, list[int]] = {}
    for joint, motor in derived.motors.items():
        groups.setdefault((motor.armature, motor.effort, motor.velocity), []).append(joint)
    lines = []
    for number, ((armature, effort, velocity), joints) in enumerate(groups.items(), 1):
        guesses = derived.motors[joints[0]].guesses
        lines += [
            "",
            "[[motors]]",
            f'name = "motor {number}"',
            f"armature = {armature:.6g} {_note(guesses[0])}",
            f"effort = {effort:.6g} {_note(guesses[1])}",
            f"velocity = {velocity:.6g} {_note(guesses[2])}",
            f"joints = [{', '.join(_joint(derived.anatomy, j) for j in joints)}]",
        ]
    return lines


def _collision(derived: Derived) -> list[str]:
    a = derived.anatomy
    lines = [""]
    lines.append("# Soles: spheres at the corners of the lowest geometry.")
    for leg, sole in zip(a.legs, derived.soles, strict=True):
        lines += [
            "[[collision]]",
            _note(sole.guess),
            f"body = {_text(a.name(leg.end))}",
            'type = "sphere"',
            'group = "foot"',
            f"size = [{sole.radius:.4g}]",
            f"points = [{', '.join(_numbers(p) for p in sole.centres())}]",
            "",
        ]
    lines.append(
        "# Limbs and trunk: capsules along the bones, as thick as the median of what is there."
    )
    for capsule in derived.capsules:
        ball = bool((capsule.ends[0] == capsule.ends[1]).all())
        shape = (
            f"points = [{_numbers(capsule.ends[0])}]"
            if ball
            else f"fromto = {_numbers(capsule.ends.ravel())}"
        )
        lines += [
            "[[collision]]",
            f"body = {_text(a.name(capsule.body))}",
            f'type = "{"sphere" if ball else "capsule"}"',
            f'group = "{capsule.group}"',
            f"size = [{capsule.radius:.4g}]",
            shape,
            "",
        ]
    return lines


def _note(guess: Guess, what: str = "") -> str:
    return f"# [{guess.confidence:.2f}] {what + ': ' if what else ''}{guess.reason}"


def _joint(anatomy: Anatomy, joint: int) -> str:
    """Name of a joint, quoted, as a pattern that matches it alone."""
    return _text(escape(anatomy.model.joint(joint).name))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _texts(values: Iterable[str]) -> str:
    return "[" + ", ".join(_text(v) for v in values) + "]"


def _numbers(values: Array) -> str:
    return "[" + ", ".join(f"{float(v):.5g}" for v in values) + "]"
