"""Randomised physics: what differs between simulated robots, and between them and a real one.

Each event draws for the environments it is called with, at startup or at every reset, always from
the robot's own description (draws do not add up), and notes what it drew in ``env.drawn`` for
teachers and critics. Several events may change what the same servos do: their factors multiply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from mimic.envs.mdp.model_fields import (
    Range,
    Range3,
    body_indices,
    draw_centre_of_mass,
    draw_friction,
    geoms_of,
    nominal,
    note,
    write_rows,
)

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

KP, KD, STRENGTH = "kp", "kd", "motor_strength"
"""Names of the servos' factors in ``env.drawn``."""


def friction(env: Environment, env_ids: torch.Tensor, friction: Range) -> None:
    """Draw one sliding friction coefficient for all that the robot touches the world with.

    In MuJoCo the larger coefficient of the two that touch counts: the ground's is lowered to the
    lowest, so that the robot's decides.
    """
    draw_friction(env, env_ids, geoms_of(env, body_indices(env, ())), friction)
    values = env.engine.model_field("geom_friction")
    ground = geoms_of(env, torch.tensor([0])).to(values.device)
    values[env_ids.to(values.device)[:, None], ground, 0] = min(friction)
    env.engine.write_model_field("geom_friction", values)


def masses(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply the mass and the inertia of every body by a factor of its own."""
    bodies = body_indices(env, ())
    drawn = env.uniform((len(env_ids), len(bodies)), *factor).cpu()
    mass, inertia = nominal(env, "body_mass")[bodies], nominal(env, "body_inertia")[bodies]
    _write_masses(env, env_ids, bodies, drawn * mass, drawn[..., None] * inertia)
    note(env, env_ids, "mass", (drawn * mass).sum(-1, keepdim=True) / mass.sum() - 1.0)


def base_mass(env: Environment, env_ids: torch.Tensor, mass: Range) -> None:
    """Add a mass (kg) at the centre of mass of the floating base; its inertia grows alike."""
    base = body_indices(env, (env.robot.root_body,))
    own, inertia = nominal(env, "body_mass")[base], nominal(env, "body_inertia")[base]
    drawn = env.uniform((len(env_ids), 1), *mass).cpu()
    # A range that would take away more than there is leaves a tenth.
    new = torch.maximum(own + drawn, 0.1 * own)
    _write_masses(env, env_ids, base, new, (new / own)[..., None] * inertia)
    note(env, env_ids, "base_mass", new - own)


def _write_masses(
    env: Environment,
    env_ids: torch.Tensor,
    bodies: torch.Tensor,
    mass: torch.Tensor,
    inertia: torch.Tensor,
) -> None:
    """Give bodies [K] masses [n, K] kg and moments of inertia [n, K, 3] kg m2.

    What MuJoCo derives from masses to scale its constraints (``body_invweight0``) stays as it is.
    """
    engine, model = env.engine, env.scene.model
    write_rows(env, env_ids, "body_mass", bodies, mass)
    write_rows(env, env_ids, "body_inertia", bodies, inertia)
    if engine.name != "mujoco":
        return
    # Centres of mass of subtrees, about which MuJoCo's C code computes, follow from it.
    below = engine.model_field("body_mass").clone()
    for body in range(model.nbody - 1, 0, -1):
        below[:, model.body_parentid[body]] += below[:, body]
    engine.write_model_field("body_subtreemass", below)


def centre_of_mass(env: Environment, env_ids: torch.Tensor, offset: Range3, body: str = "") -> None:
    """Shift a body's centre of mass by up to +-``offset`` (m) along each axis.

    Args:
        body: its name; empty: the floating base.
    """
    draw_centre_of_mass(env, env_ids, body or env.robot.root_body, offset, "base_com")


def gains(env: Environment, env_ids: torch.Tensor, kp: Range, kd: Range) -> None:
    """Multiply the stiffness and the damping of every servo by factors of their own."""
    _draw_servos(env, env_ids, {KP: kp, KD: kd})


def motor_strength(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply the torque of every motor, and the most it can give, by a factor of its own."""
    _draw_servos(env, env_ids, {STRENGTH: factor})


def motors(
    env: Environment,
    env_ids: torch.Tensor,
    strength: Range = (1.0, 1.0),
    stiffness: Range = (1.0, 1.0),
    damping: Range = (1.0, 1.0),
) -> None:
    """``motor_strength`` and ``gains`` in one event."""
    _draw_servos(env, env_ids, {STRENGTH: strength, KP: stiffness, KD: damping})


def _draw_servos(env: Environment, env_ids: torch.Tensor, factors: Mapping[str, Range]) -> None:
    shape = (len(env_ids), env.robot.num_joints)
    for name, span in factors.items():
        note(env, env_ids, name, env.uniform(shape, *span) - 1.0)
    _write_servos(env, env_ids)


def _write_servos(env: Environment, env_ids: torch.Tensor) -> None:
    """``torque = strength (kp (target - q) - kd qd)`` within ``strength`` times the limit."""
    count = env.robot.num_joints
    servos = torch.tensor([env.scene.model.actuator(name).id for name in env.robot.joint_names])
    one = torch.zeros(env.num_envs, count, device=env.device)
    kp, kd, strength = (
        1.0 + env.drawn.get(name, one)[env_ids].cpu().double() for name in (KP, KD, STRENGTH)
    )
    gain, bias, force = (
        nominal(env, f"actuator_{name}")[servos].expand(len(env_ids), -1, -1).clone()
        for name in ("gainprm", "biasprm", "forcerange")
    )
    gain[..., 0] *= kp * strength
    bias[..., 1] *= kp * strength
    bias[..., 2] *= kd * strength
    force *= strength[..., None]
    write_rows(env, env_ids, "actuator_gainprm", servos, gain)
    write_rows(env, env_ids, "actuator_biasprm", servos, bias)
    write_rows(env, env_ids, "actuator_forcerange", servos, force)


def armature(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply the rotor inertia of every joint by a factor of its own."""
    model = env.scene.model
    dofs = torch.tensor([int(model.joint(name).dofadr[0]) for name in env.robot.joint_names])
    drawn = env.uniform((len(env_ids), len(dofs)), *factor)
    write_rows(env, env_ids, "dof_armature", dofs, drawn.cpu() * nominal(env, "dof_armature")[dofs])
    note(env, env_ids, "armature", drawn - 1.0)


def external_force(
    env: Environment, env_ids: torch.Tensor, force: float, bodies: tuple[str, ...] = ()
) -> None:
    """Let forces of random direction, up to ``force`` N times ``env.randomisation``, act on bodies
    from now on, until they are drawn again.

    Args:
        bodies: where; by default the end effectors.
    """
    chosen = body_indices(env, bodies or tuple(env.robot.end_effectors))
    shape = (len(env_ids), len(chosen), 3)
    direction = torch.randn(shape, generator=env.generator, device=env.device)
    direction = direction / direction.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    strength = env.uniform((*shape[:2], 1), 0.0, force * env.randomisation)
    env.engine.set_external_force(env_ids, chosen, direction * strength)
