"""AMP: adversarial motion priors (Peng et al. 2021, arXiv 2104.02180).

A discriminator learns to tell windows of the robot's motion from windows of the clips, and the
policy is rewarded for windows that it takes for the clips':

    r = w_task r_task + w_style r_style

With cross entropy, as in the authors' MimicKit:

    L_D = (BCE(D(robot), 0) + BCE(D(clips), 1)) / 2
          + w_gp / 2 (E |dD/dx(clips)|^2 + E |dD/dx(robot)|^2) + w_logit |W_logit|^2
    r_style = -2 log(max(1 - sigmoid(D), 1e-4))

With least squares, as published (equations 7 and 8):

    L_D = (E (D(clips) - 1)^2 + E (D(robot) + 1)^2) / 2 + w_gp / 2 E |dD/dx(clips)|^2
    r_style = max(0, 1 - (D - 1)^2 / 4)

Half of the robot's windows in a batch are remembered from earlier iterations. A window is a few
frames of height, tilt, velocities, joints and key bodies, without place and heading
(``mimic.envs.features.motion_frame``): the observation group ``style``, which any task with clips
can have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch

from mimic.envs.mdp.motion_frames import motion_frame
from mimic.envs.terms import ObservationTerm
from mimic.learning.adversarial import AdversarialPPO
from mimic.learning.adversary import Adversary
from mimic.learning.modules.discriminator import (
    Discriminator,
    UnitDiscriminator,
    confusion_climbed,
    confusion_reward,
    cross_entropy,
    gradient_penalty,
    least_squares,
    least_squares_climbed,
    least_squares_reward,
    told_apart,
)
from mimic.learning.modules.motion_units import unit_of_windows
from mimic.learning.prior_config import AMPConfig, AMPNumbers

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


class AMPAdversary(Adversary):
    """AMP's discriminator."""

    config: AMPNumbers
    group: ClassVar[str] = "style"

    @classmethod
    def groups_of(
        cls, config: AMPNumbers, task: TaskConfig
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        """The windows that the discriminator looks at, unless the task has its own."""
        term = ObservationTerm(function=motion_frame, history=config.frames)
        return {cls.group: task.observations.get(cls.group, {"motion_frame": term})}

    def network_of(self, size: int) -> Discriminator:
        entries = self.spec.observations.get(self.group)
        if self.config.scale == "units" and entries is not None:
            unit = unit_of_windows(entries, self.spec.num_actions)
            if unit is not None:
                return UnitDiscriminator(size, self.config.discriminator_hidden, unit)
        return super().network_of(size)

    def learn_scale(self, windows: torch.Tensor) -> None:
        super().learn_scale(windows)
        if isinstance(self.network, UnitDiscriminator):
            # Each rank has seen robots of its own.
            self.network.middle.copy_(self.ranks.average(self.network.middle.clone()))

    def loss_of(
        self, robot: torch.Tensor, demonstrated: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        c, network = self.config, self.network
        of_robot, of_clips = network(robot), network(demonstrated)
        penalty = gradient_penalty(network, demonstrated)
        if c.loss == "least-squares":
            loss = least_squares(of_robot, of_clips)
        else:
            loss = cross_entropy(of_robot, of_clips)
        if c.loss == "cross-entropy" or c.penalise == "both":
            penalty = penalty + gradient_penalty(network, robot)
        loss = loss + 0.5 * c.gradient_penalty * penalty
        loss = loss + c.logit_penalty * network.logit.weight.square().sum()
        return loss, {
            "style/told_apart": told_apart(of_robot, of_clips),
            "style/slope": penalty.detach(),
        }

    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        if self.config.loss == "least-squares":
            return least_squares_reward(self.logits(windows))
        return self.config.reward_scale * confusion_reward(self.logits(windows))

    def climbed(self, windows: torch.Tensor) -> torch.Tensor:
        if self.config.loss == "least-squares":
            return least_squares_climbed(self.logits(windows))
        return confusion_climbed(self.logits(windows))


class AMP(AdversarialPPO):
    """See the module."""

    Config = AMPConfig
    config: AMPConfig
    Judge = AMPAdversary
    group = "style"
