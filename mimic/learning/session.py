"""Small helpers of the training loop: stopping on request, pace, means of the log."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from mimic.learning.console import TrainingConsole


@dataclass
class Stop:
    requested: bool = False


@contextmanager
def stop_requests(console: TrainingConsole) -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one ends the process at once."""
    stop = Stop()
    previous: dict[int, Any] = {}

    def request(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        for each, handler in previous.items():
            signal.signal(each, handler)
        console.say("stopping after this iteration; once more ends at once, without saving")

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, request)
    except ValueError:
        # Not the main thread: whoever runs us there handles signals.
        previous.clear()
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class MeanLog:
    """Mean of each entry of the environment's log over the steps that had it."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def add(self, log: Mapping[str, Any]) -> None:
        for name, value in log.items():
            # Tensors are added up where they are; the device is asked once, at the end.
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self) -> dict[str, float]:
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}


class Pace:
    """Remaining time from a smoothed duration of an iteration."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def eta(self, seconds: float, left: int) -> float:
        """Seconds left after an iteration of ``seconds`` with ``left`` iterations to go."""
        mean = self._seconds
        self._seconds = seconds if mean is None else 0.9 * mean + 0.1 * seconds
        return self._seconds * left
