"""Domain randomisation and pushes (BeyondMimic's ranges by default)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic.envs.mdp.model_fields import (
    Range,
    Range3,
    body_indices,
    draw_centre_of_mass,
    draw_friction,
    geoms_of,
    note,
)
from mimic_base.rotations_torch import quat_inv_rotate

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def randomize_foot_friction(env: Environment, env_ids: torch.Tensor, friction: Range) -> None:
    """Draw one sliding friction coefficient for both feet of each environment."""
    draw_friction(env, env_ids, geoms_of(env, body_indices(env, env.robot.feet)), friction)


def randomize_anchor_com(
    env: Environment, env_ids: torch.Tensor, offset: tuple[float, float, float]
) -> None:
    """Shift the anchor body's centre of mass by up to +-``offset`` (m) along each axis."""
    draw_centre_of_mass(env, env_ids, env.robot.anchor_body, offset, "anchor_com")


def randomize_joint_default(env: Environment, env_ids: torch.Tensor, offset: float) -> None:
    """Shift the zero of every joint: what is observed and what an action of zero means."""
    nominal = env.default_joint_pos
    shift = env.uniform((len(env_ids), nominal.shape[-1]), -offset, offset)
    env.default_joint_pos_of_env[env_ids] = nominal + shift
    note(env, env_ids, "joint_default", shift)


def push(env: Environment, env_ids: torch.Tensor, lin_vel: Range3, ang_vel: Range3) -> None:
    """Add a random velocity (+-m/s, +-rad/s, world axes) to the floating base.

    The range is multiplied by ``env.randomisation``.
    """
    strength = env.randomisation
    robot = env.state.robot

    def kick(half_width: Range3) -> torch.Tensor:
        drawn = env.uniform((len(env_ids), 3), -strength, strength)
        return drawn * drawn.new_tensor(half_width)

    lin_vel_w = robot.root_lin_vel_w[env_ids] + kick(lin_vel)
    spin = quat_inv_rotate(robot.root_quat_w[env_ids], kick(ang_vel))
    env.engine.set_root_velocity(env_ids, lin_vel_w, robot.root_ang_vel_b[env_ids] + spin)
