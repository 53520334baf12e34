"""Where the centre of mass should go instead: the cart-table model as a linear programme.

Shifting the body horizontally by d(t) moves the zero-moment point by ``d - (m h / F_z) d''``,
with F_z the vertical force that the motion takes and h the height of the centre of mass (Kajita
et al. 2003, "Biped walking pattern generation by using preview control of zero-moment point"; here
the motion's own F_z stands where theirs is constant). What is left outside the support polygon and
the friction pyramid is minimised, besides the size of d and its jerk.
"""

from __future__ import annotations

import numpy as np

from mimic_base.vectors import Array
from retarget.projection.loads import Loads, stretches
from retarget.projection.program import LinearProgram, Term

REACH = 1.0
"""s before and after a violation within which the body may move for it."""
SIZE_COST = 0.1
"""Cost of a metre of shift, where a metre by which the zero-moment point is outside costs 3."""
JERK_COST = 2e-5
"""Cost of a m/s^3 of jerk."""
INSIDE = 0.005
"""m inside the edge of the polygon that is aimed at."""
EDGE, EDGE_COST = 0.03, 0.08
"""m inside the edge where the zero-moment point begins to cost a little, per metre: a foot that
carries everything on its edge loads the ankle. Less than the shift itself costs, or the body would
move where nothing is wrong."""
CORNERS = 8
"""Number of corners of the polygon that stands for the circle of largest shifts."""


def plan_shift(
    loads: Loads, bad: Array, before: Array, most: float, friction: float
) -> Array | None:
    """A horizontal shift [T, 2] m of the base that brings the wrench nearer to what contacts give.

    Args:
        loads: of the motion as it is, shifted by `before` [T, 2] already.
        bad: [T] bool, frames to be helped. most: m, largest shift, kept exactly.

    None where nothing is to be done or no solution was found.
    """
    shift = before.copy()
    for part in stretches(bad, round(REACH * loads.fps)):
        if part.stop - part.start < 8:
            continue
        more = _plan(loads, part, bad, before[part], most, friction)
        if more is not None:
            shift[part] += more
    return None if np.array_equal(shift, before) else shift


def _plan(
    loads: Loads, part: slice, bad: Array, before: Array, most: float, friction: float
) -> Array | None:
    """The additional shift [n, 2] of one stretch."""
    frames, count = np.arange(part.start, part.stop), part.stop - part.start
    # Still at the ends, or the motion around would have a kink; a clip begins and ends as it did,
    # unless that is what is wrong with it.
    reach = np.full((count, 2), 2.0 * most)
    if part.start > 0 or not bad[0]:
        reach[:3] = 0.0
    if part.stop < len(bad) or not bad[-1]:
        reach[-3:] = 0.0
    program = LinearProgram()
    move = program.variables((count, 2), lower=-reach, upper=reach)
    # No acceleration at the ends of the clip, which no frame beside them would have to follow.
    move[:2], move[-2:] = move[2], move[-3]
    outside, slip = program.variables(count, cost=3.0), program.variables(count, cost=1.0)
    _support_rows(program, loads, frames, move, outside, INSIDE)
    near = program.variables(count, cost=EDGE_COST)
    _support_rows(program, loads, frames, move, near, EDGE)
    _friction_rows(program, loads, frames, move, slip, friction)

    inner = most * np.cos(np.pi / CORNERS)
    size = program.variables(count, cost=SIZE_COST, upper=inner)
    for angle in 2.0 * np.pi * np.arange(CORNERS) / CORNERS:
        u = np.array([np.cos(angle), np.sin(angle)])
        terms = [(move[:, 0], u[0]), (move[:, 1], u[1]), (size, -1.0)]
        program.at_most(terms, -before @ u)
    jerk = program.variables((count - 3, 2), cost=JERK_COST)
    rate = loads.fps**3
    bend = np.diff(before, n=3, axis=0) * rate
    for axis in (0, 1):
        column = move[:, axis]
        terms = [
            (column[3:], rate), (column[2:-1], -3 * rate),
            (column[1:-2], 3 * rate), (column[:-3], -rate),
        ]  # fmt: skip
        program.within(terms, [(jerk[:, axis], 1.0)], bend[:, axis])
    found = program.solve()
    return None if found is None else found[move]


def _acceleration(move: Array, at: Array, fps: float) -> tuple[Array, Array, Array]:
    """Variables whose (1, -2, 1) fps^2 is the acceleration at frames `at`; the ends repeat."""
    middle = np.clip(at, 1, len(move) - 2)
    return move[middle - 1], move[middle], move[middle + 1]


def _support_rows(
    program: LinearProgram,
    loads: Loads,
    frames: Array,
    move: Array,
    outside: Array,
    inside: float,
) -> None:
    """n . (-M_y, M_x) <= (c - inside) F_z + weight * outside, for every edge (n, c) of every
    polygon."""
    local, normal, offset = edge_rows(loads, frames)
    if not len(local):
        return
    at = frames[local]
    wrench, height = loads.total[at], loads.centre[at, 2]
    left = normal[:, 0] * -wrench[:, 4] + normal[:, 1] * wrench[:, 3]
    terms: list[Term] = [(outside[local], -loads.weight)]
    for axis in (0, 1):
        # d F_z - m h d''
        before, middle, after = _acceleration(move[:, axis], local, loads.fps)
        swing = -normal[:, axis] * loads.mass * height * loads.fps**2
        terms += [(before, swing), (middle, -2.0 * swing), (after, swing)]
        terms.append((move[local, axis], normal[:, axis] * wrench[:, 2]))
    program.at_most(terms, (offset - inside) * wrench[:, 2] - left)


def _friction_rows(
    program: LinearProgram, loads: Loads, frames: Array, move: Array, slip: Array, friction: float
) -> None:
    """|F_x| and |F_y| within the pyramid; zero in flight."""
    wrench = loads.total[frames]
    grip = np.where(loads.on_ground[frames], friction / np.sqrt(2.0), 0.0)
    hold = grip * np.maximum(wrench[:, 2], 0.0)
    for axis in (0, 1):
        before, middle, after = _acceleration(move[:, axis], np.arange(len(frames)), loads.fps)
        push = loads.mass * loads.fps**2
        terms = [(before, push), (middle, -2.0 * push), (after, push)]
        for sign in (1.0, -1.0):
            signed: list[Term] = [(index, sign * value) for index, value in terms]
            program.at_most([*signed, (slip, -loads.weight)], hold - sign * wrench[:, axis])


def edge_rows(loads: Loads, frames: Array) -> tuple[Array, Array, Array]:
    """All edges of some frames: index into `frames` [R], normal [R, 2], offset [R]."""
    counts = [len(loads.edges[t][1]) for t in frames]
    local = np.repeat(np.arange(len(frames)), counts)
    if not len(local):
        return local, np.zeros((0, 2)), np.zeros(0)
    normal = np.concatenate([loads.edges[t][0] for t in frames])
    return local, normal, np.concatenate([loads.edges[t][1] for t in frames])
