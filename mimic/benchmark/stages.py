"""Where a control step's time goes: wall time of the environment's own parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from mimic.envs.env import TrackingEnv

STAGES: Mapping[str, tuple[str, ...]] = {
    "physics": ("engine.advance",),
    "kinematics": ("engine.step",),
    "reference": ("command.update", "command.advance"),
    "terminations": ("_terminations",),
    "rewards": ("_rewards",),
    "observations": ("_compute_observations",),
    "resets": ("reset_envs",),
    "events": ("_interval_events",),
    "log": ("_log",),
}
"""Stages of ``TrackingEnv.step`` and the methods they are made of.

A stage counts what its methods do themselves, without other stages called inside.
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
def timed_stages(env: TrackingEnv) -> Iterator[StageClock]:
    """Time the stages of ``env`` inside the block.

    Raises:
        AttributeError: the environment has no such part any more; ``STAGES`` is out of date.
    """
    clock = StageClock(clock_of(env.device))
    patched: list[tuple[Any, str]] = []
    try:
        for stage, methods in STAGES.items():
            for method in methods:
                owner: Any = env
                *path, name = method.split(".")
                for part in path:
                    owner = getattr(owner, part)
                setattr(owner, name, _timed(getattr(owner, name), stage, clock))
                patched.append((owner, name))
        yield clock
    finally:
        for owner, name in patched:
            # The instance's attribute hid the class's method.
            delattr(owner, name)


def _timed(function: Callable[..., Any], stage: str, clock: StageClock) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        clock.enter(stage)
        try:
            return function(*args, **kwargs)
        finally:
            clock.leave()

    return call
