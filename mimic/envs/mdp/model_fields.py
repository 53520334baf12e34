"""What events that draw physics share: fields of the model of some environments, and notes.

Draws are always from the robot's own description, so that they do not add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

Range = tuple[float, float]
Range3 = tuple[float, float, float]


def note(env: Environment, env_ids: torch.Tensor, name: str, values: torch.Tensor) -> None:
    """Keep what was drawn [n, d] for the environments ``env_ids`` [n] in ``env.drawn``."""
    if name not in env.drawn:
        env.drawn[name] = torch.zeros(env.num_envs, values.shape[-1], device=env.device)
    env.drawn[name][env_ids] = values.to(env.drawn[name])


def nominal(env: Environment, name: str) -> torch.Tensor:
    """The values of a field of the scene's model as the robot's description has them."""
    return torch.as_tensor(getattr(env.scene.model, name).copy())


def write_rows(
    env: Environment, env_ids: torch.Tensor, name: str, where: torch.Tensor, new: torch.Tensor
) -> None:
    """Put ``new`` [n, K, ...] into the rows ``where`` [K] of a field of some environments."""
    values = env.engine.model_field(name)
    ids, rows = env_ids.to(values.device)[:, None], where.to(values.device)
    values[ids, rows] = new.to(values)
    env.engine.write_model_field(name, values)


def body_indices(env: Environment, names: Sequence[str]) -> torch.Tensor:
    """Indices of bodies in the scene's model; all of the robot's where none is named.

    Raises:
        MimicError: the robot has no body of such a name.
    """
    for name in names:
        if name not in env.robot.body_names:
            raise MimicError(
                f"robot '{env.robot.name}' has no body '{name}'; known: "
                f"{', '.join(env.robot.body_names)}"
            )
    return torch.tensor([env.scene.model.body(n).id for n in names or env.robot.body_names])


def geoms_of(env: Environment, bodies: torch.Tensor) -> torch.Tensor:
    """[G] indices of the geoms of bodies [K]."""
    return torch.isin(nominal(env, "geom_bodyid"), bodies).nonzero().squeeze(-1)


def draw_friction(
    env: Environment, env_ids: torch.Tensor, geoms: torch.Tensor, friction: Range
) -> None:
    """Draw one sliding friction coefficient of each environment for the geoms [G]."""
    drawn = env.uniform((len(env_ids), 1), *friction)
    values = env.engine.model_field("geom_friction")
    ids = env_ids.to(values.device)[:, None]
    values[ids, geoms.to(values.device), 0] = drawn.to(values)
    env.engine.write_model_field("geom_friction", values)
    own = float(env.scene.model.geom_friction[int(geoms[0]), 0])
    note(env, env_ids, "foot_friction", drawn - own)


def draw_centre_of_mass(
    env: Environment, env_ids: torch.Tensor, body: str, offset: Range3, name: str
) -> None:
    """Shift a body's centre of mass by up to +-``offset`` (m) along each axis; note it as ``name``.

    Raises:
        MimicError: the robot has no such body.
    """
    chosen = body_indices(env, (body,))
    shift = env.uniform((len(env_ids), 3), -1.0, 1.0) * torch.tensor(offset, device=env.device)
    own = nominal(env, "body_ipos")[chosen].to(shift.device)
    write_rows(env, env_ids, "body_ipos", chosen, own + shift[:, None])
    note(env, env_ids, name, shift)
