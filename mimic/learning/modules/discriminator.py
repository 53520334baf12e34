"""Discriminators of motion: the network, and their losses as pure functions.

The logit ``D(x)`` is large where ``x`` looks like a demonstration. Everything that is shown to a
network is normalised by a running mean and standard deviation that both sides have fed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from rsl_rl.modules import EmpiricalNormalization
from torch import nn
from torch.nn import functional

LEAST = 1e-4
"""Least probability of being told apart, in rewards: they stay finite."""


class Discriminator(nn.Module):
    """``D = MLP((x - mean) / std)``, rectified linear units, one output.

    Args:
        size: columns of ``x``. hidden: widths of the hidden layers.
    """

    def __init__(self, size: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.normalizer: Any = EmpiricalNormalization(size)
        self.normalizer.eval()
        self.trunk = rectifier(size, hidden)
        self.logit = nn.Linear(hidden[-1], 1)

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        """What the network sees of ``x`` [B, D]."""
        return self.normalizer(x)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Logits [B] of normalised inputs [B, D]."""
        return self.logit(self.trunk(seen)).squeeze(-1)

    def learn_scale(self, x: torch.Tensor) -> None:
        """Take inputs [B, D] into the running mean and standard deviation."""
        buffers = dict(self.normalizer.named_buffers())
        self.normalizer.train()
        self.normalizer.update(x)
        self.normalizer.eval()
        # Some are replaced rather than written to; what is recorded reads the old ones.
        for name, buffer in buffers.items():
            new = getattr(self.normalizer, name)
            if new is not buffer:
                setattr(self.normalizer, name, buffer.copy_(new))


class UnitDiscriminator(Discriminator):
    """``D = MLP((x - middle) / unit)``: in fixed units, about the middle of what was seen first.

    Args:
        unit: [D] what counts as one in each column.
    """

    middle: torch.Tensor
    unit: torch.Tensor
    count: torch.Tensor

    def __init__(self, size: int, hidden: Sequence[int], unit: torch.Tensor) -> None:
        super().__init__(size, hidden)
        self.normalizer = None
        self.register_buffer("middle", torch.zeros(size))
        self.register_buffer("unit", unit.clone())
        self.register_buffer("count", torch.zeros(()))

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.middle) / self.unit

    def learn_scale(self, x: torch.Tensor) -> None:
        if not bool(self.count):
            self.middle.copy_(x.mean(0))
        self.count += len(x)


class DifferenceDiscriminator(Discriminator):
    """``D = MLP(x / max(mean |x|, 1e-4))``: of differences, whose zero stays zero."""

    mean: torch.Tensor
    count: torch.Tensor

    def __init__(self, size: int, hidden: Sequence[int]) -> None:
        super().__init__(size, hidden)
        self.normalizer = None
        self.register_buffer("mean", torch.ones(size))
        self.register_buffer("count", torch.zeros(()))

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.mean.clamp_min(LEAST)

    def learn_mean(self, mean: torch.Tensor, count: int) -> None:
        """Take the mean absolute values [D] of ``count`` inputs into the running ones."""
        self.count += count
        self.mean += (mean - self.mean) * (count / self.count)

    def learn_scale(self, x: torch.Tensor) -> None:
        self.learn_mean(x.abs().mean(0), len(x))


def rectifier(size: int, hidden: Sequence[int]) -> nn.Sequential:
    """Linear layers with rectified linear units after each."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(size, width), nn.ReLU()]
        size = width
    return nn.Sequential(*layers)


# losses ----------------------------------------------------------------------------------------


def cross_entropy(robot: torch.Tensor, demonstrated: torch.Tensor) -> torch.Tensor:
    """``(BCE(D(robot), 0) + BCE(D(demonstrated), 1)) / 2`` of logits [B], [B']."""
    false = functional.binary_cross_entropy_with_logits(robot, torch.zeros_like(robot))
    true = functional.binary_cross_entropy_with_logits(demonstrated, torch.ones_like(demonstrated))
    return 0.5 * (false + true)


def least_squares(robot: torch.Tensor, demonstrated: torch.Tensor) -> torch.Tensor:
    """``(E (D(robot) + 1)^2 + E (D(demonstrated) - 1)^2) / 2`` (AMP, equation 7)."""
    return 0.5 * ((robot + 1.0).square().mean() + (demonstrated - 1.0).square().mean())


def gradient_penalty(network: nn.Module, seen: torch.Tensor) -> torch.Tensor:
    """``E |d D / d x|^2`` at inputs [B, D], itself differentiable."""
    at = seen.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(network(at).sum(), at, create_graph=True)
    return slope.square().sum(-1).mean()


def told_apart(robot: torch.Tensor, demonstrated: torch.Tensor, edge: float = 0.0) -> torch.Tensor:
    """Share of both that the discriminator takes for what they are: one half is a coin's."""
    return 0.5 * ((robot < edge).float().mean() + (demonstrated > edge).float().mean())


# rewards ---------------------------------------------------------------------------------------


def confusion_reward(logits: torch.Tensor) -> torch.Tensor:
    """``-log(1 - sigmoid(D))``, at most ``-log(1e-4)``: of a discriminator with cross entropy."""
    return -torch.log((1.0 - torch.sigmoid(logits)).clamp_min(LEAST))


def least_squares_reward(logits: torch.Tensor) -> torch.Tensor:
    """``max(0, 1 - (D - 1)^2 / 4)`` (AMP, equation 8)."""
    return (1.0 - 0.25 * (logits - 1.0).square()).clamp_min(0.0)


# the same for who follows their gradient ---------------------------------------------------------


def confusion_climbed(logits: torch.Tensor) -> torch.Tensor:
    """``-log(1 - sigmoid(D)) / log 4``: a half where the discriminator cannot tell, 1 at most."""
    return functional.softplus(logits).div(math.log(4.0)).clamp_max(1.0)


def least_squares_climbed(logits: torch.Tensor) -> torch.Tensor:
    """``1 - (D - 1)^2 / 4``, and the line that goes on from it, ``1 + D``, below ``D = -1``; 1
    above ``D = 1``."""
    far = logits.clamp_max(1.0)
    return torch.where(far < -1.0, far + 1.0, 1.0 - 0.25 * (far - 1.0).square())
