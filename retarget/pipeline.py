"""From a human clip to a robot reference: calibrate, scale, plan the feet, solve, align, check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mimic_base.memory import release_memory
from mimic_base.rotations import quat_continuous, quat_normalize
from mimic_base.signals import low_pass
from mimic_base.stretches import STRETCH, by_stretches
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from motions import HumanMotion, RobotMotion
from motions.robot.quality.ground import ground_shift, sole_heights
from motions.robot.quality.metrics import measure
from motions.robot.terrain import scene_on
from retarget.feet.contacts import FootContacts, detect_contacts, planted
from retarget.feet.plan import plan_feet
from retarget.feet.terrain import flattened, lowered, on_surface
from retarget.objectives import Objective
from retarget.objectives.coupling import coupled
from retarget.person.calibration import CalibratedHuman, calibrate
from retarget.person.fidelity import end_effector_figures
from retarget.person.scaling import leg_scale, scaled_hips
from retarget.settings import RetargetSettings
from retarget.solvers.per_frame.clip import solve_per_frame
from retarget.solvers.whole_clip.clip import solve_whole_clip
from retarget.solvers.whole_clip.obstacles import Obstacle
from robots.constraints import CLOSED, off_limbs, satisfied
from robots.frames import robot_frames
from robots.kinematics import forward_kinematics
from robots.robot import Robot

Progress = Callable[[int, int], None]


def retarget(
    human: HumanMotion,
    robot: Robot,
    *,
    fps: float | Literal["source"] = "source",
    settings: RetargetSettings | None = None,
    ground: Surface | None = None,
    source_ground: Surface | None = None,
    objectives: Sequence[Objective] = (),
    obstacles: Sequence[Obstacle] = (),
    progress: Progress | None = None,
    window: int | None = None,
) -> RobotMotion:
    """Retarget one clip.

    Args:
        fps: frame rate of the result; "source" keeps the clip's own.
        ground: the surface that the robot walks on, in its own world; without it the person's
            at the robot's size, ``source_ground.scaled(s)`` with s the ratio of the legs.
        source_ground: the surface that the person walked on, in the clip's world; without it a
            flat floor at the height where slow soles gather.
        objectives: the caller's own, of as many frames as the result, beside the person's; see
            `retarget.objectives`.
        obstacles: the caller's own, beside the ground and the robot's body (whole-clip method).
        progress: called with (frames solved so far, of how many); a frame is solved several times,
            and how often is a guess that is mended on the way.
        window: frames that the whole-clip solver holds in memory at once; chosen unless given. The
            result does not depend on it.

    Returns a `RobotMotion` with all bodies of the robot, contact confidences and `quality`; its
    scene has the ground, where that is not the floor.
    """
    settings = settings or RetargetSettings()
    rate = human.fps if fps == "source" else float(fps)
    solved = _solve(
        human, robot, rate, settings, ground, source_ground, objectives, obstacles, progress, window
    )
    if len(solved.qpos) > STRETCH:
        release_memory()
    return RobotMotion.build(
        fps=rate,
        joint_pos=solved.qpos[:, 7:],
        body_pos_w=solved.body_pos,
        body_quat_w=solved.body_quat,
        joint_names=robot.joint_names,
        body_names=robot.body_names,
        robot=robot.name,
        contact=solved.contact,
        quality=solved.quality,
        source=human.source,
        licence=human.licence,
        name=human.name,
        scene=scene_on(solved.ground, solved.body_pos[:, 0, :2]),
    )


@dataclass(frozen=True)
class _Solved:
    """What is left of a clip when it is solved and measured; all else is gone from memory.

    Attributes:
        qpos: [T, 7 + J]. body_pos, body_quat: [T, B, 3] m and [T, B, 4] of the robot's bodies.
        contact: [T, 2] 0..1. ground: the surface that the robot walks on.
    """

    qpos: Array
    body_pos: Array
    body_quat: Array
    contact: Array
    quality: dict[str, Any]
    ground: Surface


def _solve(
    human: HumanMotion,
    robot: Robot,
    rate: float,
    settings: RetargetSettings,
    ground: Surface | None,
    source_ground: Surface | None,
    objectives: Sequence[Objective],
    obstacles: Sequence[Obstacle],
    progress: Progress | None,
    window: int | None,
) -> _Solved:
    """Solve a clip at `rate` and measure the result; arguments as `retarget` takes them."""
    original = replace(human.resample(rate), quat_w=None)
    human, person, contacts = prepare(human, rate, settings, source_ground)
    if source_ground is None:
        human = replace(human, quat_w=None)  # much of a long clip's memory, and needed no more
    frames = robot_frames(robot)
    if ground is None:
        ground = FLAT if source_ground is None else source_ground.scaled(leg_scale(person, frames))
    objectives = [*objectives, *coupled(robot)]
    plan = on_surface(plan_feet(person, contacts), person, contacts, frames, ground)
    if settings.method == "whole-clip":
        qpos = solve_whole_clip(
            person, contacts, plan, robot, frames, settings.clip, settings.root, progress,
            extra=objectives, obstacles=obstacles, window=window,
        )  # fmt: skip
    else:
        qpos = solve_per_frame(
            person, contacts, plan, robot, frames, settings.per_frame, settings.root, progress,
            extra=objectives,
        )  # fmt: skip
    qpos, open_loops = _met(robot, qpos)
    body_pos, body_quat = forward_kinematics(robot, qpos[:, :3], qpos[:, 3:7], qpos[:, 7:])
    heights = sole_heights(robot, body_pos, body_quat, ground)
    shift = ground_shift(heights, plan.confidence > 0.9)
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
        planted=planted(contacts, person.ball, rate, person.leg_length),
        soles=leg_scale(person, frames) * person.ball,
        ground=ground,
    )
    if robot.model.neq:
        quality["constraints"] = {
            "max": float(open_loops.max()), "frame_rate": float((open_loops > CLOSED).mean())
        }  # fmt: skip
    path = scaled_hips(person, frames, contacts.ground, plan.support)
    if source_ground is not None:
        person = calibrate(human)  # feet and hips as they are in the world
    quality["fidelity"] |= end_effector_figures(
        robot, human, person, contacts.ground, body_pos, body_quat, path
    )
    return _Solved(qpos, body_pos, body_quat, contacts.confidence, quality, ground)


def _met(robot: Robot, qpos: Array) -> tuple[Array, Array]:
    """Poses that meet the robot's equalities, and the largest violation [T] that is left."""
    key_points = [robot.model.body(name).id for name in robot.human_map.values()]
    passive = off_limbs(robot.model, key_points) if robot.model.neq else []
    return satisfied(robot.model, qpos, passive)


def prepare(
    human: HumanMotion,
    rate: float,
    settings: RetargetSettings,
    ground: Surface | None = None,
) -> tuple[HumanMotion, CalibratedHuman, FootContacts]:
    """What the solvers are given of a clip: filtered at `rate`, calibrated, with its contacts.

    On a `ground` that the person walked on, soles, feet and hips are relative to it.
    """
    human = _at_rate(human, rate, settings.source_hz)
    person = original = calibrate(human)
    roles = sorted(set(human.roles.values()))
    if ground is None:
        lowest = human.pos_w[:, roles, 2].min(axis=1)
    else:
        person = flattened(person, ground)
        lowest = by_stretches(lambda pos: ground.clearance(pos[:, roles]).min(axis=1), human.pos_w)
    contacts = detect_contacts(
        person.ball,
        person.heel,
        person.fps,
        person.leg_length,
        settings.contacts,
        lowest=lowest,
    )
    if ground is not None:
        person = lowered(person, original, ground, contacts)
    return human, person, contacts


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
        quat = low_pass(quat_continuous(quat), human.fps, cutoff_hz)
        quat = by_stretches(quat_normalize, quat)
    return replace(human, pos_w=pos, quat_w=quat)
