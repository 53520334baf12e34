"""Two processes learn one model and one policy, each from robots of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.version import Version

from tests.learning.test_distributed import REPO, assert_alike, free_port

pytestmark = pytest.mark.skipif(
    Version(version("rsl-rl-lib")) < Version("5.5"),
    reason="rsl_rl shares its normalisers since 5.5",
)


@pytest.mark.parametrize("name", ["world-model", "world-model-amp", "world-model-add"])
def test_two_ranks_learn_one_model_and_one_policy(name: str, tmp_path: Path) -> None:
    common = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.learning.two_ranks_world_model", name, str(tmp_path)],
            cwd=REPO, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for rank, process in enumerate(processes):
            stdout, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, f"rank {rank}: {stderr[-2000:]}"
            assert rank == 0 or "imagin" not in stdout, "rank 1 talks to the user"
    finally:
        for process in processes:
            process.kill()
    zero, one = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    for part in ("actor", "average", "dynamics", "value", "limit", "discriminator"):
        assert_alike(zero[part], one[part])
    assert bool(zero["discriminator"]) == (name != "world-model")
    assert zero["horizon"] == one["horizon"]
    assert not torch.equal(zero["replayed"], one["replayed"]), "both saw the same robots"
    last = json.loads((tmp_path / "run" / "progress.jsonl").read_text().splitlines()[-1])
    assert zero["samples"] == one["samples"] == last["samples"] == 2 * 8 * 6 * 4
    assert "loss/model" in last and "model/error_04" in last
