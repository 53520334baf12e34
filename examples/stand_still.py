"""An algorithm of one's own: learns to answer every observation with an action of zero.

Used by 10_train_a_task.py; by hand, from this folder:
mimic train tracking --motion walk.npz --algorithm stand_still:StandStill
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from tensordict import TensorDict
from torch import nn

from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import Transition
from mimic.learning.distributed import Ranks


@dataclass(frozen=True, kw_only=True)
class StandStillConfig:
    """Numbers of ``StandStill``; every one is an option of `mimic train`."""

    learning_rate: float = 1e-3
    """Of Adam."""
    noise: float = 0.1
    """Standard deviation of the exploring actions."""


class StandStill:
    """The runner owns loop, ranks, console, checkpoints; an algorithm only what is below."""

    Config: ClassVar[type] = StandStillConfig
    steps: int = 8

    def __init__(self, spec: EnvSpec, config: StandStillConfig, device: str) -> None:
        self.network = nn.Linear(spec.sizes["actor"], spec.num_actions).to(device)
        nn.init.zeros_(self.network.weight)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.noise = config.noise
        self.seen: list[torch.Tensor] = []

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        return cls(spec, config, device)

    def act(self, obs: TensorDict) -> torch.Tensor:
        mean = self.network(obs["actor"])
        return mean + self.noise * torch.randn_like(mean)

    def observe(self, transition: Transition) -> None:
        self.seen.append(transition.following_obs("actor"))

    def update(self) -> dict[str, float]:
        loss = self.network(torch.cat(self.seen)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seen.clear()
        return {"loss/action": loss.item()}

    def policy(self) -> nn.Module:
        return copy.deepcopy(self.network).cpu()

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
