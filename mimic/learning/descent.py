"""A gradient step as all of our own algorithms take it: averaged over ranks, clipped, checked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mimic.learning.algorithm import NonFiniteError
from mimic.learning.distributed import Ranks


def gradient_step(
    loss: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    ranks: Ranks,
    max_norm: float,
    what: str,
) -> float:
    """Take a step down ``loss`` (a scalar) and return its mean over the ranks.

    Args:
        parameters: those that ``optimizer`` moves. max_norm: largest norm of their gradient.
        what: the loss's name, for the refusal.

    Raises:
        NonFiniteError: before a weight could be spoilt.
    """
    optimizer.zero_grad()
    loss.backward()
    ranks.average_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    value = float(ranks.average(loss.detach()[None]))
    if not bool(torch.isfinite(norm)):
        raise NonFiniteError(f"the {what} is not finite ({value:.3g})")
    optimizer.step()
    return value
