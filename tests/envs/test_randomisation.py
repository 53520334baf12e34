"""Randomised physics: what is drawn is what the engine computes with; presets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mimic.configuration import resolve
from mimic.envs.actions import ActionDelay
from mimic.envs.environment import Environment, TaskConfig, quiet_task
from mimic.envs.mdp import randomisation as physics
from mimic.envs.terms import EventTerm
from mimic.sim.engine import Engine
from mimic.sim.errors import CannotVaryError
from mimic.tasks.randomisation import RANDOMISATIONS, with_randomisation
from mimic.tasks.student import teacher
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError

Build = Callable[..., Environment]


def with_event(config: TaskConfig, function: Any, **parameters: Any) -> TaskConfig:
    event = EventTerm(function=function, mode="reset", parameters=parameters)
    return replace(config, events={"drawn": event})


def field(env: Environment, name: str) -> torch.Tensor:
    return env.engine.model_field(name).double()


def test_masses_and_inertias_change_together(build: Build, endless: TaskConfig) -> None:
    env = build(with_event(endless, physics.masses, factor=(0.7, 1.3)))
    model = env.scene.model
    body = model.body(env.robot.body_names[3]).id
    factor = field(env, "body_mass")[:, body] / model.body_mass[body]
    assert len(factor.unique()) == 3 and factor.min() >= 0.7 and factor.max() <= 1.3
    inertia = field(env, "body_inertia")[:, body] / torch.tensor(model.body_inertia[body])
    torch.testing.assert_close(inertia, factor[:, None].expand(-1, 3), rtol=1e-5, atol=1e-6)
    total = field(env, "body_mass").sum(1) / model.body_mass.sum() - 1.0
    torch.testing.assert_close(env.drawn["mass"][:, 0].double(), total, rtol=1e-3, atol=1e-4)
    # Drawn anew from the description, not from what was drawn before.
    for _ in range(20):
        env.reset()
    again = field(env, "body_mass")[:, body] / model.body_mass[body]
    assert again.min() >= 0.7 and again.max() <= 1.3 and not torch.equal(again, factor)


def test_factors_of_the_same_servos_multiply(build: Build, endless: TaskConfig) -> None:
    gains = EventTerm(
        function=physics.gains, mode="reset", parameters={"kp": (0.8, 0.9), "kd": (1.1, 1.2)}
    )
    strength = EventTerm(
        function=physics.motor_strength, mode="reset", parameters={"factor": (0.5, 0.6)}
    )
    for events in ({"a": gains, "b": strength}, {"b": strength, "a": gains}):
        env = build(replace(endless, events=events))
        kp, kd, power = (1 + env.drawn[n].double() for n in ("kp", "kd", "motor_strength"))
        assert kp.max() <= 0.9 and kd.min() >= 1.1 and power.max() <= 0.6
        own = torch.tensor(env.robot.kp)
        torch.testing.assert_close(
            field(env, "actuator_gainprm")[..., 0], own * kp * power, rtol=1e-5, atol=1e-6
        )
        bias = field(env, "actuator_biasprm")
        torch.testing.assert_close(bias[..., 1], -own * kp * power, rtol=1e-5, atol=1e-6)
        damping = -torch.tensor(env.robot.kd) * kd * power
        torch.testing.assert_close(bias[..., 2], damping, rtol=1e-5, atol=1e-6)
        limit = torch.tensor(env.robot.effort_limit) * power
        force = field(env, "actuator_forcerange")[..., 1]
        torch.testing.assert_close(force, limit, rtol=1e-5, atol=1e-6)


def test_base_mass_centre_of_mass_and_armature(build: Build, endless: TaskConfig) -> None:
    env = build(with_event(endless, physics.base_mass, mass=(-2.0, 3.0)))
    model, base = env.scene.model, env.scene.model.body(env.robot.root_body).id
    added = field(env, "body_mass")[:, base] - model.body_mass[base]
    assert added.min() >= -2.0 and added.max() <= 3.0 and len(added.unique()) == 3
    torch.testing.assert_close(env.drawn["base_mass"][:, 0].double(), added, rtol=1e-3, atol=1e-4)
    env = build(with_event(endless, physics.centre_of_mass, offset=(0.0, 0.02, 0.0)))
    shift = field(env, "body_ipos")[:, base] - torch.tensor(model.body_ipos[base])
    assert shift[:, [0, 2]].abs().max() < 1e-6 and 0 < shift[:, 1].abs().max() <= 0.02
    env = build(with_event(endless, physics.armature, factor=(0.8, 1.2)))
    inertia = field(env, "dof_armature")[:, 6:] / torch.tensor(env.robot.armature)
    torch.testing.assert_close(inertia - 1, env.drawn["armature"].double(), rtol=1e-3, atol=1e-4)


def test_forces_push_until_they_are_drawn_again(build: Build, endless: TaskConfig) -> None:
    env, free = build(endless), build(endless)
    torso = torch.tensor([env.scene.model.body(env.robot.anchor_body).id])
    env.engine.set_external_force(torch.tensor([1]), torso, torch.tensor([[[300.0, 0.0, 0.0]]]))
    for _ in range(5):
        for each in (env, free):
            each.step(torch.zeros(3, 29))
    moved = env.state.robot.root_pos_w - free.state.robot.root_pos_w
    assert moved[1, 0] > 0.01 and moved[[0, 2]].abs().max() < 1e-6
    env.engine.set_external_force(torch.tensor([1]), torso, torch.zeros(1, 1, 3))
    before = env.state.robot.root_lin_vel_w[1, 0].clone()
    env.step(torch.zeros(3, 29))
    assert env.state.robot.root_lin_vel_w[1, 0] < before + 0.1  # 0.2 under the force
    pushed = build(with_event(endless, physics.external_force, force=20.0))
    assert pushed.num_envs == 3
    with pytest.raises(CannotVaryError, match="xfrc_applied"):
        Engine.set_external_force(env.engine, torch.tensor([1]), torso, torch.zeros(1, 1, 3))


def test_actions_arrive_late_by_each_environments_own_delay() -> None:
    generator = torch.Generator().manual_seed(0)
    delay = ActionDelay((0, 2), 64, 1, generator, torch.device("cpu"))
    delay.reset(torch.arange(64))
    assert set(delay.latency.tolist()) == {0, 1, 2}
    sent = [torch.full((64, 1), float(t)) for t in range(1, 5)]
    arrived = [delay(each)[:, 0] for each in sent]
    for t, each in enumerate(arrived, start=1):
        torch.testing.assert_close(each, (t - delay.latency).clamp_min(0).float())
    late = delay.latency.clone()
    delay.reset(torch.tensor([3]))
    assert torch.equal(delay.latency[4:], late[4:])
    assert delay(torch.full((64, 1), 5.0))[3] in (0.0, 5.0)


def test_a_delayed_robot_moves_later(build: Build, endless: TaskConfig) -> None:
    prompt, late = build(endless), build(replace(endless, action_delay=(2, 2)))
    jump = torch.full((3, 29), 1.0)
    for _ in range(2):
        prompt.step(torch.zeros(3, 29))
    for step in range(4):
        late.step(jump)
        if step >= 2:
            prompt.step(jump)
    torch.testing.assert_close(late.state.robot.joint_pos, prompt.state.robot.joint_pos)
    assert torch.equal(late.actions, jump)
    assert quiet_task(late.cfg).action_delay == (0, 0)
    with pytest.raises(MimicError, match=r"such as \(0, 2\)"):
        replace(endless, action_delay=(2, 1))


@pytest.mark.parametrize("name", RANDOMISATIONS)
def test_a_preset_is_built_played_and_seen_by_a_teacher(name: str, build: Build) -> None:
    env = build(with_randomisation(teacher(), name))
    for _ in range(2):
        env.step(torch.zeros(3, 29))
    env.reset()
    assert env.spec.sizes["actor"] == build(teacher()).spec.sizes["actor"]
    seen = env.get_observations()["actor"]
    assert torch.isfinite(seen).all()


def test_presets_keep_events_of_ones_own_and_are_named() -> None:
    mine = EventTerm(function=test_actions_arrive_late_by_each_environments_own_delay, mode="off")
    task = replace(tracking(), events={**tracking().events, "mine": mine})
    chosen = with_randomisation(task, "twist")
    assert {"mine", "motor_strength", "external_force"} <= set(chosen.events)
    assert "anchor_com" not in chosen.events and chosen.action_delay == (0, 2)
    assert not with_randomisation(tracking(), "none").events
    assert with_randomisation(tracking(), "beyondmimic").events == tracking().events
    with pytest.raises(MimicError, match="unknown randomisation 'twst'; did you mean 'twist'"):
        with_randomisation(task, "twst")


def test_sweeps_and_presets_draw_the_same_robots(build: Build, endless: TaskConfig) -> None:
    """One event for strength and gains is the two after each other; files may name it as before."""
    old = {name: resolve(f"mimic.envs.mdp.physics_events:{name}") for name in
           ("randomize_link_mass", "randomize_motors")}  # fmt: skip
    assert old == {"randomize_link_mass": physics.masses, "randomize_motors": physics.motors}
    gains = {"stiffness": (0.8, 0.9), "damping": (1.1, 1.2)}
    both = build(with_event(endless, physics.motors, strength=(0.5, 0.6), **gains))
    after = replace(endless, events={
        "a": EventTerm(function=physics.motor_strength, mode="reset",
                       parameters={"factor": (0.5, 0.6)}),
        "b": EventTerm(function=physics.gains, mode="reset",
                       parameters={"kp": (0.8, 0.9), "kd": (1.1, 1.2)}),
    })  # fmt: skip
    apart = build(after)
    for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
        assert torch.equal(field(both, name), field(apart, name))
    env = build(with_event(endless, physics.masses, factor=(0.7, 1.3)))
    base = env.scene.model.body(env.robot.root_body).id
    total = field(env, "body_mass").sum(1)
    torch.testing.assert_close(field(env, "body_subtreemass")[:, base], total)
