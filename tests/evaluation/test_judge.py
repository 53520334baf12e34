"""Judging a policy in training: when, on what, and when it is enough."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mimic.evaluation import judge as judge_module
from mimic.evaluation.judge import JUDGEMENTS, TrainingJudge
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

TASK = task_config("tracking")


class Policy(torch.nn.Module):
    def __init__(self, act) -> None:
        super().__init__()
        self.act = act
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.act(obs)


def run_of(act, folder: Path | None) -> Any:
    return SimpleNamespace(
        iteration=4, samples=400, wall_s=2.5, run_dir=folder, policy=lambda: Policy(act)
    )


@pytest.fixture
def clip(short: RobotMotion, tmp_path: Path) -> Path:
    short.save(tmp_path / "short.npz")
    return tmp_path / "short.npz"


def test_training_ends_when_enough_episodes_finish(
    follow, jump, g1: Robot, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = TrainingJudge([clip], TASK, g1, "mujoco", every=4, episodes=3, until=0.9)
    assert judge(3, run_of(follow, tmp_path)) is False and follow.calls == 0
    assert judge(4, run_of(jump, tmp_path)) is False
    assert judge(4, run_of(follow, tmp_path)) is True
    bad, good = map(json.loads, (tmp_path / JUDGEMENTS).read_text().splitlines())
    assert (bad["success"], good["success"]) == (0.0, 1.0)
    assert good["samples"] == 400 and good["wall_s"] == 2.5 and good["episodes"] == 3
    said = capsys.readouterr().out
    assert "0 % of 3 episodes finish" in said and "100 % of 3 episodes finish" in said


def test_without_an_aim_training_goes_on(follow, g1: Robot, clip: Path) -> None:
    judge = TrainingJudge([clip], TASK, g1, "mujoco", every=1, episodes=2)
    assert judge(1, run_of(follow, None)) is False and follow.calls > 0


@pytest.mark.parametrize(("every", "until"), [(0, 0.5), (5, 1.5), (5, -0.1)])
def test_impossible_wishes_are_refused(g1: Robot, every: int, until: float) -> None:
    with pytest.raises(MimicError, match="judge-"):
        TrainingJudge([], TASK, g1, "mujoco", every=every, until=until)


def test_judgements_share_one_environment_and_begin_alike(
    follow, g1: Robot, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = judge_module.make_evaluation_env

    def make(*args: Any, **options: Any) -> Any:
        made.append(real(*args, **options))
        return made[-1]

    monkeypatch.setattr(judge_module, "make_evaluation_env", make)
    judge = TrainingJudge([clip], TASK, g1, "mujoco", every=1, episodes=2)
    for iteration in (1, 2, 3):
        judge(iteration, run_of(follow, tmp_path))
    assert len(made) == 1
    first, second, third = map(json.loads, (tmp_path / JUDGEMENTS).read_text().splitlines())
    assert {**second, "iteration": 0} == {**third, "iteration": 0}
    assert first["success"] == second["success"]
