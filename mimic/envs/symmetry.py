"""Left-right reflection of observations and actions, for symmetric training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mimic.envs.observation import Table, mirror_rule, side_by_side
from mimic_base.errors import MimicError
from robots.symmetry import MirrorMap, mirror_map

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True)
class Reflection:
    """``reflected = sign * values[..., index]``; its own inverse."""

    index: torch.Tensor  # [D]
    sign: torch.Tensor  # [D]

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Reflect values [..., D]."""
        return values[..., self.index] * self.sign


def reflections(env: Environment) -> dict[str, Reflection]:
    """Reflections of each observation group of ``env``, and of ``actions``.

    A history is reflected value by value.

    Raises:
        MimicError: a term has no known reflection. RobotError: the robot is not symmetric.
    """
    robot = mirror_map(env.robot)
    keys = _key_bodies(env, robot)
    tables: dict[str, Table] = {
        "actions": side_by_side([term.mirror(robot) for term in env.action_terms.values()])
    }
    for group, terms in env.cfg.observations.items():
        parts: list[Table] = []
        entries = env.observing.entries[group]
        for (name, term), entry in zip(terms.items(), entries, strict=True):
            rule = mirror_rule(term.function)
            if rule is None:
                raise MimicError(
                    f"observation '{name}' has no left-right reflection; train without symmetry, "
                    "or declare it with mimic.envs.observation.observable"
                )
            parts += [_in_blocks(name, rule(robot, keys), entry.size)] * term.history
        tables[group] = side_by_side(parts)
    return {
        name: Reflection(
            torch.tensor(index, device=env.device), torch.tensor(sign, device=env.device)
        )
        for name, (index, sign) in tables.items()
    }


def _in_blocks(name: str, table: Table, size: int) -> Table:
    """The table of an observation of ``size`` columns from that of a block of it."""
    count, rest = divmod(size, len(table[0]))
    if rest or not count:
        raise MimicError(
            f"observation '{name}' has {size} columns, its left-right reflection {len(table[0])}; "
            "train without symmetry, or correct its rule"
        )
    return table if count == 1 else side_by_side([table] * count)


def _key_bodies(env: Environment, robot: MirrorMap) -> list[int]:
    """For each key body the place of its partner among the key bodies."""
    names = list(env.robot.body_names)
    own = [names.index(name) for name in env.robot.key_bodies]
    try:
        return [own.index(int(robot.body_index[body])) for body in own]
    except ValueError as error:
        raise MimicError(
            f"{env.robot.name}: the key bodies are not the same left and right"
        ) from error
