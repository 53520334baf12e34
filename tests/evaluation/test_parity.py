"""The parity report finds no difference where there is none, and names the right boundary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import robots
from mimic.benchmark.motion import squat
from mimic.envs import TaskConfig
from mimic.envs.commands import Command, CommandConfig
from mimic.envs.mdp import observations, terminations
from mimic.envs.terms import ObservationTerm, RewardTerm, TerminationTerm
from mimic.evaluation import parity as module
from mimic.evaluation.parity import ParityReport, parity
from mimic.evaluation.policies import LoadedPolicy
from mimic.sim import make_engine
from mimic.sim.objects import ObjectConfig
from mimic.sim.scene import SceneConfig
from mimic.sim.terrain import Slope
from mimic.tasks import registry
from mimic_base.errors import MimicError
from robots import Robot
from tests.sim.engines import needs


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


class Height(Command):
    """A height that each episode draws, and a clock that runs on."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.height = torch.zeros(env.num_envs, 1, device=env.device)
        self.clock = torch.zeros(env.num_envs, 1, device=env.device)

    def resample(self, env_ids: torch.Tensor) -> None:
        self.height[env_ids] = self.env.uniform((len(env_ids), 1), 0.0, 1.0)
        self.clock[env_ids] = 0.0

    def advance(self) -> None:
        self.clock = self.clock + 0.1

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        pass


class HeightConfig(CommandConfig):
    def build(self, env: Any) -> Height:
        return Height(env)


def asked(env: Any) -> torch.Tensor:
    command = env.commands["height"]
    return torch.cat([command.height, command.clock], -1)


def box_place(env: Any) -> torch.Tensor:
    box = env.state.objects["box"]
    return torch.cat([box.pos_w, box.lin_vel_w], -1)


def standing(env: Any) -> torch.Tensor:
    return torch.ones(env.num_envs)


def on_a_slope() -> TaskConfig:
    """No clip; a slope, a box that slides down it, a command, observations that remember."""
    seen = {
        "joint_pos": ObservationTerm(function=observations.joint_pos, history=3, noise=0.1),
        "asked": ObservationTerm(function=asked, filter=3.0),
        "box": ObservationTerm(function=box_place, delay=(0, 2)),
    }
    box = ObjectConfig(size=(0.1, 0.1, 0.1), mass=2.0, pos=(0.6, 0.0, 0.2))
    return TaskConfig(
        task="on-a-slope",
        scene=SceneConfig(terrain=Slope(angle=0.15), objects={"box": box}),
        commands={"height": HeightConfig()},
        observations={"actor": seen, "critic": seen},
        rewards={"standing": RewardTerm(function=standing, weight=1.0)},
        terminations={"time_out": TerminationTerm(function=terminations.time_out, time_out=True)},
        episode_length_s=0.1,
    )


def sway(obs: torch.Tensor) -> torch.Tensor:
    return 0.3 * torch.tanh(obs[:, :4] + obs[:, 12:13])


def of_the_slope(monkeypatch: pytest.MonkeyPatch, tiny: Robot, engine: str, seconds: float):
    monkeypatch.setitem(registry.TASKS, "on-a-slope", on_a_slope)  # type: ignore[arg-type]
    policy = LoadedPolicy(act=sway, source="sway", task="on-a-slope", robot="tiny")
    (report,) = parity(
        policy, robot=tiny, engines=(engine,), seconds=seconds, episodes=3, threads=1
    )
    return report


def test_a_task_with_terrain_and_an_object_in_another_process(
    monkeypatch: pytest.MonkeyPatch, tiny: Robot
) -> None:
    report = of_the_slope(monkeypatch, tiny, "remote", 0.6)
    assert report.first_difference is None and report.num_envs == 3
    assert all(each.worst == 0.0 for each in report.boundaries)
    assert report.together_s == pytest.approx(0.6)


def test_a_difference_is_named_by_its_object(monkeypatch: pytest.MonkeyPatch, tiny: Robot) -> None:
    made: list[Any] = []

    def make(*args: Any, **kwargs: Any) -> Any:
        made.append(make_engine(*args, **kwargs))
        if len(made) == 2:
            # Top-heavy there.
            centre = made[1].model_field("body_ipos")
            centre[:, made[1].scene.objects["box"].body, 2] += 0.3
            made[1].write_model_field("body_ipos", centre)
        return made[-1]

    monkeypatch.setattr(registry, "make_engine", make)
    report = of_the_slope(monkeypatch, tiny, "mujoco", 0.6)
    found = {each.name: each for each in report.boundaries}
    assert found["observation"].worst == 0.0 and found["action"].worst == 0.0
    assert found["velocity"].worst > 0.0 and found["velocity"].where.startswith("box ")


@pytest.mark.slow
@needs("warp")
def test_a_task_with_terrain_and_an_object_on_warp(
    monkeypatch: pytest.MonkeyPatch, tiny: Robot
) -> None:
    report = of_the_slope(monkeypatch, tiny, "warp", 0.6)
    assert report.first_difference is None, report.verdict()


def test_bad_numbers(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="at least one episode"):
        parity(POLICY, [tmp_path], episodes=0)
    with pytest.raises(MimicError, match="comes without a clip"):
        parity(POLICY)
    assert set(module.BOUNDS) == set(module.UNITS)
