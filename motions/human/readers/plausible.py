"""Whether a clip can be what it says: the root in the bones' unit, two legs, feet on a ground.

All functions work on positions with z up; `assemble` calls them once roles and axes are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.motion import SIDES
from motions.human.readers.detect import middle

Array = NDArray[Any]

FACTORS = (100.0, 0.01, 1000.0, 0.001, 1.0 / 0.0254, 0.0254, 10.0, 0.1, 1.0 / 0.3048, 0.3048)
"""Ratios of units that exporters mix up: the bones' to the root's."""
FOUR_LEGS = 2.5
"""Evidence from which on a clip is an animal's; a person who crawls brings 2."""
HOVER_SECONDS = 0.8
"""No jump of a person lasts so long."""
HOVER_HEIGHT = 0.12
"""Height of the lower foot over the ground, as a share of the leg, that is no stance."""
_MOST_FRAMES = 4000
_TAIL = re.compile(r"(?<![a-z])tail(?![a-z])|tail\d+$")
_NO_TAIL = re.compile(r"pony|hair|coat|skirt|dress|cloth|shirt|pig")
_PAW = re.compile(r"paw|hoof|hoove|hock|pastern|fetlock|snout|muzzle")


# -- the root's unit ----------------------------------------------------------------------------


def root_factor(pos: Array, roles: Mapping[str, int], fps: float) -> tuple[float, str]:
    """By what the root's positions are too small against the bones, and what says so; 1 for none.

    Args:
        pos: [T, J, 3] z up, file units, root and bones as the file gives them.

    A standing person's hips are a leg above the ground, and a foot that stands does not slide: the
    factor is the one with which both hold, where they do not without.
    """
    every = max(1, -(-len(pos) // _MOST_FRAMES))
    now = pos[:-1:every] if len(pos) > 1 else pos
    after = pos[1::every] if len(pos) > 1 else pos
    number = min(len(now), len(after))
    now, after = now[:number], after[:number]
    feet = [roles[name] for side in SIDES for name in (f"{side}_toe", f"{side}_ankle")
            if name in roles]  # fmt: skip
    root = root_joint(pos, roles)
    pelvis = roles["pelvis"]
    low = now[:, feet, 2].min(axis=1)
    leg = float(np.median(now[:, pelvis, 2] - low))
    if not leg > 0.0:
        return 1.0, ""  # nobody stands
    height = float(np.median(now[:, root, 2]))
    lowest = now[:, feet, 2].argmin(axis=1)
    rows = np.arange(number)
    step_root = (after[:, root] - now[:, root])[:, :2] * fps
    foot = np.asarray(feet)[lowest]
    step_foot = (after[rows, foot] - now[rows, foot])[:, :2] * fps

    def slip(factor: float) -> float:
        """Speed of the lower foot, leg lengths a second, with the root's way times `factor`."""
        speed = np.linalg.norm(step_foot + (factor - 1.0) * step_root, axis=1)
        return float(np.median(speed)) / leg

    plain = slip(1.0)
    if 0.6 < height / leg < 1.7 and plain < 0.3:
        return 1.0, ""
    said = f"hips {height / leg:.2g} of a leg above the ground"
    if plain > 0.25:
        said += f", standing feet slide by {plain:.1f} leg lengths a second"
    moved = {factor: slip(factor) for factor in FACTORS}
    stands = [f for f in FACTORS if 0.8 < f * height / leg < 1.3]
    fits = [f for f in stands if moved[f] < max(0.6 * plain, 0.15)]
    if not fits and plain > 0.25 and not 0.6 < height / leg < 1.7:
        fits = [f for f in FACTORS if moved[f] < 0.3 * plain]
    return (min(fits, key=lambda factor: moved[factor]), said) if fits else (1.0, "")


def root_joint(pos: Array, roles: Mapping[str, int]) -> int:
    """The joint that carries the way: the first, or the pelvis where that one never moves."""
    return 0 if (pos[:, 0] != pos[:1, 0]).any() else roles["pelvis"]


# -- four legs ----------------------------------------------------------------------------------


def four_legs(
    pos: Array, rest: Array | None, roles: Mapping[str, int], names: Sequence[str]
) -> tuple[float, list[str]]:
    """How much speaks for an animal on four legs, and what; see `FOUR_LEGS`.

    `pos` [T, J, 3] and the rest pose [J, 3] with z up, any unit.
    """
    every = max(1, -(-len(pos) // _MOST_FRAMES))
    pos = pos[::every]
    score, said = 0.0, []
    hips, shoulders = middle(pos, roles, "hip"), middle(pos, roles, "shoulder")
    trunk = shoulders - hips
    length = np.linalg.norm(trunk, axis=-1)
    level = np.abs(trunk[:, 2]) < 0.6 * length
    if level.mean() > 0.8:
        score += 1.0
        said.append("the trunk is level")
    leg = _limb(pos, roles, ("hip", "knee", "ankle"))
    ankles = np.stack([pos[:, roles[f"{side}_ankle"], 2] for side in SIDES], axis=1)
    wrists = np.stack([pos[:, roles[f"{side}_wrist"], 2] for side in SIDES], axis=1)
    ground = np.percentile(ankles, 5)
    bear = wrists.min(axis=1) < ground + 0.2 * leg
    if bear.mean() > 0.8:
        score += 1.0
        said.append("the front paws bear weight")
    lower = [name.lower() for name in names]
    if any(_TAIL.search(name) and not _NO_TAIL.search(name) for name in lower):
        score += 1.0
        said.append("there is a tail")
    if any(_PAW.search(name) for name in lower):
        score += 1.0
        said.append("joints are named after paws")
    if rest is not None and _rests_on_four(rest, roles):
        score += 1.0
        said.append("the rest pose stands on four")
    if float(np.median(length)) > 0.85 * leg:
        score += 0.5
        said.append(f"the trunk is {float(np.median(length)) / leg:.2f} of a leg long")
    return score, said


def _limb(pos: Array, roles: Mapping[str, int], parts: tuple[str, str, str]) -> float:
    a, b, c = (pos[:, roles[f"left_{part}"]] for part in parts)
    lengths = np.linalg.norm(b - a, axis=-1) + np.linalg.norm(c - b, axis=-1)
    return float(np.median(lengths))


def _rests_on_four(rest: Array, roles: Mapping[str, int]) -> bool:
    """Whether trunk is level and legs and arms hang down from it."""
    hips, shoulders = middle(rest, roles, "hip"), middle(rest, roles, "shoulder")
    trunk = shoulders - hips
    legs = middle(rest, roles, "ankle") - hips
    arms = middle(rest, roles, "wrist") - shoulders
    sizes = [max(float(np.linalg.norm(v)), 1e-9) for v in (trunk, legs, arms)]
    level = abs(float(trunk[2])) < 0.5 * sizes[0]
    return bool(level and legs[2] < -0.7 * sizes[1] and arms[2] < -0.7 * sizes[2])


# -- the ground ---------------------------------------------------------------------------------


def hovering(pos: Array, roles: Mapping[str, int], fps: float) -> str:
    """A warning where no foot stands for longer than any jump lasts; empty where none does.

    `pos` [T, J, 3] m. The ground is where the lower foot is lowest.
    """
    feet = [roles[name] for side in SIDES for name in (f"{side}_toe", f"{side}_ankle")
            if name in roles]  # fmt: skip
    joints = sorted(set(roles.values()))
    low = pos[:, feet, 2].min(axis=1)
    leg = _limb(pos, roles, ("hip", "knee", "ankle"))
    # Who lies, sits on the ground or crawls touches it with something else.
    lowest = pos[:, joints, 2].min(axis=1)
    ground = float(np.percentile(lowest, 2))
    up = np.minimum(low, lowest) - ground > HOVER_HEIGHT * leg
    edges = np.flatnonzero(np.diff(np.concatenate([[0], up.astype(int), [0]])))
    spans = [(a, b) for a, b in edges.reshape(-1, 2) if (b - a) / fps > HOVER_SECONDS]
    if not spans:
        return ""
    frames = np.concatenate([np.arange(a, b) for a, b in spans])
    seconds, height = len(frames) / fps, float(np.median(lowest[frames]) - ground)
    return (
        f"no foot stands for {seconds:.1f} of {len(pos) / fps:.1f} s, the lower one is "
        f"{100 * height:.0f} cm up: a step, or a capture that hovers, sinks or drifts "
        "(--ground follow keeps the feet on the ground)"
    )
