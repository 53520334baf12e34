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
from mimic.learning.registry import config_class, with_groups_of
from mimic.learning.runner import start_runner
from mimic.learning.world_model_config import WorldModelConfig
from mimic.tasks.registry import make_env, task_config
from tests.conftest import TINY
from tests.envs.conftest import sway

SEED = 3
NUMBERS: dict[str, Any] = dict(
    networks=ActorCriticConfig(actor_hidden=(16,), critic_hidden=(16,), activation="swish"),
    model_hidden=(16,), steps=6, warmup_steps=6, replay_steps=32, horizon=4, rollouts=8,
    model_batch=32, model_warmup_updates=5, diagnose_every=1, shortest_horizon=1,
)  # fmt: skip
CONFIG = WorldModelConfig(**NUMBERS)
JUDGED: dict[str, Any] = dict(
    discriminator_hidden=(8,), discriminator_batch=16, discriminator_batches=2, remembered=40,
    recent=8,
)  # fmt: skip
TASKS = {
    "world-model": ("tracking", NUMBERS),
    "world-model-amp": ("heading-privileged", NUMBERS | JUDGED),
    "world-model-add": ("tracking", NUMBERS | JUDGED),
}


def main(name: str, out: Path) -> None:
    robot = robots.load(TINY)
    title, numbers = TASKS[name]
    if title != "tracking":
        networks = replace(numbers["networks"], command_feedthrough=False)
        numbers = {**numbers, "networks": networks}
    algorithm_config = config_class(name)(**numbers)
    task = with_groups_of(task_config(title), name, algorithm_config, robot)
    config = RunConfig(
        task=task, algorithm_name=name, algorithm=algorithm_config,
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
                "discriminator": algorithm.state_dict().get("discriminator", {}),
                "horizon": learner.horizon,
                "replayed": learner.replay.fields["state"],
                "samples": runner.samples,
            },
            out / f"rank{group.rank}.pt",
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
