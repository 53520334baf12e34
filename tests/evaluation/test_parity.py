"""The parity report finds no difference where there is none, and names the right boundary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import robots
from mimic.benchmark.motion import squat
from mimic.evaluation import parity as module
from mimic.evaluation.parity import ParityReport, parity
from mimic.evaluation.policies import LoadedPolicy
from mimic.sim import make_engine
from mimic.tasks import registry
from mimic_base.errors import MimicError


def hold(obs: torch.Tensor) -> torch.Tensor:
    """Asks for something near the default pose that depends on what is observed."""
    return 0.05 * torch.tanh(obs[:, 29:58])


POLICY = LoadedPolicy(act=hold, source="hold", task="tracking", robot="unitree_g1")


def compare(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> ParityReport:
    """Compare the C engine with itself after ``change`` of the second one's engine or env."""
    made: list[Any] = []

    def make(*args: Any, **kwargs: Any) -> Any:
        made.append(make_engine(*args, **kwargs))
        if len(made) == 2:
            change(made[1])
        return made[-1]

    monkeypatch.setattr(registry, "make_engine", make)
    clip = squat(robots.load("unitree_g1"), 2.0)
    (report,) = parity(POLICY, [clip], engines=("mujoco",), seconds=0.2, episodes=2, threads=1)
    return report


def test_an_engine_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    report = compare(monkeypatch, lambda engine: None)
    assert report.first_difference is None
    assert all(each.worst == 0.0 for each in report.boundaries)
    assert report.together_s == pytest.approx(report.length_s) == pytest.approx(0.2)
    assert "agree at every boundary" in report.verdict()
    assert report.to_dict()["first_difference"] is None


def test_other_physics_shows_in_effort_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def heavier(engine: Any) -> None:
        mass = engine.model_field("body_mass")
        engine.write_model_field("body_mass", 3.0 * mass)

    report = compare(monkeypatch, heavier)
    found = {each.name: each for each in report.boundaries}
    assert found["observation"].worst == 0.0 and found["action"].worst == 0.0
    assert found["velocity"].differs and found["state"].worst > 0.0
    assert report.first_difference in ("effort", "state", "velocity")
    assert (
        "differ at the" in report.verdict()
        and found["velocity"].where in report.verdict()
        or (report.first_difference != "velocity")
    )


def test_stale_poses_show_in_the_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(engine: Any) -> None:
        publish = engine._publish_some

        def stale(ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
            publish(ids, qpos, qvel)
            engine.body_pos_w[ids] += 0.3

        engine._publish_some = stale

    report = compare(monkeypatch, shifted)
    assert report.first_difference == "observation"
    assert "motion_anchor_pos_b" in report.verdict()


def test_bad_numbers(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="at least one episode"):
        parity(POLICY, [tmp_path], episodes=0)
    with pytest.raises(MimicError, match="comes without a clip"):
        parity(POLICY)
    assert set(module.BOUNDS) == set(module.UNITS)
