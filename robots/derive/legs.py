"""The legs of a humanoid model: foot, toes, knee."""

from __future__ import annotations

import mujoco
import numpy as np

from mimic_base.errors import RobotError
from robots.derive.anatomy import Array, Guess, Limb, hinges, subtree, world_axis
from robots.derive.named import by_name

_TOES = 0.06
"""Share of the leg's length by which the last hinge lies ahead of the one before: toes."""


def fixed_feet(model: mujoco.MjModel, data: mujoco.MjData, starts: tuple[int, int]) -> list[int]:
    """Feet that are fixed to the shank: bodies without a hinge at the end of a leg."""
    feet = []
    for start in starts:
        below = [b for b in subtree(model, start) if hinges(model, b)]
        last = min(below, key=lambda b: float(data.xpos[b][2]))
        length = float(data.xpos[below[0]][2] - data.xpos[last][2])
        fixed = [b for b in subtree(model, last) if not hinges(model, b)]
        # As far below the last hinge as a shank is long: that hinge is a knee, no ankle.
        deep = [b for b in fixed if data.xpos[last][2] - data.xpos[b][2] > 0.5 * length]
        if deep and first_hinge(model, deep[0]) is None:
            feet.append(min(deep, key=lambda b: float(data.xpos[b][2])))
    return feet if len(feet) == 2 else []


def find_leg(
    model: mujoco.MjModel, data: mujoco.MjData, points: dict[int, Array], start: int, what: str
) -> Limb:
    """The leg that begins with body `start`, down to the body of its foot.

    `points` has fixed feet apart from their shanks, see `fixed_feet`.

    Raises:
        RobotError: it has no knee.
    """
    below = [b for b in subtree(model, start) if hinges(model, b) or b in points]
    foot = min(
        below,
        key=lambda b: float(points[b][:, 2].min()) if b in points else float(data.xpos[b][2]),
    )
    way = way_down(model, start, foot)
    moving = [b for b in way if hinges(model, b)]
    if foot not in moving:
        moving.append(foot)
    top, bottom = data.xpos[moving[0]][2], data.xpos[foot][2]
    if len(moving) > 3 and _is_toe(model, data, moving, float(top - bottom)):
        moving.pop()
        foot = moving[-1]
        way, bottom = way_down(model, start, foot), data.xpos[foot][2]
    best, knee = -np.inf, -1
    scores: dict[int, float] = {}
    for body in moving[1:-1] or moving[1:]:
        for joint in hinges(model, body):
            across = abs(world_axis(data, model, joint)[1])
            share = (top - data.xpos[body][2]) / max(top - bottom, 1e-6)
            score = across - 2.0 * abs(share - 0.5)
            scores[joint] = score
            if score > best:
                best, knee = score, joint
    if knee < 0 or best < 0.1:
        ankle = len(moving) > 2
        raise RobotError(
            f"{what}: no knee: no hinge about the left-right axis is half-way down the leg from "
            f"'{model.body(moving[0]).name}' to '{model.body(foot).name}'"
            + ("" if ankle else "; a leg needs a foot: a body of its own at the end of the shank")
        )
    return make_limb(model, way, by_name(model, moving, "knee", knee, scores)[0], end=foot)


def _is_toe(model: mujoco.MjModel, data: mujoco.MjData, moving: list[int], length: float) -> bool:
    """Whether the last hinge bends toes: across, like one before, and ahead of that, not below."""
    across = [
        any(abs(world_axis(data, model, j)[1]) > 0.7 for j in hinges(model, body))
        for body in moving[-2:]
    ]
    step = data.xpos[moving[-1]] - data.xpos[moving[-2]]
    flat = float(np.hypot(step[0], step[1]))
    return all(across) and flat > _TOES * length and flat > 1.5 * abs(float(step[2]))


def leg_guesses(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    leg: Limb,
    lowest: dict[int, float],
    ranked: list[tuple[int, int]],
) -> dict[str, Guess]:
    """How sure legs and knees are."""
    gap = lowest[ranked[1][0]] - lowest[ranked[0][0]] if len(ranked) > 1 else 1.0
    top, bottom = data.xpos[leg.bodies[0]][2], data.xpos[leg.end][2]
    share = (top - data.xpos[leg.middle][2]) / max(top - bottom, 1e-6)
    across = abs(float(world_axis(data, model, leg.bend)[1]))
    height = max(top - bottom, 1e-6)
    sure = 0.95 if gap > 0.3 * height and len(leg.joints) >= 5 else 0.7
    named = by_name(model, leg.bodies, "knee", leg.bend, {})[1]
    fixed = "" if hinges(model, leg.end) else "; the foot is fixed to the shank, without an ankle"
    return {
        "legs": Guess(
            sure,
            f"the limbs that reach lowest, {len(leg.joints)} hinges each, {gap:.2f} m below the "
            f"next ones{fixed}",
        ),
        "knees": Guess(
            round(
                float(np.clip(across - abs(share - 0.5), 0.1, 0.95)) * (0.4 if named else 1.0), 2
            ),
            f"hinge across the leg (axis {across:.2f} to the left), {100 * share:.0f} % of the way "
            f"down to the ankle{named}",
        ),
    }


def first_hinge(model: mujoco.MjModel, body: int) -> int | None:
    """The first body with a hinge from `body` on downwards."""
    return next((b for b in subtree(model, body) if hinges(model, b)), None)


def way_down(model: mujoco.MjModel, start: int, end: int) -> list[int]:
    """Bodies from `start` to `end`."""
    way = [end]
    while way[-1] != start:
        way.append(int(model.body_parentid[way[-1]]))
    return way[::-1]


def make_limb(
    model: mujoco.MjModel,
    way: list[int],
    bend: int,
    *,
    end: int | None = None,
    tip: Array | None = None,
) -> Limb:
    """The limb along `way` with knee or elbow `bend`; it ends with the last hinge or body `end`."""
    moving, middle = [b for b in way if hinges(model, b)], int(model.jnt_bodyid[bend])
    return Limb(
        bodies=tuple(moving),
        joints=tuple(j for b in moving for j in hinges(model, b)),
        upper=moving[max(moving.index(middle) - 1, 0)],
        middle=middle,
        end=moving[-1] if end is None else end,
        bend=bend,
        tip=np.zeros(3) if tip is None else tip,
    )
