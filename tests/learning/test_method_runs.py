"""Every method can be killed and resumed without a trace, shared by two ranks, and exported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.loading import load_policy
from mimic.learning.runner import start_runner
from mimic.policy.player import PolicyPlayer
from tests.learning.fake_env import FakeEnv
from tests.learning.methods import NUMBERS, config_of
from tests.learning.test_distributed import assert_alike, train_two_ranks
from tests.learning.test_distributed import pytestmark as needs_shared_normalisers
from tests.learning.test_runner import REPO, assert_same

METHODS = tuple(NUMBERS)


def command(algorithm: str, out: Path, how: str = "") -> list[str]:
    module = [sys.executable, "-m", "tests.learning.methods"]
    return [*module, algorithm, str(out), *filter(None, [how])]


@pytest.mark.parametrize("algorithm", METHODS)
def test_a_killed_run_resumes_as_if_nothing_had_happened(algorithm: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start_runner(FakeEnv(seed=5), config_of(algorithm), whole, seed=5).learn()
    # A process of its own: one forked from threads that compute may wait for them for ever.
    done = subprocess.run(command(algorithm, killed, "killed"), cwd=REPO, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(killed)["iteration"] == 2
    resumed = start_runner(FakeEnv(seed=99), config_of(algorithm), killed, seed=99)
    resumed.resume(killed)
    assert resumed.learn() == "finished"
    a, b = load_checkpoint(whole), load_checkpoint(killed)
    for state in (a, b):
        del state["wall_s"], state["seed"]
    assert_same(a, b)


@pytest.mark.parametrize("algorithm", METHODS)
def test_the_exported_policy_is_the_trained_one(algorithm: str, tmp_path: Path) -> None:
    runner = start_runner(FakeEnv(seed=3), config_of(algorithm, iterations=3), tmp_path, seed=3)
    runner.learn()
    obs = runner.env.get_observations()["actor"]
    policy, _ = load_policy(tmp_path)
    player = PolicyPlayer(tmp_path / "policy.onnx")
    with torch.no_grad():
        torch.testing.assert_close(policy(obs), runner.policy()(obs))
        # The policy is what acts, without its noise.
        many = torch.stack([runner.algorithm.act(runner.env.get_observations()) for _ in range(99)])
        assert (many.mean(0) - runner.policy()(obs)).abs().mean() < 0.3 * many.std(0).mean() + 0.3
    torch.testing.assert_close(torch.from_numpy(player.act(obs.numpy())), policy(obs))


@pytest.mark.parametrize("algorithm", [name for name in METHODS if name != "lcp"])
@needs_shared_normalisers
def test_two_ranks_train_one_policy(algorithm: str, tmp_path: Path) -> None:
    zero, one = train_two_ranks(tmp_path, "tests.learning.methods", algorithm, str(tmp_path))
    assert not torch.equal(zero["noise"], one["noise"])
    assert not torch.equal(
        zero["algorithm"]["memory"]["rewards"], one["algorithm"]["memory"]["rewards"]
    )
    for name in ("actor", "critic"):
        assert_alike(zero["algorithm"][name], one["algorithm"][name])
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3, 4, 5]
