"""Muon (Jordan et al. 2024): momentum whose singular values are made equal, for weight matrices.

torch's own works in bfloat16, which a CPU multiplies slowly; this one stays in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic ``a s + b s^3 + c s^5``, which drives singular values s in (0, 1] to about one."""


def orthogonalised(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """A matrix of the same singular vectors whose singular values are about one (0.7 to 1.2).

    Newton and Schulz's iteration: ``X <- a X + (b A + c A A) X`` with ``A = X X^T``.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-12)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; an update's entries are as large as Adam's, 0.2 lr.

    Args:
        params: matrices.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, steps: int = 5
    ) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            momentum = group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1.0 - momentum)
                direction = orthogonalised(
                    weight.grad.lerp(state["momentum"], momentum), group["steps"]
                )
                weight.add_(direction, alpha=-group["lr"] * 0.2 * math.sqrt(max(weight.shape)))
