"""One of two processes that train by a learned model together; a test starts it twice."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import robots
from mimic.learning.config import ActorCriticConfig, LoopConfig, RunConfig
from mimic.learning.distributed import ranks
from mimic.learning.registry import with_groups_of
from mimic.learning.runner import start_runner
from mimic.learning.world_model_config import WorldModelConfig
from mimic.tasks.registry import make_env, task_config
from tests.conftest import TINY
from tests.envs.conftest import sway

SEED = 3
CONFIG = WorldModelConfig(
    networks=ActorCriticConfig(actor_hidden=(16,), critic_hidden=(16,), activation="swish"),
    model_hidden=(16,), steps=6, warmup_steps=6, replay_steps=32, horizon=4, rollouts=8,
    model_batch=32, model_warmup_updates=5, diagnose_every=1, shortest_horizon=1,
)  # fmt: skip


def main(out: Path) -> None:
    robot = robots.load(TINY)
    task = with_groups_of(task_config("tracking"), "world-model")
    config = RunConfig(
        task=task, algorithm_name="world-model", algorithm=CONFIG,
        loop=replace(LoopConfig(), num_envs=8, iterations=4, checkpoint_interval=4),
    )  # fmt: skip
    with ranks("cpu") as group:
        env = make_env(
            task, [sway(robot)], num_envs=8, robot=robot, engine="mujoco", threads=1,
            seed=group.seed(SEED),
        )  # fmt: skip
        runner = start_runner(env, config, out / "run", seed=SEED, ranks=group)
        runner.learn()
        algorithm: Any = runner.algorithm
        learner = algorithm.learner
        torch.save(
            {
                "actor": algorithm.actor.state_dict(),
                "average": algorithm.average.weights,
                "dynamics": learner.dynamics.state_dict(),
                "value": learner.value.state_dict(),
                "limit": {"scale": learner.improvement.limit.scale},
                "horizon": learner.horizon,
                "replayed": learner.replay.fields["state"],
                "samples": runner.samples,
            },
            out / f"rank{group.rank}.pt",
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
