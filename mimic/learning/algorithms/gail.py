"""GAIL: generative adversarial imitation learning (Ho and Ermon 2016, arXiv 1606.03476).

A discriminator learns by cross entropy alone, without gradient penalty and without memory of
earlier iterations, and the policy is rewarded for what it takes for the demonstrations':

    L_D = (BCE(D(robot), 0) + BCE(D(clips), 1)) / 2,   r = -log(1 - sigmoid(D))

It sees either what a control step makes of a state, D(s, s') (GAIfO, Torabi et al. 2018,
arXiv 1807.06158), or, as published, a state and the action taken in it, D(s, a). Clips hold no
actions: there the action stands in that asks for the joint positions of the next frame. States are
``mimic.envs.features.motion_frame`` of two control steps, the observation group ``transition``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from mimic.envs.features import JOINTS_FROM
from mimic.envs.mdp.motion_frames import motion_frame
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.adversarial import AdversarialPPO
from mimic.learning.adversary import Adversary
from mimic.learning.algorithm import Transition
from mimic.learning.modules.discriminator import (
    confusion_reward,
    cross_entropy,
    gradient_penalty,
    told_apart,
)
from mimic.learning.prior_config import GAILConfig

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


class GAILAdversary(Adversary):
    """GAIL's discriminator."""

    config: GAILConfig
    group = "transition"

    @classmethod
    def groups_of(
        cls, config: GAILConfig, task: TaskConfig
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        """Two control steps of what the robot does."""
        return {cls.group: {"motion_frame": ObservationTerm(function=motion_frame, history=2)}}

    def demonstrated(self, count: int) -> torch.Tensor:
        """(s, s') or (s, a) of the clips, [count, D]."""
        pair = super().demonstrated(count)
        if self.config.sees == "transition":
            return pair
        before, after = pair.chunk(2, -1)
        wanted = after[:, JOINTS_FROM : JOINTS_FROM + self.spec.num_actions]
        zero, scale = pair.new_tensor(self.spec.default_joint_pos), self.spec.action_scale
        return torch.cat([before, (wanted - zero) / pair.new_tensor(scale)], -1)

    def loss_of(
        self, robot: torch.Tensor, demonstrated: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        c, network = self.config, self.network
        of_robot, of_clips = network(robot), network(demonstrated)
        loss = cross_entropy(of_robot, of_clips)
        if c.gradient_penalty > 0:
            loss = loss + 0.5 * c.gradient_penalty * gradient_penalty(network, demonstrated)
        return loss, {"style/told_apart": told_apart(of_robot, of_clips)}

    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        return self.config.reward_scale * confusion_reward(self.logits(windows))


class GAIL(AdversarialPPO):
    """See the module."""

    Config = GAILConfig
    config: GAILConfig
    Judge = GAILAdversary
    group = "transition"

    @classmethod
    def window_size(cls, spec: EnvSpec, config: GAILConfig) -> int:
        size = spec.sizes.get(cls.group, 0)
        return size if config.sees == "transition" else size // 2 + spec.num_actions

    def windows_of(self, transition: Transition) -> torch.Tensor:
        """(s, s') or (s, a) of every environment."""
        pair = transition.following_obs(self.group)
        if self.config.sees == "transition":
            return pair
        return torch.cat([pair[:, : pair.shape[1] // 2], transition.actions], -1)
