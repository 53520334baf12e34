"""Which body mirrors which: kinematics decide, names break ties."""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.optimize import linear_sum_assignment

from robots.derive.anatomy import Array, Guess, children, hinges, subtree, world_axis
from robots.mirror import other_side

_FLIP = np.array([1.0, -1.0, 1.0])
_NAME = 0.5
"""How much of the cost of a pair is left when the names agree."""


def pair_bodies(
    model: mujoco.MjModel, data: mujoco.MjData, root: int, size: float
) -> tuple[dict[int, int], Guess]:
    """Mirror image of every body below `root`; bodies of the middle are their own.

    Works down the tree: the children of a pair are matched with each other, those of a middle body
    among themselves, by where they are, how heavy they are and which way their joints turn.
    `size` is the robot's height, m.
    """
    partner = {root: root}
    names = {model.body(b).name for b in range(model.nbody)}
    far, agreeing, counted = 0.0, 0, 0
    queue = [(root, root)]
    while queue:
        a, b = queue.pop()
        if a == b:
            kids = children(model, a)
            found = _match(model, data, kids, kids, size, names)
            for i, j in found:
                if (j, i) in found and i <= j:
                    queue.append((i, j))
        else:
            queue += _match(model, data, children(model, a), children(model, b), size, names)
        for i, j in queue:
            partner[i], partner[j] = j, i
    for i, j in partner.items():
        if i != j:
            far = max(far, _distance(model, data, i, j) / size)
            if data.xpos[i][1] > data.xpos[j][1]:
                counted += 1
                agreeing += model.body(j).name in other_side(model.body(i).name)
    share = agreeing / counted if counted else 0.0
    confidence = (0.95 if far < 0.01 else 0.7) * (1.0 if share > 0.8 else 0.85)
    reason = (
        f"{counted} pairs of bodies mirror each other within {1000 * far * size:.1f} mm; the names "
        f"say so too for {agreeing}"
    )
    return partner, Guess(round(confidence, 2), reason)


def _match(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    first: list[int],
    second: list[int],
    size: float,
    names: set[str],
) -> list[tuple[int, int]]:
    """Pairs (i of `first`, j of `second`) that mirror each other."""
    if not first or not second:
        return []
    cost = np.array([[_cost(model, data, i, j, size, names) for j in second] for i in first])
    rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e3))
    return [(first[r], second[c]) for r, c in zip(rows, columns, strict=True) if cost[r, c] < 0.25]


def _cost(
    model: mujoco.MjModel, data: mujoco.MjData, i: int, j: int, size: float, names: set[str]
) -> float:
    if len(hinges(model, i)) != len(hinges(model, j)):
        return np.inf
    mass_i, mass_j = (max(float(model.body_subtreemass[k]), 1e-6) for k in (i, j))
    cost = _distance(model, data, i, j) / (0.1 * size)
    cost += float(np.linalg.norm(_centre(model, data, i) * _FLIP - _centre(model, data, j))) / (
        0.1 * size
    )
    cost += 0.5 * abs(np.log(mass_i / mass_j))
    for a, b in zip(hinges(model, i), hinges(model, j), strict=True):
        image = world_axis(data, model, a) * np.array([-1.0, 1.0, -1.0])
        cost += 1.0 - abs(float(image @ world_axis(data, model, b)))
    # Moving bodies: frames of sensors and covers need not be on both sides.
    counts = [sum(bool(hinges(model, b)) for b in subtree(model, k)) for k in (i, j)]
    if abs(counts[0] - counts[1]) > 2:
        cost += 0.5
    if i != j and _names_agree(model, i, j):
        cost *= _NAME
    return cost


def _distance(model: mujoco.MjModel, data: mujoco.MjData, i: int, j: int) -> float:
    """m from the mirrored place of `i` to `j`; where on its only hinge's axis a body begins says
    nothing."""
    apart = data.xpos[i] * _FLIP - data.xpos[j]
    if len(hinges(model, j)) == 1:
        axis = world_axis(data, model, hinges(model, j)[0])
        apart = apart - (apart @ axis) * axis
    return float(np.linalg.norm(apart))


def _names_agree(model: mujoco.MjModel, i: int, j: int) -> bool:
    """Whether the names are left and right of one another, whichever is which."""
    a, b = model.body(i).name, model.body(j).name
    return a in other_side(b) or b in other_side(a)


def _centre(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> Array:
    """Centre of mass [3] of all that hangs on a body; tells limbs apart that start together."""
    return np.asarray(data.subtree_com[body], float)
