"""A mixture of experts: several networks side by side, and one that weighs them.

``y = sum_e g_e(x) f_e(x)`` with ``g = softmax(h(x))`` (Jacobs et al. 1991; for motion tracking GMT,
arXiv 2506.14770). Every expert sees every observation and learns in proportion to its weight; no
balance is enforced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from rsl_rl.utils import resolve_nn_activation
from torch import nn

from mimic.learning.networks import Shape, check_between


@dataclass(frozen=True)
class MixtureOptions:
    """Numbers of ``Mixture``."""

    experts: int = 4
    """Networks side by side, each of the configuration's hidden widths."""
    gate: int = 64
    """Width of the hidden layer of the network that weighs them."""

    def __post_init__(self) -> None:
        check_between(self, experts=(1, 64), gate=(1, 4096))


class Experts(nn.Module):
    """A linear layer for each of E experts: [E | 1, N, I] -> [E, N, O]."""

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        # As nn.Linear begins.
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(experts, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(experts, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x, self.weight) + self.bias


class Mixture(nn.Module):
    """See the module. Attributes: ``experts`` of all layers, ``gate`` [N, D] -> [N, E] logits."""

    Options = MixtureOptions

    def __init__(self, shape: Shape, options: MixtureOptions) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = shape.inputs
        for hidden in shape.hidden:
            layers += [Experts(options.experts, width, hidden)]
            layers += [resolve_nn_activation(shape.activation)]
            width = hidden
        self.gate = nn.Sequential(
            nn.Linear(shape.inputs, options.gate),
            resolve_nn_activation(shape.activation),
            nn.Linear(options.gate, options.experts),
        )
        self.experts = nn.Sequential(*layers, Experts(options.experts, width, shape.outputs))

    @classmethod
    def build(cls, shape: Shape, options: MixtureOptions) -> Mixture:
        return cls(shape, options)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """[N, E] how much each expert counts; each row adds up to 1."""
        return torch.softmax(self.gate(x), -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = self.experts(x.unsqueeze(0))
        return (given * self.weights(x).T.unsqueeze(-1)).sum(0)

    def scale_output(self, gain: float) -> None:
        """Let every expert's last layer begin orthogonal with a gain, without bias."""
        last = self.experts[-1]
        assert isinstance(last, Experts)
        for matrix in last.weight.data:
            nn.init.orthogonal_(matrix, gain=gain)
        nn.init.zeros_(last.bias)
