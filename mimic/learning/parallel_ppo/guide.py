"""A teacher beside a rollout, and the distance from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(eq=False)
class Guide:
    """A teacher beside a rollout of T steps: ``weight`` times the distance from it is part of the
    loss."""

    kind: Literal["kl", "mse"]
    """``kl``: the divergence ``KL(student || teacher)`` of the two distributions; ``mse``: the mean
    square of the difference of their means."""
    weight: float
    """Factor of the distance."""
    actions: torch.Tensor
    """[T, N, A] what the teacher would have done in the states of the rollout."""
    choice: torch.Tensor
    """[T, N] which teacher it was."""
    stds: torch.Tensor
    """[K, A] standard deviation of each teacher's actions."""


def gaussian_kl(
    mean: torch.Tensor, std: torch.Tensor, other: torch.Tensor, other_std: torch.Tensor
) -> torch.Tensor:
    """[B] ``KL(N(mean, std) || N(other, other_std))`` of Gaussians [B, A] with independent
    components: ``sum_a log(s'/s) + (s^2 + (m - m')^2) / (2 s'^2) - 1/2``."""
    moved = (std.square() + (mean - other).square()) / (2.0 * other_std.square())
    return (torch.log(other_std / std) + moved - 0.5).sum(-1)
