"""Retargeting a whole clip at once: postures at key frames, then everything at every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mimic_base.memory import release_memory
from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts
from retarget.feet.plan import FootPlan
from retarget.objectives import Objective
from retarget.objectives.human import orientation_objectives, pelvis_axes, position_objectives
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import RootFitSettings
from retarget.solvers.whole_clip.obstacles import Ground, Obstacle, OwnBody
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.solver import ClipSolver
from retarget.solvers.whole_clip.state import ClipState, between, key_frames
from robots.frames import RobotFrames
from robots.robot import Robot

Progress = Callable[[int, int], None]
AFTER = 4.0
"""How often a frame is solved in stage 2, on average; thought before it has begun."""


def solve_whole_clip(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    settings: ClipSettings,
    fit: RootFitSettings,
    progress: Progress | None = None,
    *,
    extra: Sequence[Objective] = (),
    obstacles: Sequence[Obstacle] = (),
    window: int | None = None,
) -> Array:
    """Both stages of the solver and the fit of the root between them; qpos [T, 7 + J].

    `extra` objectives of T frames and `obstacles` are the caller's own, beside the person's
    objectives, the ground and the robot's own body; they count in stage 2. `window` frames are held
    in memory at once (see `ClipSolver`), whatever the result.
    """
    count, weights, iterations = person.num_frames, settings.weights, settings.iterations
    meter = None if progress is None else Meter(progress, AFTER * count)
    state, path = _postures(person, contacts, plan, robot, frames, settings, window, meter)

    # Stage 2 at every frame: positions too, clear of the ground and of the body itself.
    objectives, root = position_objectives(
        person, plan, state.qpos(), path, robot, frames, weights, fit
    )[:2]
    del path
    state = replace(state, root=root.T.copy())
    solver = ClipSolver(robot, frames, person.fps, settings, window)
    sparse = count > solver.window
    if sparse:
        release_memory()
    ground = Ground(robot, count, surface=plan.ground, sparse=sparse)
    if meter is not None:
        meter.later = 0.0
    state = solver.solve(
        state,
        [*objectives, *extra],
        iterations[1],
        obstacles=[ground, OwnBody(robot), *obstacles],
        callback=meter,
        in_place=True,
    )
    del objectives, ground, solver
    if sparse:
        release_memory()
    if meter is not None:
        meter(0, 0.0)
    return state.qpos()


def _postures(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    settings: ClipSettings,
    window: int | None,
    meter: Meter | None,
) -> tuple[ClipState, Array]:
    """Stage 1 at key frames: a posture far from the rest pose is found in a few steps, since all of
    the body's directions pull at once. The clip between them, and the path [T, 3] m of the hips."""
    count = person.num_frames
    objectives, path = orientation_objectives(
        person, contacts, plan, robot, frames, settings.weights
    )
    keys = key_frames(count, person.fps, settings.key_hz)
    coarse = ClipSolver(robot, frames, person.fps * (len(keys) - 1) / (count - 1), settings, window)
    state = coarse.start(path[keys], pelvis_axes(person.segments["pelvis"])[keys])
    state = coarse.solve(
        state,
        [each.at(keys) for each in objectives],
        settings.iterations[0],
        smooth=settings.loose,
        tolerance=settings.coarse_tolerance,
        callback=meter,
    )
    return between(state, keys, count), path


@dataclass
class Meter:
    """Tells how far a clip is.

    Attributes:
        later: frames that later stages are thought to solve. done: frames solved so far.
    """

    progress: Progress
    later: float
    done: int = 0

    def __call__(self, solved: int, left: float) -> None:
        """So many more frames are solved, and about so many are left in this stage."""
        self.done += solved
        self.progress(self.done, self.done + round(left + self.later))
