"""Observation terms of whole-body tracking (BeyondMimic, arXiv 2508.08241)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic_base.rotations_torch import (
    first_two_columns,
    quat_conj,
    quat_inv_rotate,
    quat_mul,
)

if TYPE_CHECKING:
    from mimic.envs.env import TrackingEnv


def command(env: TrackingEnv) -> torch.Tensor:
    """Joint positions and velocities of the coming reference, [N, 2 J]."""
    return env.command.target_joints


def motion_anchor_pos_b(env: TrackingEnv) -> torch.Tensor:
    """Anchor position of the coming reference in the robot's anchor frame, [N, 3] m."""
    c = env.command
    return quat_inv_rotate(c.robot_anchor_quat_w, c.target_anchor_pos_w - c.robot_anchor_pos_w)


def motion_anchor_ori_b(env: TrackingEnv) -> torch.Tensor:
    """Anchor orientation of the coming reference, robot's anchor frame, two columns, [N, 6]."""
    c = env.command
    return first_two_columns(quat_mul(quat_conj(c.robot_anchor_quat_w), c.target_anchor_quat_w))


def base_lin_vel(env: TrackingEnv) -> torch.Tensor:
    """Floating base velocity in its own frame, [N, 3] m/s."""
    return quat_inv_rotate(env.engine.qpos[:, 3:7], env.engine.qvel[:, :3])


def base_ang_vel(env: TrackingEnv) -> torch.Tensor:
    """Floating base angular velocity in its own frame (a gyroscope), [N, 3] rad/s."""
    return env.engine.qvel[:, 3:6]


def joint_pos(env: TrackingEnv) -> torch.Tensor:
    """Joint positions relative to the (per-environment) default pose, [N, J] rad."""
    return env.engine.qpos[:, 7:] - env.default_joint_pos_of_env


def joint_vel(env: TrackingEnv) -> torch.Tensor:
    """Joint velocities, [N, J] rad/s."""
    return env.engine.qvel[:, 6:]


def actions(env: TrackingEnv) -> torch.Tensor:
    """Last action as the policy gave it, [N, J]."""
    return env.actions


def body_pos_b(env: TrackingEnv) -> torch.Tensor:
    """Key body positions in the robot's anchor frame, [N, 3 B] m."""
    c = env.command
    offset = c.robot_body_pos_w - c.robot_anchor_pos_w[:, None]
    return quat_inv_rotate(c.robot_anchor_quat_w[:, None], offset).flatten(1)


def body_ori_b(env: TrackingEnv) -> torch.Tensor:
    """Key body orientations in the robot's anchor frame, two matrix columns each, [N, 6 B]."""
    c = env.command
    inverse = quat_conj(c.robot_anchor_quat_w)[:, None].expand_as(c.robot_body_quat_w)
    return first_two_columns(quat_mul(inverse, c.robot_body_quat_w)).flatten(1)
