"""Retargeting frame by frame, each warm-started from the last: the way that needs no future.

Stage 1 follows directions only (limbs, flexion axes, trunk, planned feet); its result tells where
the feet are against the pelvis, from which the root and the footprints are fitted. Stage 2 starts
from it and adds positions: root and feet. The result is smoothed by a zero-phase filter, and a last
pass puts standing feet back in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mimic_base.rotations import quat_continuous, quat_normalize, quat_rotate
from mimic_base.signals import low_pass
from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts
from retarget.feet.plan import FootPlan
from retarget.objectives import Direction, DirectionStack, Objective, Point, Posture, stacked
from retarget.objectives.human import first_guess, orientation_objectives, position_objectives
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import RootFitSettings
from retarget.solvers.per_frame.settings import FrameSettings
from robots.frames import RobotFrames
from robots.robot import Robot
from robots.segments import LIMBS, SIDES

if TYPE_CHECKING:
    from retarget.solvers.per_frame.solver import FrameSolver

Progress = Callable[[int, int], None]
FrameProgress = Callable[[int], None]


def solve_per_frame(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    settings: FrameSettings,
    fit: RootFitSettings,
    progress: Progress | None = None,
    *,
    extra: Sequence[Objective] = (),
) -> Array:
    """Both stages of the solver, frame by frame; qpos [T, 7 + J].

    `extra` objectives of T frames are the caller's own; they count from stage 2 on.
    """
    ik, count = settings.ik, person.num_frames
    # mink brings every QP solver that is installed, and jax: a second.
    from retarget.solvers.per_frame.solver import FrameSolver

    solver = FrameSolver(robot, frames, person.fps, ik, plan.ground)
    passes = 2 if settings.smooth_hz is None else 3
    stage = (lambda k: None) if progress is None else partial(_stage, progress, count, passes)
    objectives, path = orientation_objectives(person, contacts, plan, robot, frames, ik.weights)
    guess = first_guess(robot, person.segments["pelvis"], path[0])
    first = solve_orientations(solver, objectives, count, guess, ik.iterations[0], stage(0))
    objectives, root, plan = position_objectives(
        person, plan, first, path, robot, frames, ik.weights, fit
    )
    guesses = np.concatenate([root, first[:, 3:]], axis=1)
    second = solve_clip(solver, [*objectives, *extra], guesses, ik.iterations[1], stage(1))
    if settings.smooth_hz is None:
        return second
    smooth = _smoothed(second, person.fps, settings.smooth_hz)
    last = [*_after_smoothing(objectives, smooth, solver, plan), *extra]
    return solve_clip(solver, last, smooth, ik.iterations[2], stage(2), rest=False)


def _stage(progress: Progress, count: int, passes: int, k: int) -> FrameProgress:
    return lambda t: progress(k * count + t + 1, passes * count)


def _smoothed(qpos: Array, fps: float, cutoff_hz: float) -> Array:
    """qpos [T, 7 + J] low-pass filtered; the mean of angles within limits stays within them."""
    out = low_pass(qpos, fps, cutoff_hz)
    turn = low_pass(quat_continuous(qpos[:, 3:7]), fps, cutoff_hz)
    out[:, 3:7] = quat_normalize(turn)
    return out


def _after_smoothing(
    objectives: Sequence[Objective], smooth: Array, solver: FrameSolver, plan: FootPlan
) -> list[Objective]:
    """What the last pass follows: the smoothed solution, with standing feet where they belong."""
    ik = solver.settings
    feet = {
        f"{side}_foot.{axis}": plan.flat[:, i] * ik.weights.standing_foot[k]
        for i, side in enumerate(SIDES)
        for k, axis in enumerate(("primary", "secondary"))
    }
    result: list[Objective] = []
    for each in objectives:
        if isinstance(each, Direction) and each.name.startswith("pelvis."):
            target = quat_rotate(smooth[:, 3:7], each.axis)
            result.append(replace(each, target=target, weight=ik.pelvis_hold))
        elif isinstance(each, Direction) and each.name in feet:
            result.append(replace(each, weight=feet[each.name]))
        elif isinstance(each, Point) and each.name == "root":
            result.append(replace(each, target=smooth[:, :3]))
        elif isinstance(each, Point) and each.name.endswith("_foot.ankle"):
            result.append(replace(each, weight=0.1 * each.weight))
        elif isinstance(each, Point):
            result.append(each)
    return [*result, Posture(name="posture", target=smooth[:, 7:], weight=ik.posture)]


def solve_orientations(
    solver: FrameSolver,
    objectives: Sequence[Objective],
    frames: int,
    start: Array,
    iterations: int,
    progress: FrameProgress | None = None,
) -> Array:
    """Stage 1: every frame from its predecessor, begun at `start` [7 + J]; qpos [T, 7 + J].

    No velocity limit applies yet. Where an arm or leg is caught (wound up against a joint limit,
    though another posture would do), the frame is solved again from the rest posture, and the
    better posture is carried back in time for as long as it is the better one.
    """
    settings = solver.settings
    bad = np.radians(settings.bad_limb_deg)
    terms = stacked(objectives, solver.tree, frames)
    limbs = limb_directions(solver, objectives, frames)
    result = np.empty((frames, solver.model.nq))
    error = np.empty(frames)
    solver.start(start)
    solver.placed = False
    previous: Array | None = None
    next_try = 0
    for t in range(frames):
        steps = settings.warm_up if t == 0 else iterations
        now = _frame(terms, t)
        result[t] = solver.frame(now, None, steps, previous)
        error[t] = worst_limb(solver, limbs, t)
        if error[t] > bad and t >= next_try:
            next_try = t + max(1, int(0.2 * solver.fps))
            fresh = np.concatenate([result[t, :7], solver.rest])
            candidate = solver.frame(now, fresh, 25, None)
            better = worst_limb(solver, limbs, t)
            if better < 0.6 * error[t]:
                result[t], error[t] = candidate, better
                _carry_back(solver, terms, limbs, result, error, t, iterations)
            solver.configuration.update(result[t])
        previous = result[t, 7:]
        if progress is not None:
            progress(t)
    solver.placed = True
    return result


def limb_directions(
    solver: FrameSolver, objectives: Sequence[Objective], frames: int
) -> DirectionStack:
    """The directions that arms and legs follow along their bones."""
    names = {f"{limb}.primary" for limb in LIMBS}
    limbs = [each for each in objectives if isinstance(each, Direction) and each.name in names]
    return DirectionStack.of(limbs, solver.tree, frames)


def worst_limb(solver: FrameSolver, limbs: DirectionStack, t: int) -> float:
    """Largest angle (rad) by which a limb of the current configuration misses its direction."""
    mat = solver.configuration.data.xmat[limbs.body].reshape(-1, 3, 3)
    cosine = np.einsum("kij,kj,ki->k", mat, limbs.axis, limbs.target[..., t])
    return float(np.arccos(np.clip(cosine.min(initial=1.0), -1.0, 1.0)))


def _carry_back(
    solver: FrameSolver,
    terms: Sequence[Objective],
    limbs: DirectionStack,
    result: Array,
    error: Array,
    start: int,
    iterations: int,
) -> None:
    for t in range(start - 1, -1, -1):
        candidate = solver.frame(_frame(terms, t), result[t + 1], iterations, result[t + 1, 7:])
        better = worst_limb(solver, limbs, t)
        if better > error[t] - np.radians(3.0):
            break
        result[t], error[t] = candidate, better


def solve_clip(
    solver: FrameSolver,
    objectives: Sequence[Objective],
    guesses: Array,
    iterations: int,
    progress: FrameProgress | None = None,
    *,
    rest: bool = True,
) -> Array:
    """Solve all frames in order, each from its own guess; qpos and `guesses` are [T, 7 + J].

    `rest`: whether joints are drawn to the rest posture beside the objectives.
    """
    frames = len(guesses)
    terms = stacked(objectives, solver.tree, frames)
    result = np.empty((frames, solver.model.nq))
    solver.start(guesses[0])
    previous: Array | None = None
    for t in range(frames):
        # The first frame has no predecessor to lean on: it is iterated to convergence.
        steps = solver.settings.warm_up if t == 0 else iterations
        result[t] = solver.frame(_frame(terms, t), guesses[t], steps, previous, rest=rest)
        previous = result[t, 7:]
        if progress is not None:
            progress(t)
    return result


def _frame(terms: Sequence[Objective], t: int) -> list[Objective]:
    return [each.at(slice(t, t + 1)) for each in terms]
