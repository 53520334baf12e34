"""Reward terms of whole-body tracking: exponential kernels and regularisers (BeyondMimic)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic.envs.commands.motion import motion_command
from mimic_base.rotations_torch import quat_angle

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def _kernel(squared_error: torch.Tensor, std: float) -> torch.Tensor:
    return torch.exp(-squared_error / std**2)


def _mean_square(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[N] mean over bodies of the squared distance between vectors [N, B, 3]."""
    return (a - b).square().sum((-2, -1)) / a.shape[-2]


def anchor_position(env: Environment, std: float, command: str = "motion") -> torch.Tensor:
    c = motion_command(env, command)
    return _kernel((c.anchor_pos_w - c.robot_anchor_pos_w).square().sum(-1), std)


def anchor_orientation(env: Environment, std: float, command: str = "motion") -> torch.Tensor:
    c = motion_command(env, command)
    return _kernel(quat_angle(c.anchor_quat_w, c.robot_anchor_quat_w).square(), std)


def relative_body_position(env: Environment, std: float, command: str = "motion") -> torch.Tensor:
    c = motion_command(env, command)
    return _kernel(_mean_square(c.body_pos_relative_w, c.robot_body_pos_w), std)


def relative_body_orientation(
    env: Environment, std: float, command: str = "motion"
) -> torch.Tensor:
    c = motion_command(env, command)
    angle = quat_angle(c.body_quat_relative_w, c.robot_body_quat_w)
    return _kernel(angle.square().mean(-1), std)


def body_linear_velocity(env: Environment, std: float, command: str = "motion") -> torch.Tensor:
    c = motion_command(env, command)
    return _kernel(_mean_square(c.body_lin_vel_w, c.robot_body_lin_vel_w), std)


def body_angular_velocity(env: Environment, std: float, command: str = "motion") -> torch.Tensor:
    c = motion_command(env, command)
    return _kernel(_mean_square(c.body_ang_vel_w, c.robot_body_ang_vel_w), std)


def action_rate_l2(env: Environment) -> torch.Tensor:
    return (env.actions - env.previous_actions).square().sum(-1)


def joint_limit(env: Environment) -> torch.Tensor:
    """Sum over joints of the excess beyond the soft limits, rad."""
    q = env.state.robot.joint_pos
    return ((env.soft_lower - q).clamp_min(0) + (q - env.soft_upper).clamp_min(0)).sum(-1)


def undesired_contacts(env: Environment, threshold: float) -> torch.Tensor:
    """Number of bodies other than feet and hands touched by more than ``threshold`` N."""
    return (env.engine.contact_force > threshold).float().sum(-1)
