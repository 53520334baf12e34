"""From a human clip to a robot reference: calibrate, scale, plan the feet, solve, align, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from motions import HumanMotion, RobotMotion
from motions.rotations import quat_continuous, quat_normalize, quat_rotate, quat_to_matrix
from retarget.calibration import CalibratedHuman, calibrate
from retarget.contacts import ContactSettings, FootContacts, detect_contacts
from retarget.feet import (
    FootPlan,
    ankle_targets,
    footprint_offsets,
    plan_feet,
    stances_from,
    with_orientation,
)
from retarget.ground import ground_shift, sole_heights
from retarget.ik import NUM_POINTS, Aim, FrameSolver, IkSettings
from retarget.metrics import measure
from retarget.robot_frames import RobotFrames, robot_frames
from retarget.scaling import RootFitSettings, fit_root, leg_scale, scaled_hips
from retarget.segments import SEGMENTS, SIDES, SegmentTrack
from retarget.stages import direction_targets, first_guess, solve_clip, solve_orientations
from retarget.vectors import Array, low_pass
from robots.kinematics import forward_kinematics
from robots.robot import Robot

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RetargetSettings:
    """Everything that shapes the result."""

    source_hz: float = 9.0
    """Cut-off of the zero-phase filter on the source, Hz; above human movement, below jitter."""
    smooth_hz: float | None = 7.0
    """Cut-off of the zero-phase filter on the solution, Hz; None leaves it as solved."""
    contacts: ContactSettings = field(default_factory=ContactSettings)
    root: RootFitSettings = field(default_factory=RootFitSettings)
    ik: IkSettings = field(default_factory=IkSettings)


def retarget(
    human: HumanMotion,
    robot: Robot,
    *,
    fps: float | Literal["source"] = "source",
    settings: RetargetSettings | None = None,
    progress: Progress | None = None,
) -> RobotMotion:
    """Retarget one clip.

    Args:
        fps: frame rate of the result; "source" keeps the clip's own.
        progress: called with (solver frames done, of how many).

    Returns a `RobotMotion` with all bodies of the robot, contact confidences and `quality`.
    """
    settings = settings or RetargetSettings()
    rate = human.fps if fps == "source" else float(fps)
    original = human.resample(rate)
    human = _at_rate(human, rate, settings.source_hz)
    frames = robot_frames(robot)
    person = calibrate(human)
    joints = sorted(set(human.roles.values()))
    contacts = detect_contacts(
        person.ball,
        person.heel,
        person.fps,
        person.leg_length,
        settings.contacts,
        lowest=human.pos_w[:, joints, 2].min(axis=1),
    )
    plan = plan_feet(person, contacts)
    qpos = _solve(person, contacts, plan, robot, frames, settings, progress)
    body_pos, body_quat = forward_kinematics(robot, qpos[:, :3], qpos[:, 3:7], qpos[:, 7:])
    heights = sole_heights(robot, body_pos, body_quat)
    shift = ground_shift(heights, contacts.confidence > 0.9)
    body_pos[..., 2] += shift
    qpos[:, 2] += shift
    quality = measure(
        robot,
        rate,
        qpos[:, :3],
        qpos[:, 3:7],
        qpos[:, 7:],
        source=original,
        contact=contacts.foot,
    )
    return RobotMotion.build(
        fps=rate,
        joint_pos=qpos[:, 7:],
        body_pos_w=body_pos,
        body_quat_w=body_quat,
        joint_names=robot.joint_names,
        body_names=robot.body_names,
        robot=robot.name,
        contact=contacts.confidence,
        quality=quality,
        source=human.source,
        licence=human.licence,
        name=human.name,
    )


def _at_rate(human: HumanMotion, rate: float, cutoff_hz: float) -> HumanMotion:
    """The clip at `rate`, free of jitter: filtered before it loses and after it gains frames."""
    human = _filtered(human, cutoff_hz)
    if abs(rate - human.fps) < 1e-6 * rate:
        return human
    faster = rate > human.fps
    human = human.resample(rate)
    # Interpolation between frames bends the path at each of them.
    return _filtered(human, cutoff_hz) if faster else human


def _filtered(human: HumanMotion, cutoff_hz: float) -> HumanMotion:
    pos = low_pass(human.pos_w, human.fps, cutoff_hz)
    quat = human.quat_w
    if quat is not None:
        quat = quat_normalize(low_pass(quat_continuous(quat), human.fps, cutoff_hz))
    return replace(human, pos_w=pos, quat_w=quat)


def _solve(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    settings: RetargetSettings,
    progress: Progress | None,
) -> Array:
    """Both stages of the solver and the fit of the root between them; qpos [T, 7 + J]."""
    ik, count = settings.ik, person.num_frames
    solver = FrameSolver(robot, frames, person.fps, ik)
    passes = 2 if settings.smooth_hz is None else 3
    stage = (lambda k: None) if progress is None else partial(_stage, progress, count, passes)

    # Stage 1: orientations alone.
    path = scaled_hips(person, frames, contacts.ground)
    segments = _with_planned_feet(person.segments, plan)
    points, strength = np.zeros((2, count, NUM_POINTS, 3))
    points[:, 0], strength[:, 0] = path, 1.0
    first = solve_orientations(
        solver,
        Aim(*direction_targets(segments, ik, count), points, strength),
        first_guess(robot, segments["pelvis"], path[0]),
        ik.iterations[0],
        stage(0),
    )

    # What the joints allow, seen from the root: root and footprints are fitted to it, and stage 2
    # asks for nothing beyond.
    body_pos, body_quat = forward_kinematics(robot, 0.0 * path, first[:, 3:7], first[:, 7:])
    feet = [robot.body_names.index(name) for name in robot.feet]
    ankle = body_pos[:, feet]
    turned = quat_to_matrix(body_quat[:, feet]) @ np.swapaxes(np.stack(frames.foot_turns), 1, 2)
    plan = with_orientation(plan, turned, person.fps)
    offsets = footprint_offsets(plan, frames)
    ball = leg_scale(person, frames) * person.ball
    stances = stances_from(plan, ankle, offsets, ball, person.fps)
    path = path - quat_rotate(first[:, 3:7], frames.hips)
    root, footprints = fit_root(path, stances, person.fps, settings.root)
    wanted = root[:, None] + ankle
    ankle = ankle_targets(plan, offsets, stances, footprints, wanted, frames, person.fps)

    # Stage 2: positions too.
    points, strength = _foot_points(plan, ankle, frames, ik)
    points[:, 0], strength[:, 0] = root, ik.root
    target, weight = direction_targets(_with_planned_feet(segments, plan), ik, count)
    for i, side in enumerate(SIDES):
        k = 2 * SEGMENTS.index(f"{side}_foot")
        weight[:, k : k + 2] += plan.flat[:, i, None] * np.array(ik.standing_foot)
    aim = Aim(target, weight, points, strength)
    guesses = np.concatenate([root, first[:, 3:]], axis=1)
    second = solve_clip(solver, aim, guesses, ik.iterations[1], stage(1))
    if settings.smooth_hz is None:
        return second
    smooth = _smoothed(second, person.fps, settings.smooth_hz)
    aim = _hold_smooth(aim, smooth, solver, plan)
    return solve_clip(solver, aim, smooth, ik.iterations[2], stage(2))


def _stage(progress: Progress, count: int, passes: int, k: int) -> Callable[[int], None]:
    return lambda t: progress(k * count + t + 1, passes * count)


def _foot_points(
    plan: FootPlan, ankle: Array, frames: RobotFrames, ik: IkSettings
) -> tuple[Array, Array]:
    """Targets and weights of the points of the feet, [T, 7, 3]; the root is left open."""
    points, strength = np.zeros((2, len(ankle), NUM_POINTS, 3))
    for i in (0, 1):
        edges = (frames.ball[i], plan.on_ball[:, i]), (frames.heel[i], 1.0 - plan.on_ball[:, i])
        points[:, 1 + 3 * i], strength[:, 1 + 3 * i] = ankle[:, i], ik.ankle
        for k, (edge, used) in enumerate(edges, start=2 + 3 * i):
            points[:, k] = ankle[:, i] + plan.matrix[:, i] @ edge
            down = np.maximum(plan.flat[:, i], plan.confidence[:, i] * used)
            strength[:, k] = (ik.standing_edge * down)[:, None]
    return points, strength


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


def _with_planned_feet(
    segments: Mapping[str, SegmentTrack], plan: FootPlan
) -> dict[str, SegmentTrack]:
    result = dict(segments)
    for i, side in enumerate(SIDES):
        matrix = plan.matrix[:, i]
        trust = segments[f"{side}_foot"].trust
        result[f"{side}_foot"] = SegmentTrack(matrix[..., 2], matrix[..., 0], trust)
    return result
