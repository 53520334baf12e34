"""Observations that are told of a robot and of a clip alike, for discriminators and motion models.

Each is a pure feature of a state (``mimic.envs.features``): of the simulated robot, or of frames of
a clip. That is what ``of_state`` says of an observation, and all that ``mimic.envs.demonstrations``
needs to show a clip as a group of such observations would show a robot that moves like it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mimic.envs import features
from mimic.envs.features import BodyState
from mimic.envs.observation import (
    axial,
    beside,
    flat,
    joined,
    joints,
    observable,
    of_key_bodies,
    polar,
    rotations_of,
    two_columns,
    unchanged,
)

Feature = Callable[[features.State], Any]
F = TypeVar("F", bound=Callable[..., Any])


def of_state(feature: Feature) -> Callable[[F], F]:
    """Declare an observation ``function(env)`` as ``feature`` of the robot with its key bodies.

    A history of it begins with the frames before the one that an episode begins at, where the
    episode begins on a clip; see ``mimic.envs.observing``.
    """

    def declare(function: F) -> F:
        function.feature = feature  # type: ignore[attr-defined]
        return function

    return declare


def feature_of(function: Callable[..., Any]) -> Feature | None:
    """The feature that an observation was declared with; None for another one."""
    return getattr(function, "feature", None)


def robot_of(env: Any) -> BodyState:
    """The state of an environment's robots, with the robot's key bodies."""
    return BodyState.of_robot(env.state.robot, env.key_body_ids)


_FRAME_RULE = beside(
    unchanged(), two_columns(), polar(), axial(), joints(2), of_key_bodies("polar")
)


@of_state(features.motion_frame)
@observable(mirror=_FRAME_RULE)
def motion_frame(env: Any) -> Any:
    """Height, tilt, velocities, joints and key bodies of the robot without place and heading,
    [N, 13 + 2 J + 3 B]; see ``mimic.envs.features.motion_frame``."""
    return features.motion_frame(robot_of(env))


def in_frame_of(state: features.State, other: features.State) -> Any:
    """What ``state`` does, seen from where ``other`` stands, [..., 15 + 2 J + 3 B].

    Place, orientation (two columns), velocity and angular velocity of the floating base, joint
    positions and velocities, and the places of the bodies from their own base, all in the heading
    frame on the floor below the base of ``other``.
    """
    r = rotations_of(state.root_quat_w)
    heading = r.yaw_quat(other.root_quat_w)
    origin = joined(other.root_pos_w[..., :2], 0.0 * other.root_pos_w[..., 2:])
    spin = r.quat_rotate(state.root_quat_w, state.root_ang_vel_b)
    offset = state.body_pos_w - state.root_pos_w[..., None, :]
    return joined(
        r.quat_inv_rotate(heading, state.root_pos_w - origin),
        r.first_two_columns(r.quat_mul(r.quat_conj(heading), state.root_quat_w)),
        r.quat_inv_rotate(heading, state.root_lin_vel_w),
        r.quat_inv_rotate(heading, spin),
        state.joint_pos,
        state.joint_vel,
        flat(r.quat_inv_rotate(heading[..., None, :], offset)),
    )


def motion_difference(env: Any, command: str = "motion") -> Any:
    """What the reference does minus what the robot does at the same time, [N, 15 + 2 J + 3 B].

    Both are seen from the reference (``in_frame_of``), so that a difference of zero means the same
    motion at the same place: the only positive sample of ADD (arXiv 2505.04961).
    """
    clip = env.commands[command]
    reference = BodyState.of_frames(clip, slice(None))
    return in_frame_of(reference, reference) - in_frame_of(robot_of(env), reference)
