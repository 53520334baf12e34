"""Episodes of a task without clips: how they end, what they earn, and what counts as success."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mimic.benchmark.motion import squat
from mimic.envs import TaskConfig
from mimic.envs.commands import Command, CommandConfig
from mimic.envs.mdp import observations, terminations
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.evaluation import evaluate, evaluate_task, get_protocol
from mimic.evaluation.judge import JUDGEMENTS, TrainingJudge
from mimic.tasks import make_env
from mimic_base.errors import MimicError
from robots import Robot


class Number(Command):
    """Each episode gets the next whole number, from 0 on."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.value = torch.zeros(env.num_envs, device=env.device)
        self.failures = torch.zeros(env.num_envs)

    def resample(self, env_ids: torch.Tensor) -> None:
        self.value[env_ids] = env_ids.float()

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        pass

    def record(self, terminated: torch.Tensor) -> None:
        self.failures += terminated.float()

    def metrics(self) -> dict[str, torch.Tensor]:
        return {"number": self.value}


class NumberConfig(CommandConfig):
    def build(self, env: Any) -> Number:
        return Number(env)


def constant(env: Any, value: float) -> torch.Tensor:
    return torch.full((env.num_envs,), value)


def after(env: Any, steps: int, number: int) -> torch.Tensor:
    """After some steps, in episodes of one number."""
    return (env.episode_length_buf >= steps) & (env.commands["number"].value == number)


def task(**terms: TerminationTerm) -> TaskConfig:
    seen = {"joint_pos": ObservationTerm(function=observations.joint_pos, noise=0.01)}
    return TaskConfig(
        task="numbers",
        commands={"number": NumberConfig()},
        observations={"actor": seen, "critic": seen},
        rewards={
            "pay": RewardTerm(function=constant, weight=2.0, parameters={"value": 1.0}),
            "cost": RewardTerm(function=constant, weight=-1.0, parameters={"value": 0.5}),
        },
        terminations={
            "time_out": TerminationTerm(function=terminations.time_out, time_out=True), **terms
        },
        episode_length_s=0.2,
    )  # fmt: skip


def ends(steps: int, number: int, **kind: bool) -> TerminationTerm:
    return TerminationTerm(function=after, parameters={"steps": steps, "number": number}, **kind)


def still(obs: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(obs), 4)


def judged(config: TaskConfig, tiny: Robot, episodes: int = 4, **options: Any):
    protocol = get_protocol("task", episodes=episodes)
    options = {"robot": tiny, "threads": 1, **options}
    return evaluate_task(still, (), protocol, task=config, **options)


def test_lengths_returns_and_endings(tiny: Robot) -> None:
    result = judged(task(fell=ends(4, 1)), tiny)
    total = result.total
    assert total.episodes == 4 and total.success == 0.75
    assert total.endings == {"fell": 1, "time_out": 3}
    assert total.longest_s == pytest.approx(0.2)
    assert total.length_s == pytest.approx((3 * 0.2 + 0.08) / 4)
    assert total.rewards == pytest.approx({"pay": 2.0, "cost": -0.5})
    # One and a half a second, as long as each has lasted.
    assert total.episode_return == pytest.approx(1.5 * total.length_s)
    assert total.return_std == pytest.approx(1.5 * 0.12 * (3 / 16) ** 0.5)
    # 0, 2 and 3 for ten steps each, 1 for four.
    assert total.measured["number"] == pytest.approx((0 + 2 + 3) * 10 / 34 + 4 / 34)
    assert "75 % of 4 episodes succeed" in total.sentence()


def test_where_there_is_an_aim_only_it_counts(tiny: Robot) -> None:
    config = task(fell=ends(4, 1), there=ends(6, 2, success=True))
    total = judged(config, tiny).total
    assert total.endings == {"fell": 1, "there": 1, "time_out": 2}
    assert total.success == 0.25


def test_an_aim_is_no_failure_to_the_command(tiny: Robot) -> None:
    env = make_env(
        task(fell=ends(4, 1), there=ends(4, 2, success=True)), num_envs=3, robot=tiny, threads=1
    )
    for _ in range(4):
        *_, extras = env.step(torch.zeros(3, 4))
    assert extras["terminated"].tolist() == [False, True, True]
    number: Any = env.commands["number"]
    assert number.failures.tolist() == [0.0, 1.0, 0.0]
    assert extras["figures"]["termination/there"].tolist() == [False, False, True]
    # Of the states before the restart.
    assert extras["figures"]["reward/pay"].tolist() == [2.0, 2.0, 2.0]


def test_an_episode_that_nothing_ends_is_cut_off(tiny: Robot) -> None:
    endless = replace(task(), terminations={})
    total = judged(endless, tiny, 2).total
    assert total.endings == {"time_limit": 2} and total.success == 1.0
    assert total.length_s == pytest.approx(0.2)


def test_rounds_play_as_many_episodes(tiny: Robot) -> None:
    seen: list[tuple[int, int]] = []
    total = judged(
        task(), tiny, 5, max_envs=2, progress=lambda done, most: seen.append((done, most))
    ).total
    assert total.episodes == 5 and total.endings == {"time_out": 5}
    assert seen[-1] == (30, 30)


def test_as_json(tiny: Robot, tmp_path: Path) -> None:
    result = judged(task(), tiny)
    result.save_json(tmp_path / "result.json")
    data = json.loads((tmp_path / "result.json").read_text())
    assert data["schema"] == "humanoid-mimic/task-evaluation/1"
    assert data["protocol"]["name"] == "task" and data["protocol"]["episodes"] == 4
    assert data["total"]["endings"] == {"time_out": 4}


def test_a_protocol_of_clips_says_what_it_needs(tiny: Robot) -> None:
    with pytest.raises(MimicError, match=r"no motion command \(its commands: number\)") as error:
        evaluate(still, (), "appendix-f", task=task(), robot=tiny)
    assert "\n" not in str(error.value) and "--protocol task" in str(error.value)
    with pytest.raises(MimicError, match="plays clips"):
        evaluate_task(still, (), "appendix-f", task=task(), robot=tiny)


def test_a_task_that_tracks_clips_has_episodes_too(g1: Robot) -> None:
    clip = squat(g1, seconds=1.0)
    protocol = get_protocol("task", episodes=2)
    total = evaluate_task(
        lambda obs: torch.zeros(len(obs), 29), [clip], protocol,
        task="tracking", robot=g1, threads=1,
    ).total  # fmt: skip
    assert total.episodes == 2 and sum(total.endings.values()) == 2
    assert set(total.rewards) >= {"body_position", "action_rate"}
    assert total.measured["error/key_body_mm"] > 0


def test_a_training_is_judged_on_its_task(
    tiny: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Policy(torch.nn.Module):
        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            return still(obs)

    run: Any = SimpleNamespace(
        iteration=1, samples=8, wall_s=0.1, run_dir=tmp_path, policy=lambda: Policy()
    )
    judge = TrainingJudge([], task(fell=ends(4, 1)), tiny, "mujoco", every=1, episodes=4, until=0.7)
    assert judge(1, run) is True
    assert judge(1, run) is True
    first, second = map(json.loads, (tmp_path / JUDGEMENTS).read_text().splitlines())
    assert first == second and first["success"] == 0.75 and first["endings"]["fell"] == 1
    assert "75 % of 4 episodes succeed" in capsys.readouterr().out
