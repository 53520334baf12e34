"""Inverse kinematics of a clip, frame by frame and warm-started, in stages.

Stage 1 follows orientations only (limb directions, flexion axes, trunk, planned feet); its result
tells where the feet are against the pelvis, from which the root and the footprints are fitted.
Stage 2 starts from it and adds positions: root and feet. Where the result is then smoothed, a last
pass puts standing feet back in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mimic_base.rotations import matrix_to_quat
from mimic_base.vectors import Array, across
from retarget.solvers.per_frame.frame import Aim, FrameSolver, IkSettings
from robots.robot import Robot
from robots.segments import SEGMENTS, SegmentTrack

Progress = Callable[[int], None]


def direction_targets(
    segments: Mapping[str, SegmentTrack], settings: IkSettings, frames: int
) -> tuple[Array, Array]:
    """Targets [T, K, 3] and weights [T, K] of the direction task; absent segments weigh nothing."""
    target = np.zeros((frames, 2 * len(SEGMENTS), 3))
    weight = np.zeros((frames, 2 * len(SEGMENTS)))
    for k, name in enumerate(SEGMENTS):
        track = segments.get(name)
        if track is None:
            continue
        first, second = settings.weights[name.removeprefix("left_").removeprefix("right_")]
        target[:, 2 * k], target[:, 2 * k + 1] = track.primary, track.secondary
        weight[:, 2 * k] = first
        weight[:, 2 * k + 1] = second * track.trust
    return target, weight


def pelvis_axes(pelvis: SegmentTrack) -> Array:
    """Root orientation [T, 3, 3] of a pelvis: columns forward, left, up."""
    left, up = pelvis.primary, across(pelvis.secondary, pelvis.primary)
    return np.stack([np.cross(left, up), left, up], axis=-1)


def first_guess(robot: Robot, pelvis: SegmentTrack, root: Array) -> Array:
    """Default pose [7 + J] at `root` [3], turned like the pelvis of frame 0."""
    return np.concatenate([root, matrix_to_quat(pelvis_axes(pelvis)[0]), robot.default_joint_pos])


def solve_orientations(
    solver: FrameSolver,
    aim: Aim,
    start: Array,
    iterations: int,
    progress: Progress | None = None,
) -> Array:
    """Stage 1: every frame from its predecessor, begun at `start` [7 + J]; qpos [T, 7 + J].

    No velocity limit applies yet. Where an arm or leg is caught (wound up against a joint limit,
    though another posture would do), the frame is solved again from the rest posture, and the
    better posture is carried back in time for as long as it is the better one.
    """
    settings, frames = solver.settings, len(aim.directions)
    bad = np.radians(settings.bad_limb_deg)
    result = np.empty((frames, solver.model.nq))
    error = np.empty(frames)
    solver.start(start)
    solver.placed = False
    previous: Array | None = None
    next_try = 0
    for t in range(frames):
        steps = settings.warm_up if t == 0 else iterations
        result[t] = solver.frame(aim.at(t), None, steps, previous)
        error[t] = solver.worst_limb()
        if error[t] > bad and t >= next_try:
            next_try = t + max(1, int(0.2 * solver.fps))
            fresh = np.concatenate([result[t, :7], solver.rest])
            candidate = solver.frame(aim.at(t), fresh, 25, None)
            better = solver.worst_limb()
            if better < 0.6 * error[t]:
                result[t], error[t] = candidate, better
                _carry_back(solver, aim, result, error, t, iterations)
            solver.configuration.update(result[t])
        previous = result[t, 7:]
        if progress is not None:
            progress(t)
    solver.placed = True
    return result


def _carry_back(
    solver: FrameSolver, aim: Aim, result: Array, error: Array, start: int, iterations: int
) -> None:
    for t in range(start - 1, -1, -1):
        candidate = solver.frame(aim.at(t), result[t + 1], iterations, result[t + 1, 7:])
        better = solver.worst_limb()
        if better > error[t] - np.radians(3.0):
            break
        result[t], error[t] = candidate, better


def solve_clip(
    solver: FrameSolver,
    aim: Aim,
    guesses: Array,
    iterations: int,
    progress: Progress | None = None,
) -> Array:
    """Solve all frames in order, each from its own guess; qpos and `guesses` are [T, 7 + J]."""
    frames = len(aim.directions)
    result = np.empty((frames, solver.model.nq))
    solver.start(guesses[0])
    previous: Array | None = None
    for t in range(frames):
        # The first frame has no predecessor to lean on: it is iterated to convergence.
        steps = solver.settings.warm_up if t == 0 else iterations
        result[t] = solver.frame(aim.at(t), guesses[t], steps, previous)
        previous = result[t, 7:]
        if progress is not None:
            progress(t)
    return result
