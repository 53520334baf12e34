"""A further loss of the policy, on the samples of a minibatch."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from mimic.learning.parallel_ppo.rollout import Rollout


class Regulariser(Protocol):
    """``weight`` times what it gives is part of PPO's loss; several threads ask it at once."""

    name: str
    """In the log, as ``loss/NAME``."""
    weight: float
    """Factor of the loss."""

    def __call__(
        self, actor: nn.Module, rollout: Rollout, part: slice, mean: torch.Tensor
    ) -> torch.Tensor | Any:
        """The mean loss over the samples ``part`` of a rollout.

        Args:
            actor: the network, from normalised observations to mean actions; what
                ``rollout.skip`` adds comes after it.
            mean: [b, A] the mean actions of these samples.
        """
        ...
