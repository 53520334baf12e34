"""A run of any method without physics, in a process of its own: alone, killed, or one of two.

python -m tests.learning.methods ALGORITHM OUT [killed]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from mimic.learning.config import ActorCriticConfig, LoopConfig, RunConfig
from mimic.learning.distributed import ranks
from mimic.learning.lcp_config import LCPConfig
from mimic.learning.off_policy_config import (
    AWRConfig,
    FastSACConfig,
    FastTD3Config,
    OffPolicyNetworks,
)
from mimic.learning.runner import start_runner
from tests.learning.fake_env import FakeEnv

STEPS = 6
NETWORKS = ActorCriticConfig(actor_hidden=(16,), critic_hidden=(16,), init_std=0.3)
REPLAYED: dict[str, Any] = {
    "networks": OffPolicyNetworks(
        actor_hidden=(16,), critic_hidden=(16,), values=(-0.5, 1.0), atoms=11
    ),
    "steps": STEPS, "updates": 3, "batch": 64, "remembered": 20, "learning_starts": 8,
    "actor_starts": 2,
}  # fmt: skip
NUMBERS: dict[str, Any] = {
    "lcp": LCPConfig(networks=NETWORKS, steps=STEPS, workers=1, ema_decay=0.5),
    "awr": AWRConfig(
        networks=NETWORKS, steps=STEPS, batch=64, critic_steps=3, actor_steps=4, ema_decay=0.5
    ),
    "fast-td3": FastTD3Config(**REPLAYED, n_steps=3),
    "fast-sac": FastSACConfig(**REPLAYED),
}


class DyingEnv(FakeEnv):
    """Ends its process by SIGKILL after ``steps_left`` control steps."""

    steps_left = -1

    def step(self, actions: torch.Tensor) -> Any:
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps_left -= 1
        return super().step(actions)


def config_of(algorithm: str, **loop: int) -> RunConfig:
    """A small run of a method."""
    loops = {"num_envs": 16, "iterations": 5, "checkpoint_interval": 2, **loop}
    return RunConfig(
        algorithm_name=algorithm, algorithm=NUMBERS[algorithm], loop=LoopConfig(**loops)
    )


def main(algorithm: str, out: str, how: str = "") -> None:
    with ranks("cpu") as group:
        env: Any = DyingEnv(seed=group.seed(5))
        if how == "killed":
            env.steps_left = 3 * STEPS + 2
        runner = start_runner(env, config_of(algorithm), Path(out), seed=5, ranks=group)
        runner.learn()
        if group.size > 1:
            state = {"algorithm": runner.algorithm.state_dict(), "noise": torch.rand(4)}
            torch.save(state, Path(out) / f"rank{group.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
