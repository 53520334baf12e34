"""Retargeting frame by frame, each warm-started from the last: the way that needs no future.

Smoothness comes from a filter on the solution and a last pass that puts standing feet back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mimic_base.rotations import quat_continuous, quat_normalize, quat_rotate
from mimic_base.signals import low_pass
from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts
from retarget.feet.plan import FootPlan
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import RootFitSettings
from retarget.solvers.per_frame.frame import Aim, FrameSolver, IkSettings
from retarget.solvers.per_frame.stages import first_guess, solve_clip, solve_orientations
from retarget.targets import orientation_aim, position_aim
from robots.frames import RobotFrames
from robots.robot import Robot
from robots.segments import SEGMENTS, SIDES

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FrameSettings:
    """Of the per-frame method."""

    ik: IkSettings = field(default_factory=IkSettings)
    smooth_hz: float | None = 7.0
    """Cut-off of the zero-phase filter on the solution, Hz; None leaves it as solved."""


def solve_per_frame(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    settings: FrameSettings,
    fit: RootFitSettings,
    progress: Progress | None = None,
) -> Array:
    """Both stages of the solver, frame by frame; qpos [T, 7 + J]."""
    ik, count = settings.ik, person.num_frames
    solver = FrameSolver(robot, frames, person.fps, ik)
    passes = 2 if settings.smooth_hz is None else 3
    stage = (lambda k: None) if progress is None else partial(_stage, progress, count, passes)
    aim = orientation_aim(person, contacts, plan, frames, ik)
    guess = first_guess(robot, person.segments["pelvis"], aim.points[0, 0])
    first = solve_orientations(solver, aim, guess, ik.iterations[0], stage(0))
    aim, plan = position_aim(person, plan, first, aim, robot, frames, ik, fit)
    guesses = np.concatenate([aim.points[:, 0], first[:, 3:]], axis=1)
    second = solve_clip(solver, aim, guesses, ik.iterations[1], stage(1))
    if settings.smooth_hz is None:
        return second
    smooth = _smoothed(second, person.fps, settings.smooth_hz)
    aim = _hold_smooth(aim, smooth, solver, plan)
    return solve_clip(solver, aim, smooth, ik.iterations[2], stage(2))


def _stage(progress: Progress, count: int, passes: int, k: int) -> Callable[[int], None]:
    return lambda t: progress(k * count + t + 1, passes * count)


def _smoothed(qpos: Array, fps: float, cutoff_hz: float) -> Array:
    """qpos [T, 7 + J] low-pass filtered; the mean of angles within limits stays within them."""
    out = low_pass(qpos, fps, cutoff_hz)
    turn = low_pass(quat_continuous(qpos[:, 3:7]), fps, cutoff_hz)
    out[:, 3:7] = quat_normalize(turn)
    return out


def _hold_smooth(aim: Aim, smooth: Array, solver: FrameSolver, plan: FootPlan) -> Aim:
    """The aim of the last pass: the smoothed solution, with standing feet where they belong."""
    ik = solver.settings
    directions, weights = aim.directions.copy(), np.zeros_like(aim.direction_weights)
    pelvis = 2 * SEGMENTS.index("pelvis")
    local = solver.axes[pelvis : pelvis + 2]
    directions[:, pelvis : pelvis + 2] = quat_rotate(smooth[:, None, 3:7], local)
    weights[:, pelvis : pelvis + 2] = ik.pelvis_hold
    for i, side in enumerate(SIDES):
        k = 2 * SEGMENTS.index(f"{side}_foot")
        weights[:, k : k + 2] = plan.flat[:, i, None] * np.array(ik.standing_foot)
    points, strength = aim.points.copy(), aim.point_weights.copy()
    points[:, 0] = smooth[:, :3]
    strength[:, [1, 4]] *= 0.1
    return Aim(directions, weights, points, strength, smooth[:, 7:])
