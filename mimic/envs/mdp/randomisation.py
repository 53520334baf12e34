"""Randomised physics: what differs between simulated robots, and between them and a real one.

Each event draws for the environments it is called with, at startup or at every reset, always from
the robot's own description (draws do not add up), and notes what it drew in ``env.drawn`` for
teachers and critics. Several events may change what the same servos do: their factors multiply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic.envs.mdp.events import Range, Range3, note
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

KP, KD, STRENGTH = "kp", "kd", "motor_strength"
"""Names of the servos' factors in ``env.drawn``."""


def _rows(env: Environment, name: str) -> torch.Tensor:
    """The nominal values of a field of the scene's model."""
    return torch.as_tensor(getattr(env.scene.model, name).copy())


def _write(
    env: Environment, env_ids: torch.Tensor, name: str, where: torch.Tensor, new: torch.Tensor
) -> None:
    """Put ``new`` [n, K, ...] into the rows ``where`` [K] of a field of some environments."""
    values = env.engine.model_field(name)
    ids, rows = env_ids.to(values.device)[:, None], where.to(values.device)
    values[ids, rows] = new.to(values)
    env.engine.write_model_field(name, values)


def _bodies(env: Environment, names: tuple[str, ...]) -> torch.Tensor:
    """Indices of bodies in the scene's model; all of the robot's where none is named."""
    for name in names:
        if name not in env.robot.body_names:
            raise MimicError(
                f"robot '{env.robot.name}' has no body '{name}'; known: "
                f"{', '.join(env.robot.body_names)}"
            )
    return torch.tensor([env.scene.model.body(n).id for n in names or env.robot.body_names])


def friction(env: Environment, env_ids: torch.Tensor, friction: Range) -> None:
    """Draw one sliding friction coefficient for all that the robot touches the world with.

    In MuJoCo the larger coefficient of the two that touch counts: the ground's is lowered to the
    lowest, so that the robot's decides.
    """
    model = env.scene.model
    robot = {env.scene.model.body(name).id for name in env.robot.body_names}
    own = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in robot]
    ground = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) == 0]
    drawn = env.uniform((len(env_ids), 1), *friction)
    values = env.engine.model_field("geom_friction")
    ids = env_ids.to(values.device)[:, None]
    values[ids, torch.tensor(own, device=values.device), 0] = drawn.to(values)
    values[ids, torch.tensor(ground, device=values.device), 0] = min(friction)
    env.engine.write_model_field("geom_friction", values)
    note(env, env_ids, "foot_friction", drawn - float(model.geom_friction[own[0], 0]))


def masses(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply the mass and the inertia of every body by a factor of its own."""
    bodies = _bodies(env, ())
    drawn = env.uniform((len(env_ids), len(bodies)), *factor)
    mass, inertia = _rows(env, "body_mass")[bodies], _rows(env, "body_inertia")[bodies]
    _write(env, env_ids, "body_mass", bodies, drawn.cpu() * mass)
    _write(env, env_ids, "body_inertia", bodies, drawn.cpu()[..., None] * inertia)
    total = (drawn.cpu() * mass).sum(-1, keepdim=True) / mass.sum() - 1.0
    note(env, env_ids, "mass", total)


def base_mass(env: Environment, env_ids: torch.Tensor, mass: Range) -> None:
    """Add a mass (kg) at the centre of mass of the floating base; its inertia grows alike."""
    base = _bodies(env, (env.robot.root_body,))
    own, inertia = _rows(env, "body_mass")[base], _rows(env, "body_inertia")[base]
    drawn = env.uniform((len(env_ids), 1), *mass).cpu()
    # A range that would take away more than there is leaves a tenth.
    new = torch.maximum(own + drawn, 0.1 * own)
    _write(env, env_ids, "body_mass", base, new)
    _write(env, env_ids, "body_inertia", base, (new / own)[..., None] * inertia)
    note(env, env_ids, "base_mass", new - own)


def centre_of_mass(
    env: Environment, env_ids: torch.Tensor, offset: Range3, body: str = ""
) -> None:
    """Shift a body's centre of mass by up to +-``offset`` (m) along each axis.

    Args:
        body: its name; empty: the floating base.
    """
    chosen = _bodies(env, (body or env.robot.root_body,))
    span = torch.tensor(offset)
    shift = (env.uniform((len(env_ids), 1, 3), -1.0, 1.0).cpu() * span)
    _write(env, env_ids, "body_ipos", chosen, _rows(env, "body_ipos")[chosen] + shift)
    note(env, env_ids, "base_com", shift[:, 0])


def gains(env: Environment, env_ids: torch.Tensor, kp: Range, kd: Range) -> None:
    """Multiply the stiffness and the damping of every servo by factors of their own."""
    shape = (len(env_ids), env.robot.num_joints)
    note(env, env_ids, KP, env.uniform(shape, *kp) - 1.0)
    note(env, env_ids, KD, env.uniform(shape, *kd) - 1.0)
    _write_servos(env, env_ids)


def motor_strength(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply the torque of every motor, and the most it can give, by a factor of its own."""
    shape = (len(env_ids), env.robot.num_joints)
    note(env, env_ids, STRENGTH, env.uniform(shape, *factor) - 1.0)
    _write_servos(env, env_ids)


def _write_servos(env: Environment, env_ids: torch.Tensor) -> None:
    """``torque = strength (kp (target - q) - kd qd)`` within ``strength`` times the limit."""
    count = env.robot.num_joints
    servos = torch.tensor(
        [env.scene.model.actuator(name).id for name in env.robot.joint_names]
    )
    one = torch.zeros(env.num_envs, count, device=env.device)
    kp, kd, strength = (
        1.0 + env.drawn.get(name, one)[env_ids].cpu().double() for name in (KP, KD, STRENGTH)
    )
    gain, bias, force = (
        _rows(env, f"actuator_{name}")[servos].expand(len(env_ids), -1, -1).clone()
        for name in ("gainprm", "biasprm", "forcerange")
    )
    gain[..., 0] *= kp * strength
    bias[..., 1] *= kp * strength
    bias[..., 2] *= kd * strength
    force *= strength[..., None]
    _write(env, env_ids, "actuator_gainprm", servos, gain)
    _write(env, env_ids, "actuator_biasprm", servos, bias)
    _write(env, env_ids, "actuator_forcerange", servos, force)


def armature(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply the rotor inertia of every joint by a factor of its own."""
    model = env.scene.model
    dofs = torch.tensor([int(model.joint(name).dofadr[0]) for name in env.robot.joint_names])
    drawn = env.uniform((len(env_ids), len(dofs)), *factor)
    _write(env, env_ids, "dof_armature", dofs, drawn.cpu() * _rows(env, "dof_armature")[dofs])
    note(env, env_ids, "armature", drawn - 1.0)


def external_force(
    env: Environment, env_ids: torch.Tensor, force: float, bodies: tuple[str, ...] = ()
) -> None:
    """Let forces of random direction, up to ``force`` N times ``env.randomisation``, act on bodies
    from now on, until they are drawn again.

    Args:
        bodies: where; by default the end effectors.
    """
    chosen = _bodies(env, bodies or tuple(env.robot.end_effectors))
    shape = (len(env_ids), len(chosen), 3)
    direction = torch.randn(shape, generator=env.generator, device=env.device)
    direction = direction / direction.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    strength = env.uniform((*shape[:2], 1), 0.0, force * env.randomisation)
    env.engine.set_external_force(env_ids, chosen, direction * strength)
