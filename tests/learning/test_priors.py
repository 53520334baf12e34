"""Motion priors as algorithms of the common runner: they learn, resume without a trace, export."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import robots
from mimic.cli import run as mimic
from mimic.learning import LoopConfig, RunConfig
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.config import ActorCriticConfig
from mimic.learning.distributed import SINGLE
from mimic.learning.registry import algorithm_class, config_class
from mimic.learning.runner import start_runner
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.learning.fake_style import FakeSkillEnv, FakeStyleEnv
from tests.learning.test_runner import REPO, assert_same

NETWORKS = ActorCriticConfig(actor_hidden=(16,), critic_hidden=(16,))
SMALL = {"networks": NETWORKS, "steps": 6, "workers": 1}
DISCRIMINATOR = {"discriminator_hidden": (16, 8), "discriminator_batch": 32,
                 "discriminator_batches": 2, "remembered": 60,
                 "remembered_per_iteration": 10}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "amp": DISCRIMINATOR,
    "add": DISCRIMINATOR,
    "gail": {**DISCRIMINATOR, "remembered": 0},
    "ase": {**DISCRIMINATOR, "encoder_hidden": (8,)},
    "smp": {"prior_hidden": (16,), "prior_iterations": 20, "prior_batch": 32},
}
LEARNT = {"style/told_apart", "style/reward", "loss/discriminator"}
NUMBERS = {
    **dict.fromkeys(METHODS, LEARNT),
    "ase": {*LEARNT, "style/skill_told", "loss/diversity"},
    "smp": {"style/reward", "style/error"},
}


def made(name: str, seed: int) -> FakeStyleEnv:
    return (FakeSkillEnv if name == "ase" else FakeStyleEnv)(seed=seed)


def configured(name: str, **numbers: Any) -> RunConfig:
    config = config_class(name)(**{**SMALL, **METHODS[name], **numbers})
    loop = LoopConfig(num_envs=16, iterations=4, checkpoint_interval=2, keep_checkpoints=2)
    return RunConfig(algorithm_name=name, algorithm=config, loop=loop)


@pytest.mark.parametrize("name", METHODS)
def test_a_run_resumes_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    config = configured(name)
    start_runner(made(name, 5), config, tmp_path / "whole", seed=5).learn()
    first = replace(config, loop=replace(config.loop, iterations=2))
    start_runner(made(name, 5), first, tmp_path / "cut", seed=5).learn()
    resumed = start_runner(made(name, 99), config, tmp_path / "cut", seed=99)
    resumed.resume(tmp_path / "cut")
    assert resumed.iteration == 2 and resumed.learn() == "finished"
    a, b = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    for state in (a, b):
        for key in ("wall_s", "seed"):
            del state[key]
    assert_same(a, b)
    lines = (tmp_path / "cut" / "progress.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]).keys() >= NUMBERS[name]


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_run_resumes_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start_runner(made(name, 5), configured(name), whole, seed=5).learn()
    # A process of its own: one forked from threads that compute may wait for them for ever.
    command = [sys.executable, "-m", "tests.learning.killed_prior", name, str(killed)]
    done = subprocess.run(command, cwd=REPO, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(killed)["iteration"] == 2
    resumed = start_runner(made(name, 99), configured(name), killed, seed=99)
    resumed.resume(killed)
    assert resumed.learn() == "finished"
    a, b = load_checkpoint(whole), load_checkpoint(killed)
    for state in (a, b):
        del state["wall_s"], state["seed"]
    assert_same(a, b)


@pytest.mark.parametrize("name", METHODS)
def test_a_policy_is_made_without_windows(name: str) -> None:
    """Who plays a run has its observation groups by name only, and no clips."""
    env = made(name, 1)
    trained = start_runner(env, configured(name), seed=1)
    trained._iterate(env.get_observations(), _Pace())  # type: ignore[arg-type]
    state = trained.algorithm.state_dict()
    spec = replace(env.spec, num_envs=0)
    kind = algorithm_class(name)
    again = kind.build(spec, configured(name).algorithm, "cpu", trained.ranks)
    again.load_state_dict(state)
    obs = env.get_observations()["actor"]
    torch.testing.assert_close(again.policy()(obs), trained.policy()(obs))


class _Pace:
    def eta(self, *_: Any) -> float:
        return 0.0


def test_the_discriminator_tells_apart_and_the_reward_is_its_doubt() -> None:
    env = FakeStyleEnv(seed=2)
    config = configured("amp", task_weight=0.0, style_weight=1.0, discriminator_batches=4,
                        gradient_penalty=0.1, discriminator_learning_rate=1e-2)  # fmt: skip
    runner = start_runner(env, config, seed=2)
    figures = []
    obs = env.get_observations()
    for _ in range(12):
        obs, stats = runner._iterate(obs, _Pace())  # type: ignore[arg-type]
        figures.append(stats.figures)
    algorithm: Any = runner.algorithm
    robot, clips = obs["style"], algorithm.demonstrated(500)
    apart = (algorithm.reward_of(clips).mean(), algorithm.reward_of(robot).mean())
    assert apart[0] > apart[1] + 0.5
    assert figures[-1]["style/told_apart"] > max(0.75, figures[0]["style/told_apart"])


def test_add_has_one_positive_sample_and_weighs_differences_by_their_size() -> None:
    env = FakeStyleEnv(seed=3)
    runner = start_runner(env, configured("add", style_weight=1.0), seed=3)
    runner._iterate(env.get_observations(), _Pace())  # type: ignore[arg-type]
    algorithm: Any = runner.algorithm
    assert torch.equal(algorithm.demonstrated(7), torch.zeros(1, 4))
    network = algorithm.discriminator
    assert torch.equal(network.normalised(torch.zeros(1, 4)), torch.zeros(1, 4))
    # The running mean of |difference| over the first step once more and the whole rollout.
    assert int(network.count) == 16 * 7
    ones = network.normalised(network.mean[None])
    torch.testing.assert_close(ones, torch.ones(1, 4))
    seen = [torch.randn(5, 4), torch.randn(8, 4)]
    fresh = algorithm.adversary.network_of(4)
    for each in seen:
        fresh.learn_scale(each)
    torch.testing.assert_close(fresh.mean, torch.cat(seen).abs().mean(0))


def test_gail_can_look_at_actions() -> None:
    env = FakeStyleEnv(seed=3)
    spec = env.spec
    config = config_class("gail")(sees="action", discriminator_hidden=(8,), workers=1)
    algorithm: Any = algorithm_class("gail").build(spec, config, "cpu", SINGLE)
    pair = torch.cat([torch.arange(17.0), torch.arange(100.0, 117.0)]).repeat(3, 1)
    algorithm.adversary._demonstrations = SimpleNamespace(sample=lambda count: pair[:count])
    state, action = algorithm.demonstrated(2).split([17, 4], -1)
    assert torch.equal(state[0], torch.arange(17.0))
    # The action's joint targets are the joint positions of the second frame.
    targets = torch.tensor(spec.default_joint_pos) + torch.tensor(spec.action_scale) * action
    torch.testing.assert_close(targets[0], torch.tensor([113.0, 114.0, 115.0, 116.0]))
    assert algorithm.window_size(spec, config) == 4 + 4


# through the program ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for index in range(2):
        motion = sway(robots.load(TINY), fps=30.0, seconds=1.0 + index, name=f"sway{index}")
        motion.save(folder / f"sway{index}.npz")
    return folder


TRAIN = ["--robot", str(TINY), "--loop.num-envs", "4", "--loop.iterations", "1", "--device", "cpu",
         "--algorithm.steps", "4", "--algorithm.networks.actor-hidden", "8",
         "--algorithm.networks.critic-hidden", "8"]  # fmt: skip
FEW = ["--algorithm.discriminator-hidden", "8", "--algorithm.remembered", "20"]


def trained(task: str, algorithm: str, clips: Path, out: Path, *options: str) -> Path:
    line = ["train", task, "--motion", str(clips), "--algorithm", algorithm, "--out", str(out)]
    assert mimic([*line, *TRAIN, *options]) == 0
    (folder,) = (out / task).iterdir()
    return folder


@pytest.mark.parametrize(
    ("algorithm", "task", "options"),
    [
        ("add", "tracking", FEW),
        ("gail", "heading-privileged", FEW[:2]),
        ("ase", "skills", [*FEW, "--algorithm.encoder-hidden", "8"]),
        ("smp", "heading", ["--algorithm.prior-hidden", "8", "--algorithm.prior-iterations", "9"]),
    ],
)
def test_a_method_trains_resumes_and_exports_through_the_program(
    algorithm: str, task: str, options: list[str], clips: Path, tmp_path: Path
) -> None:
    run = trained(task, algorithm, clips, tmp_path, *options)
    assert mimic(["train", "--resume", str(run), "--loop.iterations", "2"]) == 0
    assert PolicyPlayer(run / "policy.onnx").contract.task == task
    assert mimic(["play", str(run)]) == 0


def test_ase_asks_for_a_skill(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="task 'heading' does not; use task skills"):
        trained("heading", "ase", clips, tmp_path)


def test_add_asks_for_a_reference(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="task 'heading' tracks none; use it with a tracking"):
        trained("heading", "add", clips, tmp_path)


def test_amp_goes_where_it_is_told_through_the_program(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("heading", "amp", clips, tmp_path, *FEW, "--algorithm.frames", "3")
    task = json.loads((run / "config.json").read_text())["run"]["task"]
    assert task["observations"]["style"]["motion_frame"]["history"] == 3
    assert mimic(["train", "--resume", str(run), "--loop.iterations", "2"]) == 0
    contract = PolicyPlayer(run / "policy.onnx").contract
    assert contract.observations[0].name == "heading_command" and contract.motions == ()
    assert "direction_w" in contract.commands["heading"]["inputs"]
    assert contract.commands["motions"]["style"] == ["sway0", "sway1"]
    capsys.readouterr()
    assert mimic(["play", str(run)]) == 0
    assert "heading:" in capsys.readouterr().out
    assert mimic(["play", str(run / "policy.onnx"), "--velocity", "0.5", "0.2", "0.1"]) == 0
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((run / "policy.onnx").read_bytes())
    assert mimic(["play", str(alone), "--robot", str(TINY), "--velocity", "0.5", "0", "0"]) == 0
    assert mimic(["evaluate", str(run), "--episodes", "2"]) == 0
    assert "error/speed" in capsys.readouterr().out
