"""One of two processes that train together; a test starts it twice, with RANK set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from mimic.learning.algorithms.ppo import ParallelPPO
from mimic.learning.config import run_config
from mimic.learning.distributed import SINGLE, Ranks, ranks
from mimic.learning.parallel_ppo.rollout import Rollout
from mimic.learning.runner import start_runner
from tests.learning.fake_env import FakeEnv, ppo_of
from tests.learning.test_runner import SMALL

SEED = 11
CONFIG = run_config(SMALL, iterations=3, checkpoint_interval=3)


def gradients(ppo: ParallelPPO, group: Ranks, rows: slice) -> torch.Tensor:
    """Gradient of one step over some rows of a rollout that all ranks know."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)[rows]

    count, actions = 64, ppo.storage.actions.shape[-1]
    sizes = [next(net.parameters()).shape[1] for net in (ppo.actor.mlp, ppo.critic.mlp)]
    rollout = Rollout(
        actor_input=draw(count, sizes[0]), skip=None, critic_input=draw(count, sizes[1]),
        actions=draw(count, actions), old_mean=draw(count, actions),
        old_std=torch.ones(actions), scalars=draw(count, 4),
    )  # fmt: skip
    ppo.ranks, ppo.schedule = group, "fixed"
    before = [p.detach().clone() for p in ppo.actor.parameters()]
    ppo._gradient_step(rollout, 0, len(rollout.actions))
    grads = torch.cat([p.grad.flatten() for p in ppo.actor.parameters() if p.grad is not None])
    with torch.no_grad():
        for parameter, value in zip(ppo.actor.parameters(), before, strict=True):
            parameter.copy_(value)
    return grads.clone()


def main(out: Path) -> None:
    with ranks("cpu") as group:
        env: Any = FakeEnv(seed=group.seed(SEED))
        # What the start sampler of a real environment counts, different on every rank.
        failures, visits = torch.tensor([1.0, 3.0]) * (group.rank + 1), torch.ones(2)
        env.statistics = [failures, visits]
        runner = start_runner(env, CONFIG, out / "run", seed=SEED, ranks=group)
        first = ppo_of(runner).trainer.actor.state_dict()
        own = {"own": 5.0} if group.rank else {}
        result = {
            "rank": group.rank,
            "start": {name: value.clone() for name, value in first.items()},
            "noise": torch.rand(4),
            "log": group.average_log({"both": float(group.rank), **own}),
        }
        # Here only one rank wants to stop; both must.
        outcome = runner.learn(lambda iteration, _: iteration == 2 and group.rank == 1)
        ppo = ppo_of(runner).trainer
        result |= {
            "outcome": outcome,
            "iteration": runner.iteration,
            "samples": runner.samples,
            "learning_rate": ppo.learning_rate,
            "actor": ppo.actor.state_dict(),
            "critic": ppo.critic.state_dict(),
            "failures": failures,
            "visits": visits,
        }
        half = slice(32 * group.rank, 32 * (group.rank + 1))
        result["gradient_of_both"] = gradients(ppo, group, half)
        result["gradient_of_all"] = gradients(ppo, SINGLE, slice(None))
        torch.save(result, out / f"rank{group.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
