"""Critics that learn the distribution of returns on fixed atoms (C51; Bellemare et al. 2017,
arXiv 1707.06887), two side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rsl_rl.utils import resolve_nn_activation
from torch import nn


def layered(
    inputs: int, hidden: Sequence[int], outputs: int, activation: str, layer_norm: bool
) -> nn.Sequential:
    """An MLP, [..., inputs] -> [..., outputs], with layer normalisation before each activation."""
    layers: list[nn.Module] = []
    sizes = [inputs, *hidden]
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers.append(nn.Linear(before, after))
        if layer_norm:
            layers.append(nn.LayerNorm(after))
        layers.append(resolve_nn_activation(activation))
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


class CriticPair(nn.Module):
    """Two networks of state and action whose outputs are the logits of K atoms.

    Untrained they expect about nothing, in every state and of every action: logits are
    ``-(z / width)^2 / 2`` with a twentieth of the range as width. Uniform atoms would promise the
    middle of the range, and an actor would follow what is left of that promise until the critics
    have forgotten it.
    """

    atoms: torch.Tensor

    def __init__(
        self, inputs: int, hidden: Sequence[int], activation: str, layer_norm: bool,
        values: tuple[float, float], count: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.networks = nn.ModuleList(
            layered(inputs, hidden, count, activation, layer_norm) for _ in range(2)
        )
        self.register_buffer("atoms", torch.linspace(values[0], values[1], count))
        width = (values[1] - values[0]) / 20.0
        for network in self.networks:
            last = list(network.children())[-1]
            assert isinstance(last, nn.Linear)
            with torch.no_grad():
                last.weight.mul_(0.1)
                last.bias.copy_(-0.5 * (self.atoms / width).square())

    def forward(self, state: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Logits [2, B, K] of states [B, D], normalised, and actions [B, A]."""
        inputs = torch.cat([state, actions], -1)
        return torch.stack([network(inputs) for network in self.networks])

    def values(self, logits: torch.Tensor) -> torch.Tensor:
        """[..., B] the expected returns of logits [..., B, K]."""
        return (torch.softmax(logits, -1) * self.atoms).sum(-1)


def projected(
    probabilities: torch.Tensor, rewards: torch.Tensor, discount: torch.Tensor, atoms: torch.Tensor
) -> torch.Tensor:
    """[B, K] the distribution of ``r + discount Z``, put back onto the atoms of Z.

    The mass of an atom that falls between two others is shared by them in inverse proportion to
    its distances, which keeps mass and mean; what falls beyond the outermost is put onto those.

    Args:
        probabilities: [B, K] of Z. rewards, discount: [B]. atoms: [K], evenly spaced.
    """
    count, step = len(atoms), atoms[1] - atoms[0]
    moved = (rewards[:, None] + discount[:, None] * atoms).clamp(atoms[0], atoms[-1])
    place = ((moved - atoms[0]) / step).clamp(0, count - 1)
    lower = place.floor().long()
    upper = (lower + 1).clamp_max(count - 1)
    share = place - lower
    found = torch.zeros_like(probabilities)
    found.scatter_add_(1, lower, probabilities * (1.0 - share))
    found.scatter_add_(1, upper, probabilities * share)
    return found


def of_both(probabilities: torch.Tensor, atoms: torch.Tensor, clipped_double: bool) -> torch.Tensor:
    """[B, K] one distribution of two critics' [2, B, K].

    Args:
        clipped_double: that of the smaller mean (Fujimoto et al. 2018, arXiv 1802.09477), which
            does not overestimate; else the mixture of both.
    """
    if not clipped_double:
        return probabilities.mean(0)
    first, second = (probabilities * atoms).sum(-1)
    return torch.where((first < second)[:, None], probabilities[0], probabilities[1])
