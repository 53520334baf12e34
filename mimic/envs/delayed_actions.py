"""Actions that reach the motors some control steps late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mimic.envs.actions import Action, ActionConfig
from mimic.envs.observation import Table
from mimic_base.errors import MimicError
from robots.symmetry import MirrorMap

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True, kw_only=True)
class DelayedActionConfig(ActionConfig):
    """Another action term whose columns are applied late.

    At a restart every environment draws its delay, and its first action stands in for those before
    it.
    """

    action: ActionConfig
    """What is delayed."""
    delay: tuple[int, int] = (0, 0)
    """Fewest and most control steps."""

    def __post_init__(self) -> None:
        least, most = self.delay
        if not 0 <= least <= most:
            raise MimicError(
                f"a delay of actions must be a range of control steps such as (0, 2), got "
                f"{self.delay}"
            )

    def build(self, env: Environment) -> DelayedAction:
        return DelayedAction(self, env)


class DelayedAction(Action):
    """See ``DelayedActionConfig``."""

    def __init__(self, config: DelayedActionConfig, env: Environment) -> None:
        self._env = env
        self._inner = config.action.build(env)
        self.size, self.offset, self.scale = (
            self._inner.size, self._inner.offset, self._inner.scale
        )  # fmt: skip
        self.delay = config.delay
        self._past = torch.zeros(env.num_envs, self.delay[1] + 1, self.size, device=env.device)
        self.latency = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)

    def apply(self, actions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        begun = self._env.episode_length_buf == 0
        least, most = self.delay
        if bool(begun.any()):
            drawn = self._env.uniform((len(actions),), float(least), float(most + 1)).long()
            self.latency = torch.where(begun, drawn.clamp_max(most), self.latency)
        past = torch.cat([self._past[:, 1:], actions[:, None]], 1)
        self._past = torch.where(begun[:, None, None], actions[:, None], past)
        rows = torch.arange(len(actions), device=actions.device)
        return self._inner.apply(self._past[rows, most - self.latency], targets)

    def mirror(self, robot: MirrorMap) -> Table:
        return self._inner.mirror(robot)
