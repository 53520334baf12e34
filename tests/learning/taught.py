"""A student's run without physics, in a process of its own: alone, killed, or one of two.

python -m tests.learning.taught ALGORITHM TEACHER OUT [killed]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict

from mimic.learning.config import ActorCriticConfig, LoopConfig, RunConfig
from mimic.learning.distributed import ranks
from mimic.learning.runner import start_runner
from mimic.learning.student_config import (
    DaggerConfig,
    PPOWithTeacherConfig,
    SupervisedThenRLConfig,
)
from tests.learning.fake_env import FakeEnv

STEPS = 6


class TaughtEnv(FakeEnv):
    """Its teacher sees what the actor sees."""

    steps_left = -1

    @property
    def spec(self) -> Any:
        spec = super().spec
        object.__setattr__(
            spec, "observations", {**spec.observations, "teacher": spec.observations["actor"]}
        )
        return spec

    def get_observations(self) -> TensorDict:
        obs = super().get_observations()
        obs["teacher"] = obs["actor"].clone()
        return obs

    def step(self, actions: torch.Tensor) -> Any:
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps_left -= 1
        return super().step(actions)


def config_of(algorithm: str, teacher: Path, **loop: int) -> RunConfig:
    """A small run of a student."""
    common: dict[str, Any] = {
        "networks": ActorCriticConfig(actor_hidden=(16,), critic_hidden=(16,)),
        "steps": STEPS, "teacher": (teacher,), "ema_decay": 0.5,
    }  # fmt: skip
    numbers: Any
    if algorithm == "dagger":
        numbers = DaggerConfig(**common, remembered=3, teacher_share=0.7, teacher_decay=5)
    elif algorithm == "ppo-kl":
        numbers = PPOWithTeacherConfig(**common, pull_iterations=3, workers=1)
    else:
        numbers = SupervisedThenRLConfig(
            **common, workers=1, teacher_hold=0, teacher_decay=1, supervised=1, critic_warmup=1,
            explained_variance=-1e9, explained_updates=1, reinforce=2,
        )  # fmt: skip
    loops = {"num_envs": 16, "iterations": 5, "checkpoint_interval": 2, **loop}
    return RunConfig(algorithm_name=algorithm, algorithm=numbers, loop=LoopConfig(**loops))


def main(algorithm: str, teacher: str, out: str, how: str = "") -> None:
    with ranks("cpu") as group:
        env: Any = TaughtEnv(seed=group.seed(5))
        if how == "killed":
            env.steps_left = 3 * STEPS + 2
        config = config_of(algorithm, Path(teacher))
        runner = start_runner(env, config, Path(out), seed=5, ranks=group)
        runner.learn()
        if group.size > 1:
            state = {"algorithm": runner.algorithm.state_dict(), "noise": torch.rand(4)}
            torch.save(state, Path(out) / f"rank{group.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
