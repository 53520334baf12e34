"""A task's terms on states that nobody simulates are those of the simulation."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mimic.envs.environment import Environment
from mimic.envs.imagination import STATE_GROUP, STATE_TERMS, Imagination, StateRows
from mimic.envs.terms import ObservationTerm, weighted_rewards
from mimic.tasks.tracking import tracking, with_drift_limit
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_mul


@pytest.fixture(scope="module")
def env(build: Any) -> Environment:
    task = with_drift_limit(tracking(), 0.7)
    task = replace(task, observations={**task.observations, STATE_GROUP: STATE_TERMS})
    env = build(task, num_envs=8)
    for _ in range(5):
        env.step(0.3 * torch.randn(8, env.num_actions))
    return env


@pytest.fixture(scope="module")
def imagination(env: Environment) -> Imagination:
    return env.spec.imagine()


@pytest.fixture(scope="module")
def rows(env: Environment) -> StateRows:
    return StateRows.of_group(env.get_observations()[STATE_GROUP], env.robot.num_joints)


def test_rewards_failures_observations_and_targets_agree(
    env: Environment, imagination: Imagination, rows: StateRows
) -> None:
    imagined = imagination.environment(rows, env.actions, env.previous_actions)
    wanted, _ = weighted_rewards(env, imagination.reward_terms)
    torch.testing.assert_close(imagination.rewards(imagined), wanted, atol=1e-5, rtol=0)
    margins = imagination.margins(imagined)
    for column, term in enumerate(imagination.failures.values()):
        assert torch.equal(margins[:, column] < 0, term.function(env, **term.parameters))
    for group in ("actor", "critic"):
        seen = imagination.observations(imagined, group)
        torch.testing.assert_close(seen, env.observing.terms(env)[group], atol=1e-5, rtol=0)
    targets = imagination.targets(env.actions, rows.default_joint_pos)
    torch.testing.assert_close(targets, env.targets(env.actions))


def test_what_cannot_be_known_is_left_out_and_named(imagination: Imagination) -> None:
    assert set(imagination.left_out) == {"undesired_contacts"}
    assert "engine" in imagination.left_out["undesired_contacts"]
    assert len(imagination.reward_terms) == 8 and len(imagination.failures) == 4


def test_time_goes_on_as_in_the_environment(build: Any, imagination: Imagination) -> None:
    env = build(num_envs=4)
    command = env.commands["motion"]
    length = int(command.library.length[0])
    command.assign(torch.arange(4), torch.zeros(4, dtype=torch.long),
                   torch.tensor([0, 5, length - 3, length - 2]))  # fmt: skip
    moment = command.moment
    assert imagination.steps_left(moment).tolist() == [length - 1, length - 6, 2, 1]
    for _ in range(3):
        command.advance()
        moment = imagination.later(moment)
        assert torch.equal(moment, command.moment)
        assert torch.equal(imagination.steps_left(moment) == 0, command.finished)


def test_gradients_are_finite_even_on_the_reference_itself(
    env: Environment, imagination: Imagination, rows: StateRows
) -> None:
    command: Any = env.commands["motion"]
    start = command.reference_state(command.row, replace(command.reset_noise).scaled(0.0))
    lin_vel_b = torch.zeros(8, 3)
    state = torch.cat(
        [start.root_pos_w, start.root_quat_w, start.joint_pos, lin_vel_b, start.root_ang_vel_b,
         start.joint_vel], -1
    ).requires_grad_()  # fmt: skip
    imagined = imagination.environment(replace(rows, state=state), env.actions, env.actions)
    total = imagination.rewards(imagined).sum() + imagination.margins(imagined).sum()
    (gradient,) = torch.autograd.grad(total, state)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0.1


def test_gradients_are_those_of_finite_differences(
    env: Environment, imagination: Imagination, rows: StateRows
) -> None:
    torch.manual_seed(0)
    direction = torch.randn_like(rows.state) * 0.1
    direction[:, 3:7] = 0.0

    def total(step: float | torch.Tensor) -> torch.Tensor:
        state = rows.state + step * direction
        imagined = imagination.environment(replace(rows, state=state), env.actions, env.actions)
        return imagination.rewards(imagined).double().sum()

    step = torch.zeros((), requires_grad=True)
    (analytic,) = torch.autograd.grad(total(step), step)
    numeric = (total(1e-2) - total(-1e-2)) / 2e-2
    assert float(analytic) == pytest.approx(float(numeric), rel=0.02, abs=0.02)


def test_one_bodys_pose_is_that_of_the_whole_kinematics(
    env: Environment, imagination: Imagination, rows: StateRows
) -> None:
    robot = imagination.environment(rows, env.actions, env.actions).state.robot
    for body in (0, 3, 15, len(env.robot.body_names) - 1):
        pos, quat = robot.pose_of(body)
        torch.testing.assert_close(pos, env.state.robot.body_pos_w[:, body], atol=2e-6, rtol=0)
        torch.testing.assert_close(quat, env.state.robot.body_quat_w[:, body], atol=2e-6, rtol=0)


def test_rewards_do_not_change_when_robot_and_reference_turn_together(
    env: Environment, imagination: Imagination, rows: StateRows
) -> None:
    """The state is in the world: only the reference says where and which way."""
    half = 0.4
    turn = torch.tensor([[math.cos(half), 0.0, 0.0, math.sin(half)]]).repeat(8, 1)
    turned = rows.state.clone()
    turned[:, 3:7] = quat_mul(turn, rows.state[:, 3:7])
    before = imagination.rewards(imagination.environment(rows, env.actions, env.actions))
    after = imagination.rewards(
        imagination.environment(replace(rows, state=turned), env.actions, env.actions)
    )
    assert (before - after).abs().min() > 1e-3


def test_a_scene_with_objects_is_refused(env: Environment, monkeypatch: Any) -> None:
    monkeypatch.setattr(env, "scene", SimpleNamespace(objects={"box": None}))
    with pytest.raises(MimicError, match="objects in its scene"):
        Imagination(env)


def test_noise_is_that_of_the_terms(env: Environment, imagination: Imagination) -> None:
    widths = imagination.noise("actor")
    terms: dict[str, ObservationTerm] = dict(env.cfg.observations["actor"])
    wanted = [
        terms[entry.name].noise for entry in env.observing.entries["actor"]
        for _ in range(entry.size)
    ]  # fmt: skip
    assert widths.tolist() == pytest.approx(wanted)
