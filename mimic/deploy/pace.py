"""Time that goes slower than the computer's, for simulated robots on slow computers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from mimic_base.errors import RobotError


@dataclass(frozen=True)
class Pace:
    """A clock that runs ``pace`` times as fast as the computer's."""

    pace: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pace) and 0 < self.pace <= 1):
            raise RobotError(f"pace is a share of real time, over 0 to 1 (found {self.pace})")

    def now(self) -> float:
        """s, monotonic; the same in every process of the computer."""
        return time.monotonic() * self.pace

    def sleep(self, seconds: float) -> None:
        """Wait for so many of its own seconds."""
        if seconds > 0:
            time.sleep(seconds / self.pace)
