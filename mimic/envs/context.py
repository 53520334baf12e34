"""What was drawn for each environment, as a model of the robot may be told it.

Domain randomisation is no secret in simulation: a model of the robot that is told which friction,
which centre of mass and which joint zeros an environment has need not average over them. A real
robot tells none of it; where it is not known, the mean of what was seen is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mimic.envs.terms import ObservationTerm
from mimic.sim.errors import CannotVaryError

CONTEXT_GROUP = "context"
"""Name of the observation group that tells a model what was drawn."""


def foot_friction(env: Any) -> torch.Tensor:
    """Sliding friction coefficient of the feet, [N, 1]."""
    model = env.scene.model
    foot = model.body(env.robot.feet[0]).id
    geom = next(g for g in range(model.ngeom) if int(model.geom_bodyid[g]) == foot)
    try:
        return env.engine.model_field("geom_friction")[:, geom, :1].float()
    except CannotVaryError:
        nominal = float(model.geom_friction[geom, 0])
        return torch.full((env.num_envs, 1), nominal, device=env.device)


def anchor_com(env: Any) -> torch.Tensor:
    """Shift of the anchor body's centre of mass from its place in the model, [N, 3] m."""
    body = env.scene.model.body(env.robot.anchor_body).id
    nominal = torch.as_tensor(env.scene.model.body_ipos[body].copy()).float().to(env.device)
    try:
        return env.engine.model_field("body_ipos")[:, body].float() - nominal
    except CannotVaryError:
        return torch.zeros(env.num_envs, 3, device=env.device)


def joint_zeros(env: Any) -> torch.Tensor:
    """Shift of the joints' zeros, [N, J] rad."""
    return env.default_joint_pos_of_env - env.default_joint_pos


CONTEXT_TERMS: Mapping[str, ObservationTerm] = {
    "foot_friction": ObservationTerm(function=foot_friction),
    "anchor_com": ObservationTerm(function=anchor_com),
    "joint_zeros": ObservationTerm(function=joint_zeros),
}
"""The group ``CONTEXT_GROUP``: what the events of the tracking tasks draw, [N, 4 + J]."""
