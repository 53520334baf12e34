"""How long the stages of a loop take, and whether its deadlines hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

MOST = 200_000
"""Durations that are kept of each stage: an hour at 50 Hz."""


class StageTimes:
    """Durations of the stages of a loop, s.

    Attributes:
        steps: that have begun. last, most: of each stage, the newest duration and the longest.
    """

    def __init__(self, stages: Sequence[str], clock: Callable[[], float]) -> None:
        self.stages, self._clock = tuple(stages), clock
        self._kept: dict[str, deque[float]] = {name: deque(maxlen=MOST) for name in self.stages}
        self._at = 0.0
        self.steps = 0
        self._columns = {name: column for column, name in enumerate(self.stages)}
        self.last, self.most = [0.0] * len(self.stages), [0.0] * len(self.stages)

    def begin(self) -> None:
        """A step of the loop begins."""
        self._at = self._clock()
        self.steps += 1

    def end(self, stage: str) -> None:
        """A stage of it has ended; the next one begins."""
        now = self._clock()
        self.add(stage, now - self._at)
        self._at = now

    def add(self, stage: str, seconds: float) -> None:
        """A duration that was measured elsewhere."""
        self._kept[stage].append(seconds)
        column = self._columns[stage]
        self.last[column] = seconds
        self.most[column] = max(self.most[column], seconds)

    def table(self) -> list[tuple[str, int, float, float, float]]:
        """Stage, number, and milliseconds at the median, at 99 % and at most."""
        rows = []
        for name in self.stages:
            values = 1e3 * np.asarray(self._kept[name])
            if len(values):
                p50, p99 = np.percentile(values, [50, 99])
                rows.append((name, len(values), float(p50), float(p99), float(values.max())))
        return rows

    def lines(self) -> list[str]:
        """The table for a console."""
        head = f"{'stage':10} {'steps':>7} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"
        return [head] + [
            f"{name:10} {count:7d} {p50:8.3f} {p99:8.3f} {most:8.3f}"
            for name, count, p50, p99, most in self.table()
        ]


class Deadlines:
    """Absolute deadlines: step ``n`` is due ``n`` periods after the first, whatever came between.

    A step that ends after the next one's time is an overrun; times that have passed meanwhile are
    left out, so that a late loop does not hurry after itself.
    """

    def __init__(self, period: float, clock: Callable[[], float], sleep: Callable[[float], None]):
        self.period, self._clock, self._sleep = period, clock, sleep
        self._due: float | None = None
        self._late: deque[bool] = deque(maxlen=50)
        self.missed = 0

    @property
    def overruns(self) -> int:
        """Overruns among the last 50 steps."""
        return sum(self._late)

    def wait(self) -> float:
        """Sleep until the next step is due; by how much it is late already, s."""
        now = self._clock()
        if self._due is None:
            self._due = now
            return 0.0
        self._due += self.period
        late = now > self._due
        self._late.append(late)
        if late:
            skipped = int((now - self._due) / self.period)
            self._due += skipped * self.period
            self.missed += 1
        else:
            self._sleep(self._due - now)
        return max(0.0, self._clock() - self._due)
