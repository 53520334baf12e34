"""ADD: adversarial differential discriminator (Zhang et al. 2025, arXiv 2505.04961).

Tracking without kernels that somebody has set by hand. A discriminator sees what the reference does
minus what the robot does at the same time, and has one positive sample, the zero vector:

    Delta = phi(reference) - phi(robot),   x = Delta / max(mean |Delta|, 1e-4)
    L_D = (BCE(D(x), 0) + BCE(D(0), 1)) / 2
          + w_gp / 2 (E |dD/dx(x)|^2 + |dD/dx(0)|^2) + w_logit |W_logit|^2
    r = -2 log(max(1 - sigmoid(D(x)), 1e-4))

As the robot grows better, its differences grow smaller and the discriminator has to look closer: it
weighs the errors of all quantities against each other by itself. phi is
``mimic.envs.mdp.motion_frames.in_frame_of``; the observation group is ``difference``, which any
task with a motion command can have. The gradient penalty at both sides and the numbers are
MimicKit's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch

from mimic.envs.commands import MotionCommandConfig
from mimic.envs.mdp.motion_frames import motion_difference
from mimic.envs.terms import ObservationTerm
from mimic.learning.adversarial import AdversarialPPO
from mimic.learning.adversary import Adversary
from mimic.learning.modules.discriminator import (
    DifferenceDiscriminator,
    confusion_climbed,
    confusion_reward,
    cross_entropy,
    gradient_penalty,
    told_apart,
)
from mimic.learning.prior_config import ADDConfig, DiscriminatorNumbers
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


class ADDAdversary(Adversary):
    """ADD's discriminator."""

    config: DiscriminatorNumbers
    group: ClassVar[str] = "difference"

    @classmethod
    def groups_of(
        cls, config: DiscriminatorNumbers, task: TaskConfig
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        """The differences that the discriminator looks at, unless the task has its own.

        Raises:
            MimicError: the task tracks no clip.
        """
        if cls.group in task.observations:
            return {cls.group: task.observations[cls.group]}
        tracked = [n for n, each in task.commands.items() if isinstance(each, MotionCommandConfig)]
        if not tracked:
            raise MimicError(
                f"--algorithm add compares the robot with a reference, and task '{task.task}' "
                "tracks none; use it with a tracking task, or --algorithm amp"
            )
        term = ObservationTerm(function=motion_difference, parameters={"command": tracked[0]})
        return {cls.group: {"motion_difference": term}}

    def network_of(self, size: int) -> DifferenceDiscriminator:
        return DifferenceDiscriminator(size, self.config.discriminator_hidden)

    def demonstrated(self, count: int) -> torch.Tensor:
        """The only difference [1, D] that is right: none."""
        return torch.zeros(1, self.spec.sizes[self.group], device=self.device)

    def learn_scale(self, windows: torch.Tensor) -> None:
        mean = self.ranks.average(windows.abs().mean(0))
        self.network.learn_mean(mean, len(windows))  # type: ignore[attr-defined]

    def loss_of(
        self, robot: torch.Tensor, demonstrated: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        c, network = self.config, self.network
        of_robot, of_zero = network(robot), network(demonstrated)
        penalty = gradient_penalty(network, robot) + gradient_penalty(network, demonstrated)
        loss = cross_entropy(of_robot, of_zero) + 0.5 * c.gradient_penalty * penalty
        loss = loss + c.logit_penalty * network.logit.weight.square().sum()
        return loss, {
            "style/told_apart": told_apart(of_robot, of_zero),
            "style/slope": penalty.detach(),
        }

    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        return self.config.reward_scale * confusion_reward(self.logits(windows))

    def climbed(self, windows: torch.Tensor) -> torch.Tensor:
        return confusion_climbed(self.logits(windows))


class ADD(AdversarialPPO):
    """See the module."""

    Config = ADDConfig
    config: ADDConfig
    Judge = ADDAdversary
    group = "difference"
