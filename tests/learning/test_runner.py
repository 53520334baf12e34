"""A run can be stopped, killed and resumed without a trace, and never saves garbage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mimic.learning import run_config
from mimic.learning.checkpoints import load_checkpoint
from mimic.learning.loading import load_policy
from mimic.learning.runner import Runner, start_runner
from mimic.policy.player import PolicyPlayer
from mimic.sim import EngineError
from mimic_base.errors import MimicError
from tests.learning.fake_env import FakeEnv, ppo_of

REPO = Path(__file__).resolve().parents[2]
SMALL = run_config(
    num_envs=16, iterations=4, steps_per_iteration=6, actor_hidden=(16,), critic_hidden=(16,),
    ema_decay=0.5, workers=1, checkpoint_interval=2, keep_checkpoints=2,
)  # fmt: skip
SAMPLES = SMALL.loop.num_envs * SMALL.algorithm.steps


def assert_same(a: Any, b: Any, where: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    else:
        assert a == b, where


def test_a_killed_run_resumes_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start_runner(FakeEnv(seed=5), SMALL, whole, seed=5).learn()

    run = subprocess.run(
        [sys.executable, "-m", "tests.learning.killed_run", str(killed)],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert load_checkpoint(killed)["iteration"] == 2
    assert len((killed / "progress.jsonl").read_text().splitlines()) == 3

    resumed = start_runner(FakeEnv(seed=99), SMALL, killed, seed=99)
    resumed.resume(killed)
    assert resumed.iteration == 2
    assert resumed.learn() == "finished"

    a, b = load_checkpoint(whole), load_checkpoint(killed)
    assert a.pop("wall_s") > 0 and b.pop("wall_s") > 0
    for state in (a, b):
        del state["seed"]
    assert_same(a, b)
    assert b["samples"] == 4 * SAMPLES
    rows = [
        [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
        for folder in (whole, killed)
    ]
    assert [row["iteration"] for row in rows[1]] == [1, 2, 3, 4]
    for x, y in zip(*rows, strict=True):
        assert x["reward"] == y["reward"] and x["loss/value"] == y["loss/value"]


def test_a_run_directory_holds_checkpoints_curves_and_policy(tmp_path: Path) -> None:
    config = run_config(SMALL, iterations=5, checkpoint_interval=1)
    runner = start_runner(FakeEnv(), config, tmp_path)
    seen: list[int] = []
    assert runner.learn(lambda iteration, _: seen.append(iteration)) == "finished"
    assert seen == [1, 2, 3, 4, 5]
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["0000004.pt", "0000005.pt", "last.pt"]
    assert list(tmp_path.glob("events.out.tfevents.*"))
    player = PolicyPlayer(tmp_path / "policy.onnx")
    assert player.contract.training["iterations"] == 5
    policy, identity = load_policy(tmp_path)
    assert identity["task"] == "fake-tracking"
    obs = runner.env.get_observations()["actor"]
    with torch.no_grad():
        torch.testing.assert_close(policy(obs), runner.policy()(obs))
        torch.testing.assert_close(torch.from_numpy(player.act(obs.numpy())), policy(obs))


def test_export_and_loading_use_the_averaged_weights() -> None:
    runner = start_runner(FakeEnv(), SMALL)
    runner.learn()
    average = ppo_of(runner).average
    assert average is not None
    exported = dict(runner.policy().named_parameters())["mlp.2.weight"]
    trained = dict(ppo_of(runner).trainer.actor.named_parameters())["mlp.2.weight"]
    assert torch.equal(exported, average.weights["mlp.2.weight"])
    assert not torch.equal(exported, trained)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_after_the_iteration_and_saves(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(number)
    runner = start_runner(FakeEnv(), run_config(SMALL, checkpoint_interval=100), tmp_path)

    def interrupt(iteration: int, _: Runner) -> None:
        if iteration == 2:
            os.kill(os.getpid(), number)

    assert runner.learn(interrupt) == "interrupted"
    assert load_checkpoint(tmp_path)["iteration"] == 2
    assert signal.getsignal(number) is before


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """Python's own handler: a shell's background job starts with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    runner = start_runner(FakeEnv(), SMALL, tmp_path)

    def impatient(iteration: int, _: Runner) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        runner.learn(impatient)
    assert not (tmp_path / "checkpoints").exists()


def test_a_callback_can_stop_the_run(tmp_path: Path) -> None:
    runner = start_runner(FakeEnv(), SMALL, tmp_path)
    assert runner.learn(lambda iteration, _: iteration == 3) == "stopped"
    assert load_checkpoint(tmp_path)["iteration"] == 3


@pytest.mark.parametrize(
    ("poison", "text"),
    [
        ("observation", "observation 'joint_pos' of group 'critic' is not finite in 1 env"),
        ("reward", "reward is not finite in 16 env"),
    ],
)
def test_numbers_that_are_not_finite_end_the_run_and_spare_the_checkpoint(
    tmp_path: Path, poison: str, text: str
) -> None:
    env = FakeEnv()
    runner = start_runner(env, SMALL, tmp_path)

    def spoil(iteration: int, _: Runner) -> None:
        if iteration == 3:
            env.poison = poison

    with pytest.raises(MimicError, match=text) as caught:
        runner.learn(spoil)
    assert "0000002.pt" in str(caught.value) and "\n" not in str(caught.value)
    saved = load_checkpoint(tmp_path)
    assert saved["iteration"] == 2
    weights = saved["algorithm"]["state"]["actor"].values()
    assert all(torch.isfinite(value).all() for value in weights)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda env: setattr(env, "task_name", "other"), "task fake-tracking, .* other"),
        (lambda env: setattr(env.robot, "name", "atlas"), "robot fake, .* atlas"),
        (lambda env: setattr(env.motion, "hashes", ("cc",)), "motions .*pass the motion files"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, change: Any, text: str) -> None:
    start_runner(FakeEnv(), run_config(SMALL, iterations=1), tmp_path).learn()
    env = FakeEnv()
    change(env)
    with pytest.raises(MimicError, match=text):
        start_runner(env, SMALL).resume(tmp_path)


def test_a_checkpoint_of_other_observations_or_networks_is_refused(tmp_path: Path) -> None:
    start_runner(FakeEnv(), run_config(SMALL, iterations=1), tmp_path).learn()

    class WideEnv(FakeEnv):
        def get_observations(self) -> Any:
            obs = super().get_observations()
            obs["actor"] = torch.cat([obs["actor"], obs["actor"][:, :2]], -1)
            return obs

        def observation_layout(self, group: str) -> list[dict[str, Any]]:
            more = {"name": "more", "size": 2, "scale": 1.0, "history": 1}
            return super().observation_layout(group) + ([more] if group == "actor" else [])

    with pytest.raises(MimicError, match="actor_observations 16, the environment has 18"):
        start_runner(WideEnv(), SMALL).resume(tmp_path)
    with pytest.raises(MimicError, match=r"do not fit .*actor_hidden \[16\] there, \[8\] here"):
        start_runner(FakeEnv(), run_config(SMALL, actor_hidden=(8,))).resume(tmp_path)


def test_training_improves_the_fake_task() -> None:
    config = run_config(
        SMALL, num_envs=64, iterations=25, steps_per_iteration=16, command_feedthrough=False,
        ema_decay=0.0, gamma=0.5, schedule="fixed", learning_rate=3e-3, entropy_coef=0.0,
    )  # fmt: skip
    rewards: list[float] = []
    runner = start_runner(FakeEnv(num_envs=64), config)
    runner.learn(lambda *_: rewards.append(float(ppo_of(runner).trainer.storage.rewards.mean())))
    assert sum(rewards[-5:]) > 1.1 * sum(rewards[:5])


def test_a_run_can_start_from_anothers_networks(tmp_path: Path) -> None:
    first = start_runner(FakeEnv(), SMALL, tmp_path, seed=1)
    first.learn()
    second = start_runner(FakeEnv(motion_seed=3), SMALL, seed=2)
    second.initialise(tmp_path)
    assert second.iteration == 0 and ppo_of(second).average is not None
    theirs = ppo_of(first).trainer.actor.state_dict()
    assert_same(ppo_of(second).trainer.actor.state_dict(), theirs)
    # The other run's last weights, not its average, are where this one's average begins.
    own = dict(ppo_of(second).trainer.actor.named_parameters())
    for name, value in second.policy().named_parameters():
        assert torch.equal(value, own[name])
    with pytest.raises(MimicError, match="do not fit"):
        start_runner(FakeEnv(), run_config(SMALL, actor_hidden=(8,))).initialise(tmp_path)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "--num-envs"),
        (RuntimeError("CUDA error: unspecified launch failure"), "nvidia-smi"),
        (EngineError("engine warp: contacts do not fit; use --engine warp:nconmax=96"), "=96"),
    ],
)
def test_a_failing_device_ends_in_one_line_with_the_checkpoint(
    error: Exception, told: str, tmp_path: Path
) -> None:
    class FailingEnv(FakeEnv):
        steps_left = 3 * SMALL.algorithm.steps + 2

        def step(self, actions: torch.Tensor) -> Any:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise error
            return super().step(actions)

    runner = start_runner(FailingEnv(seed=5), SMALL, tmp_path, seed=5)
    with pytest.raises(MimicError) as caught:
        runner.learn()
    text = str(caught.value)
    assert "\n" not in text and told in text and text.startswith("iteration 4: ")
    assert str(runner.last_checkpoint) in text
    assert load_checkpoint(tmp_path)["iteration"] == 2


def test_a_programming_error_is_not_dressed_up(tmp_path: Path) -> None:
    class WrongEnv(FakeEnv):
        def step(self, actions: torch.Tensor) -> Any:
            raise RuntimeError("shape '[3]' is invalid for input of size 4")

    with pytest.raises(RuntimeError, match="shape") as caught:
        start_runner(WrongEnv(), SMALL, tmp_path).learn()
    assert not isinstance(caught.value, MimicError)
