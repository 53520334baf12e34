"""Faithfulness beyond limb directions: how feet and hands are turned, where they are, symmetry.

Everything compares a robot with a calibrated person (`calibration.CalibratedHuman`) at the same
frames. Orientations are relative to the calibrated rest alignment: a foot flat on the ground and
pointing ahead, a hand that continues the forearm with its palm towards the body, mean the same for
person and robot, whatever the axes of file and model.

Positions are compared in the frame of the *scaled* person: one factor for all lengths, the robot's
leg over the person's, the one that scales the path (`scaling.scaled_hips`). A robot whose arms are
not as long as its legs make them misses hand positions by the difference even where every limb
points the right way; `PositionErrors.own` takes that out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from mimic_base.rotations import quat_rotate
from mimic_base.vectors import Array, across
from motions import HumanMotion
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import leg_scale, scaled_hips
from retarget.solvers.weights import bodies_between
from robots.frames import robot_frames
from robots.robot import Robot
from robots.segments import LIMBS, SIDES, SegmentTrack
from robots.symmetry import MirrorMap

LIMB_OF = {
    **{f"{side}_hand": (f"{side}_upper_arm", f"{side}_forearm") for side in SIDES},
    **{f"{side}_foot": (f"{side}_thigh", f"{side}_shank") for side in SIDES},
}
"""End effector -> the two segments that carry it."""


def wrist_freedom(robot: Robot) -> int:
    """Joints between a forearm and its hand, 0 to 3; the fewer of the two sides."""
    return min(_joints_between(robot, f"{side}_elbow", f"{side}_wrist") for side in SIDES)


def ankle_freedom(robot: Robot) -> int:
    """Joints between a shank and its foot, mostly 1 or 2; the fewer of the two sides."""
    return min(_joints_between(robot, f"{side}_knee", f"{side}_ankle") for side in SIDES)


def _joints_between(robot: Robot, upper: str, lower: str) -> int:
    model = robot.model
    ends = (model.body(robot.human_map[role]).id for role in (upper, lower))
    return sum(int(model.body_jntnum[body]) for body in bodies_between(model, *ends))


def orientation_errors(
    robot: Robot, person: CalibratedHuman, body_quat_w: Array
) -> dict[str, Array]:
    """Angle [T] deg between person and robot of `left_foot`, `right_foot` and both hands.

    Args:
        body_quat_w: [T, B, 4] of the robot's bodies at the person's frames.

    The angle is that of the one rotation between both frames. Hands are left out where the source
    has no rotations, and where the robot has no wrist. With fewer than three joints
    (`wrist_freedom`, `ankle_freedom`) part of an error may be out of the robot's reach.
    """
    frames = robot_frames(robot)
    ends = [f"{side}_{part}" for part in ("foot", "hand") for side in SIDES]
    errors = {}
    for name in ends:
        track = person.segments.get(name)
        if track is None or name in frames.rigid:
            continue
        link = frames.links[name]
        quat = body_quat_w[:, link.body - 1]
        robot_axes = _axes(quat_rotate(quat, link.primary), quat_rotate(quat, link.secondary))
        errors[name] = _angle(_person_axes(track), robot_axes)
    return errors


def _person_axes(track: SegmentTrack) -> Array:
    return _axes(track.primary, across(track.secondary, track.primary))


def _axes(primary: Array, secondary: Array) -> Array:
    return np.stack([primary, secondary, np.cross(primary, secondary)], axis=-1)


def _angle(a: Array, b: Array) -> Array:
    """Angle [T] deg of the rotation between two sets of axes [T, 3, 3].

    From the chord, |a - b| = sqrt(8) sin(angle / 2), which is exact near zero where the trace is
    not.
    """
    chord = np.linalg.norm(a - b, axis=(1, 2)) / np.sqrt(8.0)
    return np.degrees(2.0 * np.arcsin(np.clip(chord, 0.0, 1.0)))


@dataclass(frozen=True)
class PositionErrors:
    """Distances [T] m of one end effector from where the person has it.

    Attributes:
        world: from the scaled person's, in the world, path and footprints included.
        root: the same seen from the middle of the hips, without turning with them.
        own: of the wrist or ankle seen from where the limb's upper segment begins, against a limb
            of the robot's own lengths turned exactly as the person's; None for the head.
    """

    world: Array
    root: Array
    own: Array | None


def position_errors(
    robot: Robot,
    human: HumanMotion,
    person: CalibratedHuman,
    ground: float,
    body_pos_w: Array,
    body_quat_w: Array,
    path: Array | None = None,
) -> dict[str, PositionErrors]:
    """Position errors of hands and feet, and of the head where source and robot have one.

    Args:
        human: the clip that `person` was calibrated from.
        ground: m, height of the ground in the source's world (`contacts.FootContacts.ground`).
        body_pos_w, body_quat_w: [T, B, 3] m and [T, B, 4] of the robot at the same frames.
        path: [T, 3] m of the robot's hips, where its ground is not flat.

    A hand is where its wrist is (the body of that role), a foot where its ankle is.
    """
    frames = robot_frames(robot)
    scale = leg_scale(person, frames)
    path = scaled_hips(person, frames, ground) if path is None else path
    hips = body_pos_w[:, 0] + quat_rotate(body_quat_w[:, 0], frames.hips)
    roles = {name: LIMBS[lower][1] for name, (_, lower) in LIMB_OF.items()}
    if "head" in robot.human_map and "head" in human.roles:
        roles["head"] = "head"
    result = {}
    for name, role in roles.items():
        place = body_pos_w[:, robot.body_names.index(robot.human_map[role])]
        wanted = scale * (human.role(role) - person.hips)
        result[name] = PositionErrors(
            world=np.linalg.norm(place - (path + wanted), axis=1),
            root=np.linalg.norm(place - (hips + wanted), axis=1),
            own=_own_error(robot, person, body_pos_w, LIMB_OF[name]) if name in LIMB_OF else None,
        )
    return result


def _own_error(
    robot: Robot, person: CalibratedHuman, body_pos_w: Array, limb: tuple[str, str]
) -> Array:
    model, links = robot.model, robot_frames(robot).links
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    # Up to the first body past the limb: what is rigid with it, however wrist or ankle bend.
    last = int(model.body(robot.human_map[LIMBS[limb[1]][1]]).id)
    while int(model.body_parentid[last]) not in (0, links[limb[1]].body):
        last = int(model.body_parentid[last])
    chain = [links[limb[0]].body, links[limb[1]].body, last]
    wanted = np.zeros((len(body_pos_w), 3))
    for name, body, end in zip(limb, chain[:-1], chain[1:], strict=True):
        link = links[name]
        bone = data.xmat[body].reshape(3, 3).T @ (data.xpos[end] - data.xpos[body])
        axes = np.stack([link.primary, link.secondary, np.cross(link.primary, link.secondary)])
        wanted += _person_axes(person.segments[name]) @ (axes @ bone)
    return np.linalg.norm(body_pos_w[:, last - 1] - body_pos_w[:, chain[0] - 1] - wanted, axis=1)


def end_effector_figures(
    robot: Robot,
    human: HumanMotion,
    person: CalibratedHuman,
    ground: float,
    body_pos_w: Array,
    body_quat_w: Array,
    path: Array | None = None,
) -> dict[str, Any]:
    """The means of `orientation_errors` and `position_errors`, as nested plain numbers.

    `foot` and `hand` join left and right. A figure that could not be measured is None.
    """
    turned = orientation_errors(robot, person, body_quat_w)
    placed = position_errors(robot, human, person, ground, body_pos_w, body_quat_w, path)
    return {
        "foot_deg": _mean(turned, "foot"),
        "foot_p95_deg": _p95(turned, "foot"),
        "hand_deg": _mean(turned, "hand"),
        "hand_p95_deg": _p95(turned, "hand"),
        "ankle_hinges": ankle_freedom(robot),
        "wrist_hinges": wrist_freedom(robot),
        **{
            f"{part}_{kind}_m": _mean({n: getattr(e, kind) for n, e in placed.items()}, part)
            for part in ("foot", "hand", "head")
            for kind in ("world", "root", "own")
        },
    }


def _of(errors: Mapping[str, Array | None], part: str) -> list[Array]:
    return [e for name, e in errors.items() if name.endswith(part) and e is not None]


def _mean(errors: Mapping[str, Array | None], part: str) -> float | None:
    found = _of(errors, part)
    return float(np.mean(found)) if found else None


def _p95(errors: Mapping[str, Array], part: str) -> float | None:
    found = _of(errors, part)
    return float(np.percentile(np.concatenate(found), 95)) if found else None


@dataclass(frozen=True)
class Asymmetry:
    """What is left between a motion and the mirrored motion of the mirrored clip.

    Attributes:
        joint: [T, J] rad, absolute. root: [T] m. turn: [T] rad, of the root.
    """

    joint: Array
    root: Array
    turn: Array


def asymmetry(qpos: Array, mirrored: Array, pairs: MirrorMap) -> Asymmetry:
    """Compare `qpos` [T, 7 + J] with `mirrored` [T, 7 + J], the result of the mirrored clip."""
    back = mirror_qpos(mirrored, pairs)
    # A quaternion and its negative are one rotation.
    sign = np.where((qpos[:, 3:7] * back[:, 3:7]).sum(axis=1) < 0.0, -1.0, 1.0)
    chord = np.linalg.norm(qpos[:, 3:7] - sign[:, None] * back[:, 3:7], axis=1)
    return Asymmetry(
        joint=np.abs(qpos[:, 7:] - back[:, 7:]),
        root=np.linalg.norm(qpos[:, :3] - back[:, :3], axis=1),
        turn=4.0 * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0)),
    )


def mirror_qpos(qpos: Array, pairs: MirrorMap) -> Array:
    """Configurations [T, 7 + J] reflected in the world's x-z plane."""
    flip = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
    return np.concatenate(
        [qpos[:, :7] * flip, pairs.joint_sign * qpos[:, 7:][:, pairs.joint_index]], axis=1
    )
