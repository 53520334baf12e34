"""One of two processes that train motion priors together; a test starts it twice, RANK set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from mimic.learning.distributed import ranks
from mimic.learning.runner import start_runner
from tests.learning.test_priors import METHODS, configured, made

NETWORKS = ("actor", "critic", "discriminator", "encoder", "prior")


def main(out: Path) -> None:
    with ranks("cpu") as group:
        result: dict[str, Any] = {}
        for name in METHODS:
            env = made(name, group.seed(7))
            runner = start_runner(env, configured(name), seed=7, ranks=group)
            runner.learn()
            state = runner.algorithm.state_dict()
            result[name] = {each: state[each] for each in NETWORKS if each in state}
            result[name]["explored"] = {"obs": env.get_observations()["actor"]}
        torch.save(result, out / f"rank{group.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
