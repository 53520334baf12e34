"""A discriminator of motion, and how it is trained: what learns beside a policy to judge it.

Before the policy's update it is trained on the newest windows, on some of earlier ones, and on what
is demonstrated. Whoever trains a policy by it holds one (``mimic.learning.adversarial``,
``mimic.learning.world_model.motion_prior``). What a method is lies in its own file: which
observations the discriminator looks at, its loss and its reward.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from mimic.envs.demonstrations import Demonstrations
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.algorithm import NonFiniteError
from mimic.learning.distributed import Ranks
from mimic.learning.modules.discriminator import Discriminator
from mimic.learning.storage.past_samples import PastSamples

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig

SCALED = 2048
"""Windows of each side that the normaliser takes in an iteration."""


class Adversary(ABC):
    """See the module. Derived classes say ``group``, ``loss_of`` and ``reward_of``.

    Args:
        config: has the numbers of ``mimic.learning.prior_config.DiscriminatorNumbers``, and
            ``max_grad_norm``.
        size: columns of a window.

    Attributes:
        network: the discriminator. past: windows of earlier iterations.
    """

    group: ClassVar[str]
    """Observations that are judged."""

    def __init__(
        self, spec: EnvSpec, config: Any, size: int, device: torch.device | str, ranks: Ranks
    ) -> None:
        self.spec, self.config, self.device, self.ranks = spec, config, str(device), ranks
        self.network = self.network_of(size).to(device)
        ranks.same_start([self.network])
        # Who climbs its reward needs no gradient of its weights.
        self.network.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            config.discriminator_learning_rate,
            weight_decay=config.discriminator_decay,
        )
        self.past = PastSamples(config.remembered, config.remembered_per_iteration, self.device)
        self._scaled = False
        self._demonstrations: Demonstrations | None = None

    # what a method is --------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def groups_of(cls, config: Any, task: TaskConfig) -> dict[str, Mapping[str, ObservationTerm]]:
        """The observation group ``group`` as the method looks at it.

        Raises:
            MimicError: the task has no such thing.
        """

    def network_of(self, size: int) -> Discriminator:
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
        """[N] what windows [N, D] are worth, as published."""

    def climbed(self, windows: torch.Tensor) -> torch.Tensor:
        """[N] the same for who follows its gradient: about 1 at most, and nowhere flat that is not
        yet good."""
        raise NotImplementedError(f"{type(self).__name__} is not climbed by its gradient")

    # training ----------------------------------------------------------------------------------

    def logits(self, windows: torch.Tensor) -> torch.Tensor:
        """[N] of windows [N, D]."""
        return self.network(self.network.normalised(windows))

    def learn_first_scale(self, windows: torch.Tensor) -> None:
        """Without this the first windows would be judged raw."""
        if not self._scaled:
            self.learn_scale(windows)
            self._scaled = True

    def learn_scale(self, windows: torch.Tensor) -> None:
        """Take windows [n, D] of the robot, and as many demonstrated ones, into the normaliser."""
        # As many of each side, so that neither is the middle.
        count = min(len(windows), SCALED)
        rows = torch.randint(len(windows), (count,), device=windows.device)
        self.network.learn_scale(torch.cat([windows[rows], self.demonstrated(count)]))

    def learn(self, windows: torch.Tensor) -> dict[str, float]:
        """Train on the newest windows [n, D], then remember them; figures of it.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        self.network.requires_grad_(True)
        figures = self._train(windows)
        self.network.requires_grad_(False)
        self.learn_scale(windows)
        self.past.add(windows)
        return figures

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
        network = self.network
        for robot, demonstrated in self._batches(windows):
            loss, figures = self.loss_of(
                self._noisy(network.normalised(robot)),
                self._noisy(network.normalised(demonstrated)),
            )
            self.descend(network, self.optimizer, loss)
            for name, value in {"loss/discriminator": loss, **figures}.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
            steps += 1
        means = torch.stack(list(sums.values())) / steps
        return dict(zip(sums, self.ranks.average(means).tolist(), strict=True))

    def _noisy(self, seen: torch.Tensor) -> torch.Tensor:
        width = self.config.discriminator_noise
        return seen + width * torch.randn_like(seen) if width else seen

    def descend(
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

    # state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "discriminator": self.network.state_dict(),
            "discriminator_optimizer": self.optimizer.state_dict(),
            "past": self.past.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``, whose further entries are not looked at."""
        self.load_networks(state)
        self.optimizer.load_state_dict(state["discriminator_optimizer"])
        self.past.load_state_dict(state["past"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take the discriminator with its normaliser."""
        self.network.load_state_dict(state["discriminator"])
        self._scaled = True
