"""Events that draw the robot's own physics: masses and motors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

Range = tuple[float, float]


def randomize_link_mass(env: Environment, env_ids: torch.Tensor, factor: Range) -> None:
    """Multiply mass and inertia of each link by a factor of its own.

    What MuJoCo derives from masses to scale its constraints (``body_invweight0``) stays as it is.
    """
    model, engine = env.scene.model, env.engine
    bodies = [model.body(name).id for name in env.robot.body_names]
    columns = torch.tensor(bodies, device=env_ids.device)
    drawn = env.uniform((len(env_ids), len(bodies)), *factor)
    mass, inertia = engine.model_field("body_mass"), engine.model_field("body_inertia")
    nominal = torch.as_tensor(model.body_mass[bodies].copy()).to(mass)
    mass[env_ids[:, None], columns] = nominal * drawn.to(mass)
    moments = torch.as_tensor(model.body_inertia[bodies].copy()).to(inertia)
    inertia[env_ids[:, None], columns] = moments * drawn[..., None].to(inertia)
    engine.write_model_field("body_mass", mass)
    engine.write_model_field("body_inertia", inertia)
    if engine.name != "mujoco":
        return
    # Centres of mass of subtrees, about which MuJoCo's C code computes, follow from it.
    below = mass.clone()
    for body in range(model.nbody - 1, 0, -1):
        below[:, model.body_parentid[body]] += below[:, body]
    engine.write_model_field("body_subtreemass", below)


def randomize_motors(
    env: Environment,
    env_ids: torch.Tensor,
    strength: Range = (1.0, 1.0),
    stiffness: Range = (1.0, 1.0),
    damping: Range = (1.0, 1.0),
) -> None:
    """Draw factors of every motor: of its torque and its limit, of kp, of kd.

    ``torque = strength (stiffness kp (target - q) - damping kd qd)``, clipped to ``strength`` times
    the effort limit.
    """
    robot, engine = env.robot, env.engine
    count = (len(env_ids), len(robot.joint_names))
    power, stiff, damp = (env.uniform(count, *each) for each in (strength, stiffness, damping))

    def nominal(values: object) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=env.device)

    gain, bias = engine.model_field("actuator_gainprm"), engine.model_field("actuator_biasprm")
    limit = engine.model_field("actuator_forcerange")
    kp = power * stiff * nominal(robot.kp)
    gain[env_ids, :, 0] = kp.to(gain)
    bias[env_ids, :, 1] = -kp.to(bias)
    bias[env_ids, :, 2] = -(power * damp * nominal(robot.kd)).to(bias)
    most = (power * nominal(robot.effort_limit)).to(limit)
    limit[env_ids] = torch.stack([-most, most], -1)
    for name, values in (
        ("actuator_gainprm", gain), ("actuator_biasprm", bias), ("actuator_forcerange", limit),
    ):  # fmt: skip
        engine.write_model_field(name, values)
