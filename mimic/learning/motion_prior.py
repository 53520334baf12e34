"""PPO that is rewarded for how a robot moves, in part or wholly, by what has learnt from clips.

What every method of this family shares: the windows of motion that a control step leads to, what
is demonstrated, and a reward ``r = w_task r_task + w_style r_style``. It is added as each
transition is taken in: nothing that rewards learns during a rollout, so that this is the same as
rewarding the whole rollout afterwards.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, Self

import torch

from mimic.envs.demonstrations import Demonstrations
from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import Transition
from mimic.learning.algorithms.ppo import PPO
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.prior_config import PriorConfig


class MotionPriorPPO(PPO):
    """See the module. Derived classes say ``group`` and ``reward_of``."""

    Config = PriorConfig
    takes_actor_of = frozenset({"ppo", "ppo-kl", "dagger", "supervised-then-rl", "world-model"})
    config: PriorConfig
    group = "style"
    """Observations that are judged."""
    spec: EnvSpec
    ranks: Ranks = SINGLE
    device: str
    _demonstrations: Demonstrations | None
    _seen: list[torch.Tensor]
    _rewards: list[torch.Tensor]

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """As PPO's.

        Raises:
            MimicError: as PPO's.
        """
        found = super().build(spec, config, device, ranks)
        found.spec, found.ranks, found.device = spec, ranks, device
        found._demonstrations = None
        found._seen, found._rewards = [], []
        return found

    @property
    def judges(self) -> bool:
        """Whether windows are there; where only the policy is wanted, they may not be."""
        return self.group in self.spec.sizes

    @classmethod
    def window_size(cls, spec: EnvSpec, config: Any) -> int:
        """Columns of a window."""
        return spec.sizes[cls.group]

    def windows_of(self, transition: Transition) -> torch.Tensor:
        """The windows [N, D] that a control step has led to."""
        return transition.following_obs(self.group)

    def demonstrated(self, count: int) -> torch.Tensor:
        """Windows [count, D] of what shall be imitated."""
        if self._demonstrations is None:
            self._demonstrations = self.spec.demonstrations(self.group)
        return self._demonstrations.sample(count).to(self.device)

    @abstractmethod
    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        """[N] what windows [N, D] are worth."""

    def shaped(self, transition: Transition, windows: torch.Tensor) -> Transition:
        """The transition as PPO learns from it: with both rewards."""
        c = self.config
        style = self.reward_of(windows)
        self._rewards.append(style.mean())
        # Over a control step, as the rewards of the task are summed.
        rewards = c.task_weight * transition.rewards
        rewards = rewards + c.style_weight * self.spec.control_dt * style
        return dataclasses.replace(transition, rewards=rewards)

    def observe(self, transition: Transition) -> None:
        windows = self.windows_of(transition)
        self._seen.append(windows)
        super().observe(self.shaped(transition, windows))

    def update(self) -> dict[str, float]:
        """Train the policy on the recorded steps, and forget their windows."""
        style = float(torch.stack(self._rewards).mean())
        self._seen, self._rewards = [], []
        return {**super().update(), "style/reward": style}
