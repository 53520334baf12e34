"""What the names of a limb's joints say: they break ties, and they cast doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mujoco

from robots.derive.anatomy import hinges

TIE = 0.15
"""Scores so near to the best are a tie."""


def by_name(
    model: mujoco.MjModel,
    bodies: Sequence[int],
    word: str,
    chosen: int,
    scores: Mapping[int, float],
) -> tuple[int, str]:
    """The knee or elbow among the hinges of `bodies` when their names are heard as well.

    `chosen` is the hinge that the geometry favours, `scores` what it gives each hinge. Returns the
    hinge to take, and a clause for the reason where the names speak of another one.
    """
    named = [
        joint
        for body in bodies
        for joint in hinges(model, body)
        if word in model.joint(joint).name.lower() or word in model.body(body).name.lower()
    ]
    if not named or chosen in named:
        return chosen, ""
    best = max(named, key=lambda joint: scores.get(joint, -1e9))
    if scores.get(best, -1e9) >= scores.get(chosen, 0.0) - TIE:
        return best, ""
    return chosen, f"; but the names say '{model.joint(best).name}'"
