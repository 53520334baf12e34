"""Two processes train a motion prior: what judges and what is judged stay the same on both."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from tests.learning.test_distributed import assert_alike, free_port
from tests.learning.test_priors import METHODS

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    Version(version("rsl-rl-lib")) < Version("5.5"),
    reason="rsl_rl shares its normalisers since 5.5",
)


def test_two_ranks_learn_the_same_networks_from_different_rollouts(tmp_path: Path) -> None:
    common = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.learning.two_ranks_priors", str(tmp_path)], cwd=REPO,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for rank, process in enumerate(processes):
            _, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, f"rank {rank}: {stderr[-2000:]}"
    finally:
        for process in processes:
            process.kill()
    zero, one = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert zero.keys() == set(METHODS)
    for name in METHODS:
        assert not torch.equal(zero[name].pop("explored")["obs"], one[name].pop("explored")["obs"])
        assert len(zero[name]) >= 3
        for network in zero[name]:
            assert_alike(zero[name][network], one[name][network])
