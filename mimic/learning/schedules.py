"""How numbers of a training change as it goes on, and a gate that opens when a critic is good."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


def cosine(start: float, end: float, share: float) -> float:
    """From ``start`` to ``end`` along half a cosine.

    ``end + (start - end) (1 + cos(pi share)) / 2``, always from the initial value.

    Args:
        share: of the way, 0 to 1; more is 1.
    """
    done = min(1.0, max(0.0, share))
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * done))


def ramp(done: float, begin: float, length: float) -> float:
    """0 up to ``begin``, 1 from ``begin + length`` on, straight between; a step for length 0."""
    if length <= 0:
        return float(done >= begin)
    return min(1.0, max(0.0, (done - begin) / length))


def explained_variance(values: torch.Tensor, returns: torch.Tensor) -> float:
    """``1 - Var(returns - values) / Var(returns)``: 1 where a critic knows all, 0 where a constant
    would do as well, negative where it does harm; 0 where returns do not vary."""
    spread = returns.var(correction=0)
    if float(spread) <= 0.0:
        return 0.0
    return float(1.0 - (returns - values).var(correction=0) / spread)


@dataclass
class CriticGate:
    """Opens for good once a critic's explained variance, averaged over updates, is high enough.

    Attributes:
        threshold: it has to be reached by the moving average,
        patience: in so many updates, one after the other.
        decay: share of the average that stays from one update to the next.
        average: the moving average; None before the first update.
        good: updates in a row that have reached the threshold.
        opened_at: the update at which it opened; None while it is shut.
    """

    threshold: float
    patience: int
    decay: float = 0.9
    average: float | None = None
    good: int = 0
    opened_at: int | None = None

    def see(self, value: float, update: int, *, ready: bool = True) -> None:
        """Take in the explained variance of an update.

        Args:
            ready: whether it may count towards opening yet.
        """
        kept = self.decay
        self.average = value if self.average is None else kept * self.average + (1 - kept) * value
        self.good = self.good + 1 if ready and self.average >= self.threshold else 0
        if self.opened_at is None and self.good >= self.patience:
            self.opened_at = update

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "good": self.good, "opened_at": self.opened_at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.average, self.good = state["average"], state["good"]
        self.opened_at = state["opened_at"]
