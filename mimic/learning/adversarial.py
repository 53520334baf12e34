"""A motion prior that learns beside the policy: a discriminator, and how it is trained.

Before PPO's update it is trained on the windows of the rollout, on some of earlier ones, and on
what is demonstrated. What a method is lies in its own file: which observations the discriminator
looks at, its loss and its reward.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Self

import torch
from torch import nn

from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import NonFiniteError, Transition
from mimic.learning.distributed import Ranks
from mimic.learning.modules.discriminator import Discriminator
from mimic.learning.motion_prior import MotionPriorPPO
from mimic.learning.prior_config import DiscriminatorConfig
from mimic.learning.storage.past_samples import PastSamples

SCALED = 2048
"""Windows of each side that the normaliser takes in an iteration."""


class AdversarialPPO(MotionPriorPPO):
    """See the module. Derived classes say ``group``, ``loss_of`` and ``reward_of``."""

    Config = DiscriminatorConfig
    config: DiscriminatorConfig
    discriminator: Discriminator
    discriminator_optimizer: torch.optim.Optimizer
    past: PastSamples
    _scaled: bool

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """As PPO's, with a discriminator."""
        found = super().build(spec, config, device, ranks)
        found._scaled = False
        size = found.window_size(spec, config) if found.judges else 1
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

    def network(self, size: int) -> Discriminator:
        """The discriminator of windows [B, size]."""
        return Discriminator(size, self.config.discriminator_hidden)

    @abstractmethod
    def loss_of(
        self, robot: torch.Tensor, demonstrated: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The discriminator's loss on normalised windows [B, D], [B', D], and figures of it."""

    def shaped(self, transition: Transition, windows: torch.Tensor) -> Transition:
        if not self._scaled:
            # Without this the first rollout would be rewarded by raw windows.
            self._learn_scale(windows)
            self._scaled = True
        return super().shaped(transition, windows)

    def update(self) -> dict[str, float]:
        """Train the discriminator, then the policy, on the recorded steps.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        windows = torch.cat(self._seen)
        figures = self._train(windows)
        self._learn_scale(windows)
        self.past.add(windows)
        return {**super().update(), **figures}

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
        network = self.discriminator
        for robot, demonstrated in self._batches(windows):
            loss, figures = self.loss_of(
                network.normalised(robot), network.normalised(demonstrated)
            )
            self._descend(network, self.discriminator_optimizer, loss)
            for name, value in {"loss/discriminator": loss, **figures}.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
            steps += 1
        means = torch.stack(list(sums.values())) / steps
        return dict(zip(sums, self.ranks.average(means).tolist(), strict=True))

    def _descend(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor
    ) -> None:
        """One step down a loss, the same on all ranks.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        parameters = list(network.parameters())
        optimizer.zero_grad()
        loss.backward()
        self.ranks.average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        if not bool(torch.isfinite(norm)):
            raise NonFiniteError(f"the discriminator's loss is not finite ({float(loss):.3g})")
        optimizer.step()

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
        if self.judges:
            self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
            self.past.load_state_dict(state["past"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        if self.judges:
            self.discriminator.load_state_dict(state["discriminator"])
            self._scaled = True
