"""A gradient step that several processes share, refused before it could spoil a weight."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from mimic.learning.algorithm import NonFiniteError
from mimic.learning.distributed import Ranks


def clip_and_step(
    name: str,
    parameters: Iterable[nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    ranks: Ranks,
    most: float,
) -> float:
    """Average gradients over the ranks, clip their norm to ``most``, and step; the norm.

    Raises:
        NonFiniteError: the gradient of what is called ``name`` is not finite.
    """
    parameters = list(parameters)
    ranks.average_gradients(parameters)
    norm = float(nn.utils.clip_grad_norm_(parameters, most))
    if not math.isfinite(norm):
        raise NonFiniteError(f"the gradient of the {name} is not finite")
    for optimizer in optimizers:
        optimizer.step()
    return norm
