"""PPO with a motion prior that learns beside the policy: a discriminator.

It is trained before PPO's update; see ``mimic.learning.adversary``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.adversary import Adversary
from mimic.learning.algorithm import Transition
from mimic.learning.distributed import Ranks
from mimic.learning.modules.discriminator import Discriminator
from mimic.learning.motion_prior import MotionPriorPPO
from mimic.learning.prior_config import DiscriminatorConfig

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


class AdversarialPPO(MotionPriorPPO):
    """See the module. Derived classes say by whom they are judged."""

    Config = DiscriminatorConfig
    config: DiscriminatorConfig
    Judge: ClassVar[type[Adversary]]
    adversary: Adversary

    @classmethod
    def groups_of(
        cls, config: Any, task: TaskConfig, robot: Any
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        """What the discriminator looks at.

        Raises:
            MimicError: the task has no such thing.
        """
        return cls.Judge.groups_of(config, task)

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """As PPO's, with a discriminator."""
        found = super().build(spec, config, device, ranks)
        size = found.window_size(spec, config) if found.judges else 1
        found.adversary = cls.Judge(spec, config, size, device, ranks)
        return found

    @property
    def discriminator(self) -> Discriminator:
        """The network that judges."""
        return self.adversary.network

    def demonstrated(self, count: int) -> torch.Tensor:
        return self.adversary.demonstrated(count)

    @torch.no_grad()
    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        return self.adversary.reward_of(windows)

    def shaped(self, transition: Transition, windows: torch.Tensor) -> Transition:
        self.adversary.learn_first_scale(windows)
        return super().shaped(transition, windows)

    def update(self) -> dict[str, float]:
        """Train the discriminator, then the policy, on the recorded steps.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        figures = self.adversary.learn(torch.cat(self._seen))
        return {**super().update(), **figures}

    # state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self.adversary.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.judges:
            self.adversary.load_state_dict(state)

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        if self.judges:
            self.adversary.load_networks(state)
