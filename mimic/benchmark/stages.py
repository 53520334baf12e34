"""Where a control step's time goes: wall time of the environment's own parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from mimic.envs.environment import Environment

STAGES: Mapping[str, tuple[str, ...]] = {
    "physics": ("advance",),
    "kinematics": ("engine",),
    "reference": ("commands",),
    "terminations": ("terminations",),
    "rewards": ("rewards",),
    "observations": ("observations", "observation_terms", "final_observations"),
    "resets": ("resets",),
    "events": ("events",),
    "log": ("log",),
}
"""Stages of ``Environment.step`` and the parts (``env.parts``) they are made of; ``advance`` is the
engine's own.

A stage counts what its parts do themselves, without other stages called inside.
"""


class StageClock:
    """Sums of exclusive wall seconds per stage."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._now = now
        self._running: list[str] = []
        self._since = 0.0

    def reset(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def enter(self, stage: str) -> None:
        self._charge()
        self._running.append(stage)

    def leave(self) -> None:
        self._charge()
        self._running.pop()

    def _charge(self) -> None:
        now = self._now()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def clock_of(device: torch.device | str) -> Callable[[], float]:
    """A clock (s) that first waits for what a GPU has been asked to do."""
    where = torch.device(device)
    if where.type != "cuda":
        return time.perf_counter

    def now() -> float:
        torch.cuda.synchronize(where)
        return time.perf_counter()

    return now


@contextmanager
def timed_stages(env: Environment) -> Iterator[StageClock]:
    """Time the stages of ``env`` inside the block."""
    clock = StageClock(clock_of(env.device))
    stage_of = {part: stage for stage, parts in STAGES.items() for part in parts}

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return _timed(function, stage_of[part], clock)

    engine: Any = env.engine
    with env.parts.wrapped(timed):
        engine.advance = timed("advance", engine.advance)
        try:
            yield clock
        finally:
            # The instance's attribute hid the class's method.
            del engine.advance


def _timed(function: Callable[..., Any], stage: str, clock: StageClock) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        clock.enter(stage)
        try:
            return function(*args, **kwargs)
        finally:
            clock.leave()

    return call
