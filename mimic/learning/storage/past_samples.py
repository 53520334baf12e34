"""A bounded memory of samples from earlier iterations, which a discriminator must not forget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class PastSamples:
    """The newest ``capacity`` rows that were put in, in half precision on the device.

    Once it is full, only ``few`` rows of each further batch go in, drawn at random, so that it
    reaches far back (MimicKit's rule). It takes memory as it fills.
    """

    def __init__(self, capacity: int, few: int, device: str) -> None:
        self.capacity, self.few, self.device = capacity, few, device
        self._rows: torch.Tensor | None = None
        self._next = 0

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def add(self, rows: torch.Tensor) -> None:
        """Take rows [n, D]; what they replace is forgotten."""
        if self.capacity == 0:
            return
        rows = rows.to(self.device, torch.float16)
        room = self.capacity - len(self)
        wanted = min(len(rows), max(room, min(self.few, self.capacity)))
        if wanted < len(rows):
            rows = rows[torch.randperm(len(rows), device=rows.device)[:wanted]]
        fresh, rest = rows[:room], rows[room:]
        if len(fresh):
            self._rows = fresh if self._rows is None else torch.cat([self._rows, fresh])
        if len(rest):
            assert self._rows is not None
            places = (self._next + torch.arange(len(rest), device=rows.device)) % self.capacity
            self._rows[places] = rest
            self._next = (self._next + len(rest)) % self.capacity

    def sample(self, count: int) -> torch.Tensor:
        """Rows [count, D] drawn with replacement; [0, D] or [0] of an empty memory."""
        if self._rows is None:
            return torch.zeros(0, device=self.device)
        drawn = torch.randint(len(self._rows), (count,), device=self._rows.device)
        return self._rows[drawn].float()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows, "next": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        rows = state["rows"]
        self._rows = None if rows is None else rows.to(self.device, torch.float16, copy=True)
        self._next = state["next"]
