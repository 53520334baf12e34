"""Left-right reflection of observations and actions, for symmetric training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mimic.envs.mdp import observations
from mimic_base.errors import MimicError
from robots.symmetry import MirrorMap, mirror_map

if TYPE_CHECKING:
    from mimic.envs.env import TrackingEnv

_POLAR = (1.0, -1.0, 1.0)
_AXIAL = (-1.0, 1.0, -1.0)
# R -> S R S with S = diag(1, -1, 1), first two columns, row by row.
_TWO_COLUMNS = (1.0, -1.0, -1.0, 1.0, 1.0, -1.0)

Table = tuple[list[int], list[float]]


@dataclass(frozen=True)
class Reflection:
    """``reflected = sign * values[..., index]``; its own inverse."""

    index: torch.Tensor  # [D]
    sign: torch.Tensor  # [D]

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Reflect values [..., D]."""
        return values[..., self.index] * self.sign


def reflections(env: TrackingEnv) -> dict[str, Reflection]:
    """Reflections of each observation group of ``env``, and of ``actions``.

    Raises:
        MimicError: a term has no known reflection. RobotError: the robot is not symmetric.
    """
    robot = mirror_map(env.robot)
    tables: dict[str, Table] = {"actions": _joints(robot, 1)}
    keys = _key_bodies(env, robot)
    for group, terms in env.cfg.observations.items():
        index: list[int] = []
        sign: list[float] = []
        for name, term in terms.items():
            rule = _RULES.get(term.function)
            if rule is None:
                raise MimicError(
                    f"observation '{name}' has no left-right reflection; train without symmetry"
                )
            offset = len(index)
            columns, signs = rule(robot, keys)
            index += [offset + column for column in columns]
            sign += signs
        tables[group] = (index, sign)
    return {
        name: Reflection(
            torch.tensor(index, device=env.device), torch.tensor(sign, device=env.device)
        )
        for name, (index, sign) in tables.items()
    }


def _key_bodies(env: TrackingEnv, robot: MirrorMap) -> list[int]:
    """For each key body the place of its partner among the key bodies."""
    names = list(env.robot.body_names)
    own = [names.index(name) for name in env.robot.key_bodies]
    try:
        return [own.index(int(robot.body_index[body])) for body in own]
    except ValueError as error:
        raise MimicError(
            f"{env.robot.name}: the key bodies are not the same left and right"
        ) from error


def _joints(robot: MirrorMap, repeats: int) -> Table:
    count = len(robot.joint_index)
    index = np.concatenate([robot.joint_index + block * count for block in range(repeats)])
    return index.tolist(), np.tile(robot.joint_sign, repeats).tolist()


def _blocks(pairs: list[int], signs: tuple[float, ...]) -> Table:
    width = len(signs)
    index = [pair * width + column for pair in pairs for column in range(width)]
    return index, list(signs) * len(pairs)


_Rule = Callable[[MirrorMap, list[int]], Table]
_RULES: Mapping[Callable[..., torch.Tensor], _Rule] = {
    observations.command: lambda robot, keys: _joints(robot, 2),
    observations.joint_pos: lambda robot, keys: _joints(robot, 1),
    observations.joint_vel: lambda robot, keys: _joints(robot, 1),
    observations.actions: lambda robot, keys: _joints(robot, 1),
    observations.motion_anchor_pos_b: lambda robot, keys: _blocks([0], _POLAR),
    observations.base_lin_vel: lambda robot, keys: _blocks([0], _POLAR),
    observations.base_ang_vel: lambda robot, keys: _blocks([0], _AXIAL),
    observations.motion_anchor_ori_b: lambda robot, keys: _blocks([0], _TWO_COLUMNS),
    observations.body_pos_b: lambda robot, keys: _blocks(keys, _POLAR),
    observations.body_ori_b: lambda robot, keys: _blocks(keys, _TWO_COLUMNS),
}
