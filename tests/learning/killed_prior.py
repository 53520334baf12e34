"""A run of a motion prior that is killed (SIGKILL) in its fourth iteration; started by a test.

python -m tests.learning.killed_prior NAME OUT
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from mimic.learning.runner import start_runner
from tests.learning.test_priors import SMALL, configured, made


def main(name: str, out: str) -> None:
    env: Any = made(name, 5)
    step, left = env.step, [3 * int(SMALL["steps"]) + 2]

    def dying(actions: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return step(actions)

    env.step = dying
    start_runner(env, configured(name), Path(out), seed=5).learn()


if __name__ == "__main__":
    main(*sys.argv[1:])
