"""Retargeting a whole clip at once: postures at key frames, then everything at every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts
from retarget.feet.plan import FootPlan
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import RootFitSettings
from retarget.solvers.per_frame.stages import pelvis_axes
from retarget.solvers.whole_clip.obstacles import Ground, OwnBody
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.solver import ClipSolver
from retarget.solvers.whole_clip.state import between, key_frames
from retarget.targets import orientation_aim, position_aim
from robots.frames import RobotFrames
from robots.robot import Robot

Progress = Callable[[int, int], None]


def solve_whole_clip(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    settings: ClipSettings,
    fit: RootFitSettings,
    progress: Progress | None = None,
) -> Array:
    """Both stages of the solver and the fit of the root between them; qpos [T, 7 + J]."""
    count, ik, iterations = person.num_frames, settings.ik, settings.iterations
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, sum(iterations))

    # Stage 1 at key frames: a posture far from the rest pose is found in a few steps, since all of
    # the body's directions pull at once.
    aim = orientation_aim(person, contacts, plan, frames, ik)
    keys = key_frames(count, person.fps, settings.key_hz)
    coarse = ClipSolver(robot, frames, person.fps * (len(keys) - 1) / (count - 1), settings)
    state = coarse.start(aim.points[keys, 0], pelvis_axes(person.segments["pelvis"])[keys])
    state = coarse.solve(
        state,
        aim.at(keys),
        iterations[0],
        smooth=settings.loose,
        tolerance=settings.coarse_tolerance,
        callback=advance,
    )
    state = between(state, keys, count)

    # Stage 2 at every frame: positions too, clear of the ground and of the body itself.
    aim, _ = position_aim(person, plan, state.qpos(), aim, robot, frames, ik, fit)
    state = replace(state, root=aim.points[:, 0].T.copy())
    solver = ClipSolver(robot, frames, person.fps, settings)
    obstacles = Ground(robot, count), OwnBody(robot)
    state = solver.solve(state, aim, iterations[1], obstacles=obstacles, callback=advance)
    if progress is not None:
        progress(sum(iterations), sum(iterations))
    return state.qpos()
