"""The critic of imagined rollouts: what a state is worth, in [0, 1] of the most there is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mimic.envs.features import gravity_in


class Value(nn.Module):
    """An MLP with layer normalisation; inputs [..., D] -> values [...] within [-0.2, 1].

    Values are of ``(1 - gamma) sum gamma^t r_t / r_max``, so that 1 is perfect for ever.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        sizes = [inputs, *hidden]
        for before, after in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.SiLU()]
        last = nn.Linear(sizes[-1], 1)
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.fill_(0.3)
        self.net = nn.Sequential(*layers, last)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        normal = ((inputs - self.mean) / self.std).clamp(-8, 8)
        return self.net(normal).squeeze(-1).clamp(-0.2, 1.0)

    @torch.no_grad()
    def fit_scales(self, inputs: torch.Tensor, share: float = 1.0) -> None:
        """Move the normaliser by ``share`` towards the mean and spread of inputs [B, D]."""
        self.mean.lerp_(inputs.mean(0), share)
        self.std.lerp_(inputs.std(0).clamp_min(0.05), share)


def state_values_input(observations: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """[..., D + 4] what the critic sees: the actor's observations without noise [..., D], base
    height (m) and gravity in the base's frame, from states [..., S]."""
    return torch.cat([observations, state[..., 2:3], gravity_in(state[..., 3:7])], -1)
