"""References for a robot: put where it stands, one after the other, blended where they meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic.policy.observations import Reference
from mimic_base.rotations import (
    angular_velocity,
    quat_mul,
    quat_of_yaw,
    quat_rotate,
    slerp,
    yaw_of_quat,
)

Array = NDArray[np.float64]


def moved_to(reference: Reference, body: int, pos_w: Array | None, quat_w: Array) -> Reference:
    """The reference turned about the vertical and moved along the floor.

    Its first frame's ``body`` gets the heading of ``quat_w`` [4] and the place of ``pos_w`` [3]
    (None: it stays over its own place). Heights stay.
    """
    yaw = yaw_of_quat(quat_w) - yaw_of_quat(reference.body_quat_w[0, body])
    turn = quat_of_yaw(yaw)
    pivot = reference.body_pos_w[0, body] * [1.0, 1.0, 0.0]
    goal = pivot if pos_w is None else np.asarray(pos_w, np.float64) * [1.0, 1.0, 0.0]
    return Reference(
        joint_pos=reference.joint_pos,
        joint_vel=reference.joint_vel,
        body_pos_w=quat_rotate(turn, reference.body_pos_w - pivot) + goal,
        body_quat_w=quat_mul(turn, reference.body_quat_w),
        body_lin_vel_w=quat_rotate(turn, reference.body_lin_vel_w),
        body_ang_vel_w=quat_rotate(turn, reference.body_ang_vel_w),
    )


def turn_and_move(
    reference: Reference, body: int, pos_w: Array, quat_w: Array
) -> tuple[Array, Array]:
    """The turn [4] about the vertical and the shift [3] after it that `moved_to` makes."""
    yaw = yaw_of_quat(quat_w) - yaw_of_quat(reference.body_quat_w[0, body])
    turn = quat_of_yaw(yaw)
    pivot = reference.body_pos_w[0, body] * [1.0, 1.0, 0.0]
    goal = np.asarray(pos_w, np.float64) * [1.0, 1.0, 0.0]
    return turn, goal - quat_rotate(turn, pivot)


def turned_and_moved(reference: Reference, turn: Array, shift: Array) -> Reference:
    """The reference turned by ``turn`` [4] about the origin, then moved by ``shift`` [3]."""
    return Reference(
        joint_pos=reference.joint_pos,
        joint_vel=reference.joint_vel,
        body_pos_w=quat_rotate(turn, reference.body_pos_w) + shift,
        body_quat_w=quat_mul(turn, reference.body_quat_w),
        body_lin_vel_w=quat_rotate(turn, reference.body_lin_vel_w),
        body_ang_vel_w=quat_rotate(turn, reference.body_ang_vel_w),
    )


def held(reference: Reference, frame: int, frames: int) -> Reference:
    """One frame of a reference, at rest, for ``frames`` frames."""
    still = reference.frame(frame)
    count = max(frames, 1)

    def repeat(values: Array) -> Array:
        return np.repeat(values[None], count, axis=0)

    return Reference(
        joint_pos=repeat(still.joint_pos),
        joint_vel=repeat(0.0 * still.joint_vel),
        body_pos_w=repeat(still.body_pos_w),
        body_quat_w=repeat(still.body_quat_w),
        body_lin_vel_w=repeat(0.0 * still.body_lin_vel_w),
        body_ang_vel_w=repeat(0.0 * still.body_ang_vel_w),
    )


def joined(
    first: Reference, second: Reference, body: int, frames: int, control_dt: float
) -> Reference:
    """The first reference, then the second from where the first one ends.

    The second one is put where ``body`` is in the first one's last frame. Over ``frames`` frames
    after that frame the way leads from the first one's last pose to the second one's frames, with a
    weight whose slope is zero at both ends (3 s^2 - 2 s^3); velocities there are differences of the
    blended poses.
    """
    last = first.num_frames - 1
    second = moved_to(second, body, first.body_pos_w[last, body], first.body_quat_w[last, body])
    return _blended(first, held(first, last, 1), second, frames, control_dt)


def crossed(
    first: Reference,
    at: int,
    second: Reference,
    body: int,
    frames: int,
    control_dt: float,
    meet: int = 0,
) -> Reference:
    """The frame ``at`` of the first reference, then the second from where the first one is then.

    As `joined`, but over the ``frames`` frames of the blend the first one goes on (and rests in its
    last frame once it is over), so that what moves is not stopped at once. The second one's first
    frame is put where the first one is in the frame ``meet`` of the blend.
    """
    at = min(max(at, 0), first.num_frames - 1)
    going = np.minimum(at + 1 + np.arange(frames), first.num_frames - 1)
    way = _taken(first, going)
    second = moved_to(second, body, way.body_pos_w[meet, body], way.body_quat_w[meet, body])
    return _blended(_taken(first, [at]), way, second, frames, control_dt)


def _taken(reference: Reference, frames: ArrayLike) -> Reference:
    index = np.asarray(frames)
    return Reference(**{name: each[index] for name, each in reference.frame_fields().items()})


def _blended(
    first: Reference,
    going: Reference,
    second: Reference,
    frames: int,
    control_dt: float,
) -> Reference:
    """The first, then the second, whose first ``frames`` frames are blended with those of ``going``
    (one frame, or as many)."""
    frames = min(frames, second.num_frames)
    share = (np.arange(frames) + 1.0) / (frames + 1.0)
    weight = share * share * (3.0 - 2.0 * share)
    old, into = _taken(going, np.minimum(np.arange(frames), going.num_frames - 1)), slice(0, frames)

    def mix(before: Array, after: Array) -> Array:
        shaped = weight.reshape(-1, *([1] * (after.ndim - 1)))
        return (1.0 - shaped) * before + shaped * after

    joint_pos = second.joint_pos.copy()
    body_pos, body_quat = second.body_pos_w.copy(), second.body_quat_w.copy()
    joint_pos[into] = mix(old.joint_pos, second.joint_pos[into])
    body_pos[into] = mix(old.body_pos_w, second.body_pos_w[into])
    body_quat[into] = slerp(
        old.body_quat_w,
        second.body_quat_w[into],
        np.repeat(weight[:, None], body_quat.shape[1], axis=1),
    )
    joint_pos = np.concatenate([first.joint_pos, joint_pos])
    body_pos = np.concatenate([first.body_pos_w, body_pos])
    body_quat = np.concatenate([first.body_quat_w, body_quat])
    joint_vel = np.concatenate([first.joint_vel, second.joint_vel])
    lin_vel = np.concatenate([first.body_lin_vel_w, second.body_lin_vel_w])
    ang_vel = np.concatenate([first.body_ang_vel_w, second.body_ang_vel_w])
    begin, end = first.num_frames, min(first.num_frames + frames + 1, len(joint_pos))
    if end - begin >= 2:
        rate, around = 1.0 / control_dt, slice(begin - 1, end)
        joint_vel[begin:end] = np.gradient(joint_pos[around], control_dt, axis=0)[1:]
        lin_vel[begin:end] = np.gradient(body_pos[around], control_dt, axis=0)[1:]
        ang_vel[begin:end] = angular_velocity(body_quat[around], rate)[1:]
    return Reference(
        joint_pos=joint_pos,
        joint_vel=joint_vel,
        body_pos_w=body_pos,
        body_quat_w=body_quat,
        body_lin_vel_w=lin_vel,
        body_ang_vel_w=ang_vel,
    )


def in_a_row(
    references: Sequence[Reference], body: int, frames: int, control_dt: float
) -> Reference:
    """Several references as one, blended where they meet."""
    whole = references[0]
    for each in references[1:]:
        whole = joined(whole, each, body, frames, control_dt)
    return whole
