"""PPO whose reward comes, in part or wholly, from a discriminator that learns beside it.

What every method of this family shares: the discriminator's windows are kept through a rollout;
its reward is added to the task's at each step (it does not learn meanwhile, so that this is the
same as rewarding the whole rollout); before PPO's update it is trained on the windows of the
rollout, on some of earlier ones, and on what is demonstrated. What a method is lies in its own
file: which observations it looks at, its loss and its reward.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

import torch
from torch import nn

from mimic.envs.demonstrations import Demonstrations
from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import NonFiniteError, Transition
from mimic.learning.algorithms.ppo import PPO
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.modules.discriminator import Discriminator
from mimic.learning.prior_config import DiscriminatorConfig
from mimic.learning.storage.past_samples import PastSamples

SCALED = 2048
"""Windows of each side that the normaliser takes in an iteration."""


class AdversarialPPO(PPO):
    """See the module. Derived classes say ``group``, ``loss_of`` and ``reward_of``."""

    Config = DiscriminatorConfig
    takes_actor_of = frozenset({"ppo", "ppo-kl", "dagger", "supervised-then-rl", "world-model"})
    config: DiscriminatorConfig
    group = "style"
    """Observations that the discriminator looks at."""
    discriminator: Discriminator
    discriminator_optimizer: torch.optim.Optimizer
    past: PastSamples
    spec: EnvSpec
    ranks: Ranks = SINGLE

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """As PPO's, with a discriminator.

        Raises:
            MimicError: as PPO's.
        """
        found = super().build(spec, config, device, ranks)
        found.spec, found.ranks, found.device = spec, ranks, device
        found._demonstrations = None
        found._seen, found._rewards, found._scaled = [], [], False
        # Where only the policy is wanted, windows may not be computed.
        size = found.window_size(spec, config) if cls.group in spec.sizes else 1
        found.discriminator = found.network(size).to(device)
        ranks.same_start([found.discriminator])
        c = config
        found.discriminator_optimizer = torch.optim.AdamW(
            found.discriminator.parameters(),
            c.discriminator_learning_rate,
            weight_decay=c.discriminator_decay,
        )
        found.past = PastSamples(c.remembered, c.remembered_per_iteration, device)
        return found

    device: str
    _demonstrations: Demonstrations | None
    _seen: list[torch.Tensor]
    _rewards: list[torch.Tensor]
    _scaled: bool

    # what a method is ------------------------------------------------------------------------

    @classmethod
    def window_size(cls, spec: EnvSpec, config: Any) -> int:
        """Columns of a window."""
        return spec.sizes[cls.group]

    def windows_of(self, transition: Transition) -> torch.Tensor:
        """The windows [N, D] that a control step has led to."""
        return transition.following_obs(self.group)

    def network(self, size: int) -> Discriminator:
        """The discriminator of windows [B, size]."""
        return Discriminator(size, self.config.discriminator_hidden)

    def demonstrated(self, count: int) -> torch.Tensor:
        """Windows [count, D] of what shall be imitated."""
        if self._demonstrations is None:
            self._demonstrations = self.spec.demonstrations(self.group)
        return self._demonstrations.sample(count).to(self.device)

    @abstractmethod
    def loss_of(
        self, robot: torch.Tensor, demonstrated: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The discriminator's loss on normalised windows [B, D], [B', D], and figures of it."""

    @abstractmethod
    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        """[N] what windows [N, D] are worth."""

    # the algorithm ---------------------------------------------------------------------------

    def observe(self, transition: Transition) -> None:
        """Record a control step with ``r = w_task r_task + w_style r_style dt``."""
        c = self.config
        windows = self.windows_of(transition)
        if not self._scaled:
            # Without this the first rollout would be rewarded by raw windows.
            self._learn_scale(windows)
            self._scaled = True
        style = self.reward_of(windows)
        self._seen.append(windows)
        self._rewards.append(style.mean())
        # A control step of it, as the rewards of the task are summed.
        rewards = c.task_weight * transition.rewards
        rewards = rewards + c.style_weight * self.spec.control_dt * style
        super().observe(dataclasses.replace(transition, rewards=rewards))

    def update(self) -> dict[str, float]:
        """Train the discriminator, then the policy, on the recorded steps.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        windows = torch.cat(self._seen)
        style = float(torch.stack(self._rewards).mean())
        figures = self._train(windows)
        self._learn_scale(windows)
        self.past.add(windows)
        self._seen, self._rewards = [], []
        return {**super().update(), **figures, "style/reward": style}

    def _learn_scale(self, windows: torch.Tensor) -> None:
        # As many of each side, so that neither is the middle.
        count = min(len(windows), SCALED)
        rows = torch.randint(len(windows), (count,), device=windows.device)
        self.discriminator.learn_scale(torch.cat([windows[rows], self.demonstrated(count)]))

    def _batches(self, windows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The robot's windows, half of them remembered ones where there are any, and as many that
        are demonstrated."""
        c = self.config
        for _ in range(c.discriminator_epochs):
            order = torch.randperm(len(windows), device=windows.device)
            for rows in order.split(c.discriminator_batch)[: c.discriminator_batches]:
                robot = windows[rows]
                if len(self.past):
                    robot = torch.cat([robot, self.past.sample(len(rows))])
                yield robot, self.demonstrated(len(rows))

    def _train(self, windows: torch.Tensor) -> dict[str, float]:
        sums: dict[str, torch.Tensor] = {}
        steps = 0
        network, optimizer = self.discriminator, self.discriminator_optimizer
        parameters = [each for each in network.parameters() if each.requires_grad]
        for robot, demonstrated in self._batches(windows):
            loss, figures = self.loss_of(
                network.normalised(robot), network.normalised(demonstrated)
            )
            optimizer.zero_grad()
            loss.backward()
            self.ranks.average_gradients(parameters)
            norm = nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
            if not bool(torch.isfinite(norm)):
                raise NonFiniteError(f"the discriminator's loss is not finite ({float(loss):.3g})")
            optimizer.step()
            figures = {"loss/discriminator": loss, **figures}
            for name, value in figures.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
            steps += 1
        means = torch.stack(list(sums.values())) / steps
        return dict(zip(sums, self.ranks.average(means).tolist(), strict=True))

    # state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "past": self.past.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.group in self.spec.sizes:
            self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
            self.past.load_state_dict(state["past"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        if self.group in self.spec.sizes:
            self.discriminator.load_state_dict(state["discriminator"])
            self._scaled = True
