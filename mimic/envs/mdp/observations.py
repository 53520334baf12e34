"""Observations: of whole-body tracking (BeyondMimic, arXiv 2508.08241) and of the robot itself.

Each is one function for training (torch, [N, ...]) and for the player of exported policies (numpy,
[...]), with its rule for symmetric training; see ``mimic.envs.observation``. ``command`` is the
name of the motion command a term looks at.
"""

from __future__ import annotations

from typing import Any

from mimic.envs import features
from mimic.envs.observation import (
    axial,
    flat,
    joints,
    observable,
    of_key_bodies,
    polar,
    rotations_of,
    two_columns,
    unchanged,
)

# of the reference --------------------------------------------------------------------------


@observable(mirror=joints(2))
def command(env: Any, command: str = "motion") -> Any:
    """Joint positions and velocities of the coming reference, [N, 2 J]."""
    return env.commands[command].target_joints


@observable(mirror=polar())
def motion_anchor_pos_b(env: Any, command: str = "motion") -> Any:
    """Anchor position of the coming reference in the robot's anchor frame, [N, 3] m."""
    c = env.commands[command]
    quat = c.robot_anchor_quat_w
    return rotations_of(quat).quat_inv_rotate(quat, c.target_anchor_pos_w - c.robot_anchor_pos_w)


@observable(mirror=two_columns())
def motion_anchor_ori_b(env: Any, command: str = "motion") -> Any:
    """Anchor orientation of the coming reference, robot's anchor frame, two columns, [N, 6]."""
    c = env.commands[command]
    r = rotations_of(c.robot_anchor_quat_w)
    relative = r.quat_mul(r.quat_conj(c.robot_anchor_quat_w), c.target_anchor_quat_w)
    return r.first_two_columns(relative)


@observable(mirror=of_key_bodies("polar"))
def body_pos_b(env: Any, command: str = "motion") -> Any:
    """Key body positions in the robot's anchor frame, [N, 3 B] m."""
    c = env.commands[command]
    quat = c.robot_anchor_quat_w
    offset = c.robot_body_pos_w - c.robot_anchor_pos_w[..., None, :]
    return flat(rotations_of(quat).quat_inv_rotate(quat[..., None, :], offset))


@observable(mirror=of_key_bodies("two_columns"))
def body_ori_b(env: Any, command: str = "motion") -> Any:
    """Key body orientations in the robot's anchor frame, two matrix columns each, [N, 6 B]."""
    c = env.commands[command]
    r = rotations_of(c.robot_anchor_quat_w)
    inverse = r.quat_conj(c.robot_anchor_quat_w)[..., None, :]
    return flat(r.first_two_columns(r.quat_mul(inverse, c.robot_body_quat_w)))


# of the robot ------------------------------------------------------------------------------


@observable(mirror=polar())
def base_lin_vel(env: Any) -> Any:
    """Floating base velocity in its own frame, [N, 3] m/s."""
    return env.state.robot.root_lin_vel_b


@observable(mirror=axial())
def base_ang_vel(env: Any) -> Any:
    """Floating base angular velocity in its own frame (a gyroscope), [N, 3] rad/s."""
    return env.state.robot.root_ang_vel_b


@observable(mirror=polar())
def projected_gravity(env: Any) -> Any:
    """Direction of gravity in the floating base's frame, [N, 3]."""
    return features.projected_gravity(env.state.robot)


@observable(mirror=unchanged())
def root_height(env: Any) -> Any:
    """Height of the floating base, [N, 1] m."""
    return features.root_height(env.state.robot)


@observable(mirror=joints())
def joint_pos(env: Any) -> Any:
    """Joint positions relative to the (per-environment) default pose, [N, J] rad."""
    return env.state.robot.joint_pos - env.default_joint_pos_of_env


@observable(mirror=joints())
def joint_vel(env: Any) -> Any:
    """Joint velocities, [N, J] rad/s."""
    return env.state.robot.joint_vel


@observable(mirror=joints())
def actions(env: Any) -> Any:
    """Last action as the policy gave it, [N, J]."""
    return env.actions
