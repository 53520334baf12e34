"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class WeightAverage:
    """Average of a module's parameters; its buffers (normalisers) are taken as they are.

    The first updates weigh more, so that the initial weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present parameters."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, parameter in module.named_parameters():
            self.weights[name].lerp_(parameter, 1.0 - decay)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "weights": dict(self.weights)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        weights = state["weights"]
        assert isinstance(weights, Mapping)
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        for name, value in weights.items():
            self.weights[name].copy_(value)
