"""A run that is killed (SIGKILL) in the middle of its fourth iteration; started by a test."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mimic.learning.runner import start_runner
from tests.learning.fake_env import FakeEnv
from tests.learning.test_runner import SMALL


class DyingEnv(FakeEnv):
    steps_left = 3 * SMALL.algorithm.steps + 2

    def step(self, actions):  # noqa: ANN001, ANN201
        self.steps_left -= 1
        if self.steps_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(actions)


if __name__ == "__main__":
    start_runner(DyingEnv(seed=5), SMALL, Path(sys.argv[1]), seed=5).learn()
