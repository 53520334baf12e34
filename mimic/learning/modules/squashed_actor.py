"""An actor whose network can move the action by a limited reach only."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from rsl_rl.modules import EmpiricalNormalization
from torch import nn

from mimic.learning.modules.distributional import layered


class SquashedActor(nn.Module):
    """``a = skip(obs) + reach tanh(mu(obs))``, with ``skip(obs) = (obs[:, :J] - offset) * gain``.

    The skip is the action that asks for the commanded pose, as in ``FeedthroughActor``; 0 without
    feedthrough. What is learnt stays within ``reach`` of it: critics that are asked about actions
    far from those in memory do not answer sensibly.

    Args:
        spread: whether the network also says the logarithm of the standard deviation of what is
            squashed.
    """

    command_offset: torch.Tensor
    command_gain: torch.Tensor

    def __init__(
        self, inputs: int, hidden: Sequence[int], num_actions: int, activation: str, *,
        layer_norm: bool, normalise: bool, reach: float, spread: bool,
        feedthrough: tuple[Sequence[float], Sequence[float]] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_actions, self.reach, self.spread = num_actions, reach, spread
        self.obs_normalizer = EmpiricalNormalization(inputs) if normalise else nn.Identity()
        outputs = num_actions * (2 if spread else 1)
        self.mlp = layered(inputs, hidden, outputs, activation, layer_norm)
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        # An untrained policy asks for the commanded pose.
        nn.init.orthogonal_(last.weight, gain=0.01)
        nn.init.zeros_(last.bias)
        offset, gain = feedthrough or ([], [])
        self.register_buffer("command_offset", torch.tensor(offset).float())
        self.register_buffer("command_gain", torch.tensor(gain).float())

    def skip(self, obs: torch.Tensor) -> torch.Tensor:
        """[N, A], or a zero that can be added to it."""
        if not len(self.command_offset):
            return obs.new_zeros(1, 1)
        return (obs[..., : len(self.command_offset)] - self.command_offset) * self.command_gain

    def heads(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Before squashing: mean [N, A], and what the network says of the spread [N, A or 0]."""
        found = self.mlp(self.obs_normalizer(obs))
        return found[..., : self.num_actions], found[..., self.num_actions :]

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """The deterministic actions [N, A]."""
        return self.skip(obs) + self.reach * torch.tanh(self.heads(obs)[0])

    def normalise(self, obs: torch.Tensor) -> None:
        """Take observations [n, D] into the normaliser."""
        if isinstance(self.obs_normalizer, EmpiricalNormalization):
            self.obs_normalizer.update(obs)

    def plain(self) -> SquashedActor:
        """A copy on the CPU that can be exported."""
        return copy.deepcopy(self).cpu().eval()
