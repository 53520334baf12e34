"""What an observation term remembers: filter, delay and history of its values."""

from __future__ import annotations

import math

import torch

from mimic.envs.terms import ObservationTerm


def filter_gain(cutoff: float, control_dt: float) -> float:
    """Share of a new value that a first-order low-pass filter takes in a control step.

    ``y += gain (x - y)`` with ``gain = 1 - exp(-2 pi cutoff dt)``; a cut-off of 0 filters nothing.
    """
    return 1.0 if cutoff <= 0 else 1.0 - math.exp(-2.0 * math.pi * cutoff * control_dt)


class TermMemory:
    """The last values of one term in every environment.

    Args:
        size: width d of a single value.
        generator: draws the delays.
    """

    def __init__(
        self,
        term: ObservationTerm,
        size: int,
        num_envs: int,
        control_dt: float,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self.history = term.history
        self.delay = term.delay
        self.gain = filter_gain(term.filter, control_dt)
        self._generator = generator
        # One more than is shown, so that the newest value can be computed again.
        length = term.history + term.delay[1] + 1
        self._values = torch.zeros(num_envs, length, size, device=device)
        self._fresh = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._begun: torch.Tensor | None = None
        self.latency = torch.zeros(num_envs, dtype=torch.long, device=device)
        """[N] control steps by which each environment's values are late."""
        self._offsets = torch.arange(term.history, device=device) - term.history
        self._draw(torch.arange(num_envs, device=device))

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget what the environments ``env_ids`` [n] have seen, and draw their delays."""
        self._fresh[env_ids] = True
        if self._begun is not None:
            self._begun[env_ids] = False
        self._draw(env_ids)

    @property
    def length(self) -> int:
        """Values that are kept, L."""
        return self._values.shape[1]

    def begin(self, env_ids: torch.Tensor, past: torch.Tensor) -> None:
        """Have episodes of the environments ``env_ids`` [n] begin with a past [n, L, d] of L
        values, the oldest first; the one that is seen next follows the last of them."""
        if self._begun is None:
            self._begun = torch.zeros_like(self._fresh)
        self._values = self._values.index_copy(0, env_ids, past)
        self._fresh[env_ids] = False
        self._begun[env_ids] = True

    def take(self, other: TermMemory) -> None:
        """Remember what another environment's memory of the same term does."""
        device = self._values.device
        self._values = other._values.to(device, copy=True)
        self._fresh = other._fresh.to(device, copy=True)
        self._begun = None if other._begun is None else other._begun.to(device, copy=True)
        self.latency = other.latency.to(device, copy=True)

    def see(self, values: torch.Tensor, *, again: bool = False) -> torch.Tensor:
        """Take the values [N, d] of a control step; return what is observed, [N, history d].

        Args:
            again: the values replace those of the same control step instead of following them.
        """
        if again:
            before = self._values if self._begun is None else self._values.clone()
            self._values[:, -1] = self._filtered(self._values[:, -2], values)
            if self._begun is not None:
                # An episode that has only a past so far goes on, whoever asks first.
                newest = self._filtered(before[:, -1], values)
                ahead = torch.cat([before[:, 1:], newest[:, None]], 1)
                self._values = torch.where(self._begun[:, None, None], ahead, self._values)
        else:
            newest = self._filtered(self._values[:, -1], values)
            self._values = torch.cat([self._values[:, 1:], newest[:, None]], 1)
        # Without a question to the device: where nothing is fresh nothing changes.
        self._values = torch.where(self._fresh[:, None, None], values[:, None], self._values)
        self._fresh = torch.zeros_like(self._fresh)
        if self._begun is not None:
            self._begun = torch.zeros_like(self._begun)
        return self._shown(self._values, self.latency)

    def would_see(self, env_ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """What ``see`` would return for the environments ``env_ids`` [n]; nothing is kept."""
        kept = self._values[env_ids]
        newest = self._filtered(kept[:, -1], values)
        shifted = torch.cat([kept[:, 1:], newest[:, None]], 1)
        return self._shown(shifted, self.latency[env_ids])

    def _filtered(self, before: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return values if self.gain == 1.0 else before + self.gain * (values - before)

    def _shown(self, values: torch.Tensor, latency: torch.Tensor) -> torch.Tensor:
        if self.delay[1] == 0:
            return values[:, -self.history :].flatten(1)
        places = values.shape[1] + self._offsets - latency[:, None]
        return values.gather(1, places[..., None].expand(-1, -1, values.shape[2])).flatten(1)

    def _draw(self, env_ids: torch.Tensor) -> None:
        least, most = self.delay
        if most > least:
            self.latency[env_ids] = torch.randint(
                least, most + 1, (len(env_ids),), generator=self._generator,
                device=self.latency.device,
            )  # fmt: skip
        else:
            self.latency[env_ids] = least
