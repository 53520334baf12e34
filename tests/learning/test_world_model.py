"""The world-model trainer by the command line, on a tiny robot: it learns, resumes, exports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import robots
from mimic.commands.train import parse, train
from mimic.envs.environment import TaskConfig
from mimic.learning.algorithms.world_model import WorldModel
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.distributed import SINGLE
from mimic.learning.loading import load_policy
from mimic.learning.registry import preset_of, with_groups_of
from mimic.learning.world_model_config import WorldModelConfig
from mimic.policy.player import PolicyPlayer
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.fake_env import FakeEnv

SMALL = [
    "--algorithm", "world-model", "--robot", str(TINY), "--device", "cpu",
    "--loop.num-envs", "8", "--algorithm.networks.actor-hidden", "16",
    "--algorithm.networks.critic-hidden", "16", "--algorithm.model-hidden", "16",
    "--algorithm.steps", "6", "--algorithm.warmup-steps", "12", "--algorithm.replay-steps", "32",
    "--algorithm.horizon", "4", "--algorithm.rollouts", "8", "--algorithm.model-batch", "32",
    "--algorithm.model-warmup-updates", "20", "--algorithm.diagnose-every", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(path)
    return path


@pytest.fixture(scope="module")
def run(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    arguments = ["tracking", "--motion", str(clip), *SMALL, "--loop.iterations", "4"]
    judged = ["--judge-every", "4", "--judge-episodes", "2"]
    assert train(parse([*arguments, *judged, "--out", str(out)])) == 0
    (folder,) = (out / "tracking").iterdir()
    return folder


def test_a_run_leaves_curves_policy_and_judgements(run: Path, clip: Path) -> None:
    lines = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    assert "loss/model" not in lines[0] and "loss/model" in lines[1]
    for name in ("loss/value", "gradient/policy", "gradient/state", "model/error_01",
                 "model/error_04", "return/real", "return/imagined", "value/error"):  # fmt: skip
        assert isinstance(lines[-1][name], float)
    assert json.loads((run / "judgements.jsonl").read_text())["episodes"] == 2
    player = PolicyPlayer(run / "policy.onnx")
    assert player.contract.training["iterations"] == 4
    policy, identity = load_policy(run)
    assert identity["task"] == "tracking"
    obs = torch.zeros(1, identity["actor_observations"])
    assert torch.isfinite(policy(obs)).all()


def test_a_killed_run_goes_on_with_its_replay(run: Path, clip: Path) -> None:
    path = run / "checkpoints" / "last.pt"
    saved = load_checkpoint(path)["algorithm"]["state"]
    assert saved["learner"]["replay"]["steps"] == 24
    before = path.read_bytes()
    results = []
    for _ in range(2):
        path.write_bytes(before)
        assert train(parse(["--resume", str(path), "--loop.iterations", "6"])) == 0
        results.append(load_checkpoint(path)["algorithm"]["state"])
    first, second = (flat(each) for each in results)
    # From one checkpoint a run goes on in one way.
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    replay = results[0]["learner"]["replay"]
    assert replay["steps"] == 36 and len(replay["age"]) == 32
    old = saved["learner"]["replay"]["fields"]["state"]
    assert torch.equal(replay["fields"]["state"][:20], old[4:])
    assert results[0]["learner"]["iteration"] == 6


def flat(state: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return {prefix: state}
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, list | tuple):
        items = enumerate(state)
    else:
        return {}
    return {k: v for key, each in items for k, v in flat(each, f"{prefix}/{key}").items()}


def test_free_imagination_and_fitting_over_several_steps(clip: Path, tmp_path: Path) -> None:
    free = ["--algorithm.no-corrected", "--algorithm.model-fit-steps", "3",
            "--algorithm.muon-learning-rate", "0", "--algorithm.ema-decay", "0"]  # fmt: skip
    arguments = ["tracking", "--motion", str(clip), *SMALL, *free, "--loop.iterations", "3"]
    assert train(parse([*arguments, "--out", str(tmp_path)])) == 0


PPO = [
    "--algorithm", "ppo",
    "--robot", str(TINY), "--device", "cpu", "--loop.num-envs", "8", "--algorithm.steps", "6",
    "--algorithm.workers", "1", "--algorithm.networks.actor-hidden", "16", "--loop.iterations", "1",
]  # fmt: skip


def test_one_algorithm_goes_on_with_the_others_actor(run: Path, clip: Path, tmp_path: Path) -> None:
    swish = ["--algorithm.networks.activation", "swish", "--algorithm.learning-rate", "1e-12",
             "--algorithm.schedule", "fixed"]  # fmt: skip
    begin = ["tracking", "--motion", str(clip), *PPO, "--out", str(tmp_path)]
    with pytest.raises(MimicError, match="its actor is another one .activation swish there, elu"):
        train(parse([*begin, "--init-from", str(run)]))
    assert train(parse([*begin, *swish, "--init-from", str(run)])) == 0
    (second,) = (tmp_path / "tracking").iterdir()
    averaged, _ = load_policy(run)
    ppo, _ = load_policy(second)
    # The average was taken over, and hardly moves at such a rate.
    for (name, mine), theirs in zip(ppo.named_parameters(), averaged.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)
    back = ["tracking", "--motion", str(clip), *SMALL, "--loop.iterations", "1"]
    assert train(parse([*back, "--out", str(tmp_path / "b"), "--init-from", str(second)])) == 0
    (third,) = (tmp_path / "b" / "tracking").iterdir()
    again, _ = load_policy(third)
    # Nothing is learnt before the warm-up is over.
    for (name, mine), theirs in zip(again.named_parameters(), ppo.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)


def remembering() -> TaskConfig:
    """The deployable task with a history and a filter on what the actor sees."""
    task = task_config("tracking-no-state-estimation")
    actor = dict(task.observations["actor"])
    actor["joint_pos"] = replace(actor["joint_pos"], history=3)
    actor["base_ang_vel"] = replace(actor["base_ang_vel"], filter=10.0)
    return replace(task, observations={**task.observations, "actor": actor})


def test_a_policy_with_histories_and_filters_is_trained(clip: Path, tmp_path: Path) -> None:
    task = "tests.learning.test_world_model:remembering"
    arguments = [task, "--motion", str(clip), *SMALL, "--loop.iterations", "3"]
    assert train(parse([*arguments, "--out", str(tmp_path)])) == 0
    (policy,) = tmp_path.rglob("policy.onnx")
    assert PolicyPlayer(policy).contract.training["iterations"] == 3


def delayed() -> TaskConfig:
    task = remembering()
    actor = dict(task.observations["actor"])
    actor["joint_vel"] = replace(actor["joint_vel"], delay=(0, 2))
    return replace(task, observations={**task.observations, "actor": actor})


def late() -> TaskConfig:
    """The deployable task whose actions reach the robot late."""
    return replace(remembering(), action_delay=(0, 2))


def test_late_actions_are_refused(clip: Path, tmp_path: Path) -> None:
    task = "tests.learning.test_world_model:late"
    with pytest.raises(MimicError, match=r"has late actions \(action_delay \(0, 2\)\)"):
        train(parse([task, "--motion", str(clip), *SMALL, "--out", str(tmp_path)]))


def test_a_delay_is_refused(clip: Path, tmp_path: Path) -> None:
    task = "tests.learning.test_world_model:delayed"
    with pytest.raises(MimicError, match="'joint_vel' of task .* has a delay"):
        train(parse([task, "--motion", str(clip), *SMALL, "--out", str(tmp_path)]))


def test_the_guard_shortens_rollouts_and_says_so(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = ["--algorithm.guard", "1e-6", "--algorithm.shortest-horizon", "2"]
    arguments = ["tracking", "--motion", str(clip), *SMALL, *strict, "--loop.iterations", "3"]
    assert train(parse([*arguments, "--out", str(tmp_path)])) == 0
    assert "rollouts shortened from 4 to 2 steps" in capsys.readouterr().out
    (folder,) = (tmp_path / "tracking").iterdir()
    last = json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])
    assert last["horizon"] == 2


def test_presets_and_numbers_that_cannot_be() -> None:
    assert isinstance(preset_of("cpu", "world-model").algorithm, WorldModelConfig)
    assert preset_of("cpu", "world-model").loop.num_envs == 128
    gpu = preset_of("gpu", "world-model")
    assert gpu.loop.num_envs >= 4096 and gpu.algorithm.rollouts >= 4096
    with pytest.raises(MimicError, match="'world-model' has no preset 'tpu'; known: cpu, gpu"):
        preset_of("tpu", "world-model")
    with pytest.raises(MimicError, match="replay_steps must be at least"):
        WorldModelConfig(replay_steps=8)
    with pytest.raises(MimicError, match="gamma must be below 1"):
        WorldModelConfig(gamma=1.0)


def test_an_algorithm_declares_the_observations_it_needs() -> None:
    task = task_config("tracking")
    assert with_groups_of(task, "ppo") is task
    assert set(with_groups_of(task, "world-model").observations) == {"actor", "critic", "state"}


def test_an_environment_without_states_is_refused() -> None:
    with pytest.raises(MimicError, match="needs the observation group 'state'"):
        WorldModel.build(FakeEnv().spec, WorldModelConfig(), "cpu", SINGLE)
