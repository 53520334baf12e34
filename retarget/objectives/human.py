"""The objectives that a calibrated person makes for a robot, in two stages.

Stage 1 follows directions only: every segment's two axes, and the root at the scaled path of the
hips. Where that puts the feet, seen from the root, tells which root path and which footprints fit
this robot (`person.scaling.fit_root`). Stage 2 follows the directions again, and beside them the
root, and of each foot the ankle and the front and rear edge of the sole.

Objectives are named: ``root``; ``SEGMENT.primary`` and ``SEGMENT.secondary`` for the axes of
`robots.frames.LinkFrame`; ``SIDE_foot.ankle``, ``SIDE_foot.ball`` and ``SIDE_foot.heel``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from mimic_base.rotations import matrix_to_quat, quat_rotate, quat_to_matrix
from mimic_base.stretches import stretches
from mimic_base.vectors import Array, across
from retarget.feet.contacts import FootContacts
from retarget.feet.footprints import ankle_targets, stances_from
from retarget.feet.plan import FootPlan, footprint_offsets, with_orientation
from retarget.feet.terrain import sole_height
from retarget.objectives.objective import Direction, Objective, Point
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import RootFitSettings, Stance, fit_root, leg_scale, scaled_hips
from retarget.solvers.weights import ObjectiveWeights
from robots.frames import RobotFrames
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.segments import SEGMENTS, SIDES, SegmentTrack


def orientation_objectives(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    robot: Robot,
    frames: RobotFrames,
    weights: ObjectiveWeights,
) -> tuple[list[Objective], Array]:
    """Stage 1: every segment's directions; the root at the scaled path [T, 3] m of the hips.

    Returns the objectives and that path.
    """
    path = scaled_hips(person, frames, contacts.ground, plan.support)
    segments = followed(person.segments, plan, frames)
    directions = direction_objectives(segments, robot, frames, weights)
    return [root_objective(robot, path, 1.0), *directions], path


def position_objectives(
    person: CalibratedHuman,
    plan: FootPlan,
    first: Array,
    path: Array,
    robot: Robot,
    frames: RobotFrames,
    weights: ObjectiveWeights,
    fit: RootFitSettings,
) -> tuple[list[Objective], Array, FootPlan]:
    """Stage 2: directions, and root and feet besides.

    Args:
        first: qpos [T, 7 + J], the solution of stage 1. path: [T, 3] m, its path of the hips.

    Returns the objectives, the root's fitted path [T, 3] m, and the plan with feet as they can be.
    """
    ankle, quat = _feet(robot, first)
    turned = quat_to_matrix(quat) @ np.swapaxes(np.stack(frames.foot_turns), 1, 2)
    plan = with_orientation(plan, turned, person.fps)
    offsets = footprint_offsets(plan, frames)
    ball = leg_scale(person, frames) * person.ball
    stances = stances_from(plan, ankle, offsets, ball, person.fps)
    path = path - quat_rotate(first[:, 3:7], frames.hips)
    heights = None
    if plan.tilt is not None:
        heights = partial(footprint_heights, plan, frames)
    root, footprints = fit_root(path, stances, person.fps, fit, heights=heights)
    wanted = root[:, None] + ankle
    ankle = ankle_targets(plan, offsets, stances, footprints, wanted, frames, person.fps)
    standing = standing_weights(plan, weights)
    segments = followed(person.segments, plan, frames)
    objectives = [
        root_objective(robot, root, weights.root),
        *direction_objectives(segments, robot, frames, weights, standing),
        *foot_objectives(plan, ankle, robot, frames, weights),
    ]
    return objectives, root, plan


def _feet(robot: Robot, qpos: Array) -> tuple[Array, Array]:
    """Places [T, 2, 3] m of the feet as seen from the root, and their orientations [T, 2, 4]."""
    feet = [robot.body_names.index(name) for name in robot.feet]
    ankle, turned = np.empty((len(qpos), 2, 3)), np.empty((len(qpos), 2, 4))
    for part in stretches(len(qpos)):
        first = qpos[part]
        pos, quat = forward_kinematics(robot, 0.0 * first[:, :3], first[:, 3:7], first[:, 7:])
        ankle[part], turned[part] = pos[:, feet], quat[:, feet]
    return ankle, turned


def footprint_heights(plan: FootPlan, frames: RobotFrames, stance: Stance, places: Array) -> Array:
    """Heights [n] m of a stance's footprint at `places` [n, 2] m on the plan's ground."""
    assert plan.tilt is not None
    window, foot = slice(stance.start, stance.stop), stance.foot
    sole = frames.soles[foot] - frames.ball[foot]
    tilt, heading = plan.tilt[window, foot], plan.heading[window, foot]
    return sole_height(plan.ground, places, heading, tilt, sole)


def root_objective(robot: Robot, path: Array, weight: float) -> Point:
    """The root body's origin at a `path` [T, 3] m."""
    body = robot.body_names[0]
    return Point(name="root", body=body, point=np.zeros(3), target=path, weight=weight)


def direction_objectives(
    segments: Mapping[str, SegmentTrack],
    robot: Robot,
    frames: RobotFrames,
    weights: ObjectiveWeights,
    added: Mapping[str, Array] | None = None,
) -> list[Objective]:
    """Both axes of every segment that is given, as directions.

    A segment's secondary axis counts by how well it is known (`SegmentTrack.confidence`). `added`
    [T] per objective's name goes on top of the weights.
    """
    added = added or {}
    result: list[Objective] = []
    for name in SEGMENTS:
        track = segments.get(name)
        if track is None:
            continue
        link = frames.links[name]
        body = robot.body_names[link.body - 1]
        first, second = weights.segments[name.removeprefix("left_").removeprefix("right_")]
        for axis, local, target, weight in (
            ("primary", link.primary, track.primary, first),
            ("secondary", link.secondary, track.secondary, second * track.confidence),
        ):
            full = f"{name}.{axis}"
            weight = weight + added[full] if full in added else weight
            result.append(Direction(name=full, body=body, axis=local, target=target, weight=weight))
    return result


def standing_weights(plan: FootPlan, weights: ObjectiveWeights) -> dict[str, Array]:
    """What a standing foot's directions weigh more, [T] by the objective's name.

    Its heading is held on the edge too: a foot that turns there slips.
    """
    up, forward = weights.standing_foot
    added = {}
    for i, side in enumerate(SIDES):
        added[f"{side}_foot.primary"] = up * plan.flat[:, i]
        held = np.maximum(plan.flat[:, i], plan.lock[:, i, 0])
        added[f"{side}_foot.secondary"] = forward * held
    return added


def foot_objectives(
    plan: FootPlan,
    ankle: Array,
    robot: Robot,
    frames: RobotFrames,
    weights: ObjectiveWeights,
) -> list[Objective]:
    """Ankle, ball and heel of both feet; `ankle` [T, 2, 3] m are the ankles' places.

    The edge that a standing foot rolls over keeps its place along the ground, and both edges of a
    foot that stands flat; in height both are held while the foot stands.
    """
    result: list[Objective] = []
    for i, side in enumerate(SIDES):
        body = robot.body_names[frames.links[f"{side}_foot"].body - 1]
        turn = frames.foot_turns[i].T
        result.append(
            Point(
                name=f"{side}_foot.ankle", body=body, point=np.zeros(3), target=ankle[:, i],
                weight=weights.ankle,
            )
        )  # fmt: skip
        for part, edge, used in (
            ("ball", frames.ball[i], plan.on_ball[:, i]),
            ("heel", frames.heel[i], 1.0 - plan.on_ball[:, i]),
        ):
            flat = np.minimum(plan.flat[:, i, None], plan.lock[:, i])
            down = np.maximum(flat, plan.lock[:, i] * used[:, None])
            weight = np.empty((len(down), 3))
            weight[:, :2] = weights.standing_edge * down[:, :1]
            weight[:, 2] = weights.standing_height * down[:, 1]
            result.append(
                Point(
                    name=f"{side}_foot.{part}", body=body, point=turn @ edge,
                    target=ankle[:, i] + plan.matrix[:, i] @ edge, weight=weight,
                )
            )  # fmt: skip
    return result


def followed(
    segments: Mapping[str, SegmentTrack], plan: FootPlan, frames: RobotFrames
) -> dict[str, SegmentTrack]:
    """The segments that this robot can follow, the feet as planned."""
    result = {name: track for name, track in segments.items() if name not in frames.rigid}
    for i, side in enumerate(SIDES):
        matrix = plan.matrix[:, i]
        confidence = segments[f"{side}_foot"].confidence
        result[f"{side}_foot"] = SegmentTrack(matrix[..., 2], matrix[..., 0], confidence)
    return result


def pelvis_axes(pelvis: SegmentTrack) -> Array:
    """Root orientation [T, 3, 3] of a pelvis: columns forward, left, up."""
    left, up = pelvis.primary, across(pelvis.secondary, pelvis.primary)
    return np.stack([np.cross(left, up), left, up], axis=-1)


def first_guess(robot: Robot, pelvis: SegmentTrack, root: Array) -> Array:
    """Default pose [7 + J] at `root` [3], turned like the pelvis of frame 0."""
    return np.concatenate([root, matrix_to_quat(pelvis_axes(pelvis)[0]), robot.default_joint_pos])
