"""Metrics against cases computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import quiet_task
from mimic.evaluation.metrics import (
    UNITS,
    EpisodeTally,
    mean_absolute,
    mean_distance,
    state_errors,
)
from mimic.tasks import make_env
from mimic.tasks.tracking import tracking
from motions import RobotMotion
from robots import Robot


def test_mean_distance_is_over_bodies() -> None:
    a = torch.zeros(2, 2, 3)
    b = torch.zeros(2, 2, 3)
    b[0, 0] = torch.tensor([3.0, 4.0, 0.0])
    assert mean_distance(a, b).tolist() == [2.5, 0.0]


def test_mean_absolute_is_over_joints() -> None:
    a, b = torch.tensor([[1.0, -1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert mean_absolute(a, b).tolist() == [0.75]


@pytest.fixture(scope="module")
def env(g1: Robot, short: RobotMotion):
    config = quiet_task(tracking(), observation_noise=False)
    return make_env(config, [short], num_envs=4, robot=g1, threads=1)


def put(env, qpos: torch.Tensor, qvel: torch.Tensor) -> dict[str, torch.Tensor]:
    env.engine.reset(torch.arange(env.num_envs), qpos, qvel)
    env.observe()
    return state_errors(env)


def test_errors_of_known_displacements(env) -> None:
    everyone = torch.arange(4)
    motion_command(env).restart(everyone, torch.zeros(4).long(), torch.full((4,), 6))
    qpos, qvel = env.engine.qpos.clone(), env.engine.qvel.clone()
    exact = put(env, qpos, qvel)
    assert set(exact) == set(UNITS)
    assert all(float(value.abs().max()) < 1e-1 for value in exact.values())

    moved = qpos.clone()
    moved[0, 0] += 0.1  # along the floor
    moved[1, 2] += 0.02  # up
    moved[2, 7:] += 0.03  # every joint
    turned = torch.tensor([math.cos(0.5), 0.0, 0.0, math.sin(0.5)])
    assert torch.allclose(moved[3, 3:7], torch.tensor([1.0, 0.0, 0.0, 0.0]), atol=1e-6)
    moved[3, 3:7] = turned  # about the vertical axis through the base
    faster = qvel.clone()
    faster[0, 0] += 0.5
    faster[2, 6:] += 0.2
    found = put(env, moved, faster)
    assert found["key_body_mm"][0] == pytest.approx(100.0, abs=0.1)
    assert found["key_body_anchor_mm"][0] == pytest.approx(0.0, abs=0.1)
    assert found["velocity_m_s"][0] == pytest.approx(0.5, abs=1e-3)
    # Height is never forgiven.
    assert found["key_body_mm"][1] == pytest.approx(20.0, abs=0.1)
    assert found["key_body_anchor_mm"][1] == pytest.approx(20.0, abs=0.1)
    assert found["joint_rad"][2] == pytest.approx(0.03, abs=1e-5)
    assert found["joint_velocity_rad_s"][2] == pytest.approx(0.2, abs=1e-4)
    assert found["key_body_mm"][3] > 50.0
    # The robot turned about its base, the reference is turned about its anchor.
    assert found["key_body_anchor_mm"][3] < 0.2


def step(reward, error, height, tilt):
    errors = {name: torch.tensor(error) for name in UNITS}
    failures = {"height": torch.tensor(height), "tilt": torch.tensor(tilt)}
    return torch.tensor(reward), errors, failures


def test_tally_stops_at_the_first_failure_and_at_the_end() -> None:
    tally = EpisodeTally(torch.tensor([3, 3, 2]), ("height", "tilt"))
    nothing = [False, False, False]
    tally.add(*step([1.0, 0.5, 1.0], [10.0, 20.0, 30.0], nothing, nothing))
    assert tally.running.all()
    # The second episode fails in both ways at once: the first name is the reason.
    nan = math.nan
    tally.add(*step([1.0, nan, 0.5], [10.0, nan, 30.0], [False, True, False], [False, True, False]))
    assert tally.running.tolist() == [True, False, False]
    # What happens after an end does not count, a failure after success neither.
    tally.add(*step([0.4, 9.0, 9.0], [40.0, 9.0, 9.0], [False, True, True], [False, True, True]))
    assert not tally.running.any()
    assert tally.steps.tolist() == [3, 1, 2]
    assert tally.failed.tolist() == [-1, 0, -1]

    total = tally.summary("all", torch.tensor([True, True, True]), 0.02)
    assert total.episodes == 3
    assert total.success == pytest.approx(2 / 3)
    assert total.failures == {"height": 1}
    # Returns: (1 + 1 + 0.4) / 3, 0.5 / 3, 1.5 / 2.
    assert total.normalised_return == pytest.approx((2.4 / 3 + 0.5 / 3 + 1.5 / 2) / 3)
    # Errors are means over the six judged steps.
    assert total.errors["key_body_mm"] == pytest.approx((10 + 10 + 40 + 20 + 30 + 30) / 6)
    assert total.survived_s == pytest.approx(0.02 * (3 + 1 + 2) / 3)
    assert total.survived_share == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert total.duration_s == pytest.approx(0.02 * 8 / 3)

    second = tally.summary("second", torch.tensor([False, True, False]), 0.02)
    assert (second.success, second.episodes) == (0.0, 1)
    assert second.errors["joint_rad"] == pytest.approx(20.0)


def test_failing_at_once_leaves_no_errors() -> None:
    tally = EpisodeTally(torch.tensor([5]), ("height", "tilt"))
    tally.add(*step([1.0], [1.0], [False], [True]))
    summary = tally.summary("clip", torch.tensor([True]), 0.02)
    assert set(summary.errors.values()) == {None}
    assert (summary.survived_s, summary.normalised_return, summary.success) == (0.0, 0.0, 0.0)
    assert summary.failures == {"tilt": 1}


def test_joined_tallies_keep_order() -> None:
    parts = []
    for error in (1.0, 3.0):
        tally = EpisodeTally(torch.tensor([1]), ("height", "tilt"))
        tally.add(*step([1.0], [error], [False], [False]))
        parts.append(tally)
    joined = EpisodeTally.join(parts)
    assert joined.errors["joint_rad"].tolist() == [1.0, 3.0]
    assert joined.failure_names == ("height", "tilt")
