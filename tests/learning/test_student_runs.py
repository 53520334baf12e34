"""A student's run can be killed and resumed without a trace, and shared by two ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.runner import start_runner
from tests.learning.fake_env import FakeEnv
from tests.learning.taught import TaughtEnv, config_of
from tests.learning.test_distributed import assert_alike, free_port
from tests.learning.test_distributed import pytestmark as needs_shared_normalisers
from tests.learning.test_runner import REPO, SMALL, assert_same

ALGORITHMS = ("dagger", "ppo-kl", "supervised-then-rl")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    start_runner(FakeEnv(seed=1), SMALL, folder, seed=1).learn()
    return folder


def command(algorithm: str, teacher: Path, out: Path, how: str = "") -> list[str]:
    module = [sys.executable, "-m", "tests.learning.taught"]
    return [*module, algorithm, str(teacher), str(out), *filter(None, [how])]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_killed_student_resumes_as_if_nothing_had_happened(
    algorithm: str, teacher: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    config = config_of(algorithm, teacher)
    start_runner(TaughtEnv(seed=5), config, whole, seed=5).learn()
    run = subprocess.run(
        command(algorithm, teacher, killed, "killed"), cwd=REPO, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert load_checkpoint(killed)["iteration"] == 2
    resumed = start_runner(TaughtEnv(seed=99), config, killed, seed=99)
    resumed.resume(killed)
    assert resumed.learn() == "finished"
    a, b = load_checkpoint(whole), load_checkpoint(killed)
    for state in (a, b):
        del state["wall_s"], state["seed"]
    assert_same(a, b)


@pytest.mark.parametrize("algorithm", ["dagger", "supervised-then-rl"])
@needs_shared_normalisers
def test_two_ranks_train_one_student(algorithm: str, teacher: Path, tmp_path: Path) -> None:
    common = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            command(algorithm, teacher, tmp_path), cwd=REPO,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = []
        for rank, process in enumerate(processes):
            stdout, stderr = process.communicate(timeout=300)
            assert process.returncode == 0, f"rank {rank}: {stderr[-2000:]}"
            said.append(stdout)
    finally:
        for process in processes:
            process.kill()
    assert "teacher: " in said[0] and "teacher: " not in said[1]
    zero, one = (torch.load(tmp_path / f"rank{r}.pt", weights_only=True) for r in range(2))
    assert not torch.equal(zero["noise"], one["noise"])
    assert_alike(zero["algorithm"]["actor"], one["algorithm"]["actor"])
    assert zero["algorithm"].get("gate") == one["algorithm"].get("gate")
    if algorithm == "supervised-then-rl":
        assert zero["algorithm"]["gate"]["opened_at"] is not None
