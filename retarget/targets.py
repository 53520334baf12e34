"""What the solvers aim at: orientations first, then positions that the robot can reach.

Both methods take the same two steps. Where orientations alone have put the feet, seen from the
root, tells which root path and footprints fit this robot; only these are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimic_base.rotations import quat_rotate, quat_to_matrix
from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts
from retarget.feet.footprints import ankle_targets, stances_from
from retarget.feet.plan import FootPlan, footprint_offsets, with_orientation
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import RootFitSettings, fit_root, leg_scale, scaled_hips
from retarget.solvers.per_frame.frame import NUM_POINTS, Aim, IkSettings
from retarget.solvers.per_frame.stages import direction_targets
from robots.frames import RobotFrames
from robots.kinematics import forward_kinematics
from robots.robot import Robot
from robots.segments import SEGMENTS, SIDES, SegmentTrack


def orientation_aim(
    person: CalibratedHuman,
    contacts: FootContacts,
    plan: FootPlan,
    frames: RobotFrames,
    ik: IkSettings,
) -> Aim:
    """Stage 1: every segment's directions; the root at the scaled path of the hips."""
    count = person.num_frames
    points, strength = np.zeros((2, count, NUM_POINTS, 3))
    points[:, 0], strength[:, 0] = scaled_hips(person, frames, contacts.ground), 1.0
    segments = followed(person.segments, plan, frames)
    return Aim(*direction_targets(segments, ik, count), points, strength)


def position_aim(
    person: CalibratedHuman,
    plan: FootPlan,
    first: Array,
    aim: Aim,
    robot: Robot,
    frames: RobotFrames,
    ik: IkSettings,
    fit: RootFitSettings,
) -> tuple[Aim, FootPlan]:
    """Stage 2: root and feet besides.

    Args: `first` qpos [T, 7 + J], the solution of `aim` (stage 1).

    Returns the aim, whose first point is the root's path, and the plan with feet as they can be.
    """
    path = aim.points[:, 0]
    body_pos, body_quat = forward_kinematics(robot, 0.0 * path, first[:, 3:7], first[:, 7:])
    feet = [robot.body_names.index(name) for name in robot.feet]
    ankle = body_pos[:, feet]
    turned = quat_to_matrix(body_quat[:, feet]) @ np.swapaxes(np.stack(frames.foot_turns), 1, 2)
    plan = with_orientation(plan, turned, person.fps)
    offsets = footprint_offsets(plan, frames)
    ball = leg_scale(person, frames) * person.ball
    stances = stances_from(plan, ankle, offsets, ball, person.fps)
    path = path - quat_rotate(first[:, 3:7], frames.hips)
    root, footprints = fit_root(path, stances, person.fps, fit)
    wanted = root[:, None] + ankle
    ankle = ankle_targets(plan, offsets, stances, footprints, wanted, frames, person.fps)
    points, strength = foot_points(plan, ankle, frames, ik)
    points[:, 0], strength[:, 0] = root, ik.root
    segments = followed(person.segments, plan, frames)
    target, weight = direction_targets(segments, ik, person.num_frames)
    for i, side in enumerate(SIDES):
        k = 2 * SEGMENTS.index(f"{side}_foot")
        up, forward = ik.standing_foot
        weight[:, k] += up * plan.flat[:, i]
        # Its heading is held on the edge too: a foot that turns there slips.
        weight[:, k + 1] += forward * np.maximum(plan.flat[:, i], plan.hold[:, i, 0])
    return Aim(target, weight, points, strength), plan


def foot_points(
    plan: FootPlan, ankle: Array, frames: RobotFrames, ik: IkSettings
) -> tuple[Array, Array]:
    """Targets and weights of the points of the feet, [T, 7, 3]; the root is left open."""
    points, strength = np.zeros((2, len(ankle), NUM_POINTS, 3))
    for i in (0, 1):
        edges = (frames.ball[i], plan.on_ball[:, i]), (frames.heel[i], 1.0 - plan.on_ball[:, i])
        points[:, 1 + 3 * i], strength[:, 1 + 3 * i] = ankle[:, i], ik.ankle
        for k, (edge, used) in enumerate(edges, start=2 + 3 * i):
            points[:, k] = ankle[:, i] + plan.matrix[:, i] @ edge
            flat = np.minimum(plan.flat[:, i, None], plan.hold[:, i])
            down = np.maximum(flat, plan.hold[:, i] * used[:, None])
            strength[:, k, :2] = ik.standing_edge * down[:, :1]
            strength[:, k, 2] = ik.standing_height * down[:, 1]
    return points, strength


def followed(
    segments: Mapping[str, SegmentTrack], plan: FootPlan, frames: RobotFrames
) -> dict[str, SegmentTrack]:
    """The segments that this robot can follow, the feet as planned."""
    result = {name: track for name, track in segments.items() if name not in frames.rigid}
    for i, side in enumerate(SIDES):
        matrix = plan.matrix[:, i]
        trust = segments[f"{side}_foot"].trust
        result[f"{side}_foot"] = SegmentTrack(matrix[..., 2], matrix[..., 0], trust)
    return result
