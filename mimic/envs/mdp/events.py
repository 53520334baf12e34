"""Domain randomisation and pushes (BeyondMimic's ranges by default)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic_base.rotations_torch import quat_inv_rotate

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

Range = tuple[float, float]
Range3 = tuple[float, float, float]


def note(env: Environment, env_ids: torch.Tensor, name: str, values: torch.Tensor) -> None:
    """Keep what was drawn [n, d] for the environments ``env_ids`` [n] in ``env.drawn``."""
    if name not in env.drawn:
        env.drawn[name] = torch.zeros(env.num_envs, values.shape[-1], device=env.device)
    env.drawn[name][env_ids] = values.to(env.drawn[name])


def randomize_foot_friction(env: Environment, env_ids: torch.Tensor, friction: Range) -> None:
    """Draw one sliding friction coefficient for both feet of each environment."""
    model = env.scene.model
    feet = {model.body(name).id for name in env.robot.feet}
    geoms = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in feet]
    values = env.engine.model_field("geom_friction")
    drawn = env.uniform((len(env_ids), 1), *friction).to(values)
    columns = torch.tensor(geoms, device=env_ids.device)
    values[env_ids[:, None], columns, 0] = drawn
    env.engine.write_model_field("geom_friction", values)
    note(env, env_ids, "foot_friction", drawn - float(model.geom_friction[geoms[0], 0]))


def randomize_anchor_com(
    env: Environment, env_ids: torch.Tensor, offset: tuple[float, float, float]
) -> None:
    """Shift the anchor body's centre of mass by up to +-``offset`` (m) along each axis."""
    body = env.scene.model.body(env.robot.anchor_body).id
    values = env.engine.model_field("body_ipos")
    span = torch.tensor(offset, device=env.device)
    shift = env.uniform((len(env_ids), 3), -1.0, 1.0) * span
    nominal = torch.as_tensor(env.scene.model.body_ipos[body].copy())
    values[env_ids, body] = nominal.to(values) + shift.to(values)
    env.engine.write_model_field("body_ipos", values)
    note(env, env_ids, "anchor_com", shift)


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
