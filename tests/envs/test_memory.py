"""Observations that remember: history, delay and filter, over steps, restarts and episode ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import observations
from mimic.envs.memory import TermMemory, filter_gain
from mimic.envs.terms import ObservationTerm
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError

Build = Callable[..., Environment]
CPU = torch.device("cpu")


def memory(term: ObservationTerm, envs: int = 2) -> TermMemory:
    return TermMemory(term, 1, envs, 0.02, CPU, torch.Generator().manual_seed(0))


def term(**options: Any) -> ObservationTerm:
    return ObservationTerm(function=observations.joint_vel, **options)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_history_stands_side_by_side_and_begins_with_the_first_value() -> None:
    m = memory(term(history=3))
    assert m.see(column(1.0, 5.0)).tolist() == [[1.0, 1.0, 1.0], [5.0, 5.0, 5.0]]
    assert m.see(column(2.0, 6.0)).tolist() == [[1.0, 1.0, 2.0], [5.0, 5.0, 6.0]]
    assert m.see(column(3.0, 7.0)).tolist() == [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]
    m.reset(torch.tensor([1]))
    assert m.see(column(4.0, 9.0)).tolist() == [[2.0, 3.0, 4.0], [9.0, 9.0, 9.0]]


def test_looking_again_replaces_the_value_of_the_step() -> None:
    m = memory(term(history=2))
    m.see(column(1.0, 1.0))
    m.see(column(2.0, 2.0))
    assert m.see(column(3.0, 2.0), again=True).tolist() == [[1.0, 3.0], [1.0, 2.0]]
    assert m.see(column(4.0, 4.0)).tolist() == [[3.0, 4.0], [2.0, 4.0]]


def test_what_would_be_seen_is_not_kept() -> None:
    m = memory(term(history=2))
    m.see(column(1.0, 5.0))
    assert m.would_see(torch.tensor([1]), column(6.0)).tolist() == [[5.0, 6.0]]
    assert m.see(column(2.0, 7.0)).tolist() == [[1.0, 2.0], [5.0, 7.0]]


def test_delays_are_drawn_for_each_environment_and_again_at_restarts() -> None:
    m = memory(term(delay=(0, 3)), envs=400)
    assert sorted(set(m.latency.tolist())) == [0, 1, 2, 3]
    before = m.latency.clone()
    for step in range(6):
        seen = m.see(torch.full((400, 1), float(step)))
        expected = (step - m.latency).clamp_min(0).float()
        assert torch.equal(seen[:, 0], expected)
    half = torch.arange(200)
    m.reset(half)
    assert torch.equal(m.latency[200:], before[200:])
    assert not torch.equal(m.latency[:200], before[:200])
    # A restarted environment sees its first value until later ones arrive.
    seen = m.see(torch.full((400, 1), 9.0))
    assert torch.equal(seen[:200, 0], torch.full((200,), 9.0))
    assert torch.equal(seen[200:, 0], 5.0 + (m.latency[200:] == 0).float() * 4.0 - (
        m.latency[200:] - 1).clamp_min(0).float())  # fmt: skip


def test_a_delayed_history_is_late_as_a_whole() -> None:
    m = memory(term(history=2, delay=(1, 1)))
    for value in (1.0, 2.0, 3.0):
        seen = m.see(column(value, -value))
    assert seen.tolist() == [[1.0, 2.0], [-1.0, -2.0]]


def test_the_filter_is_first_order_and_starts_settled() -> None:
    cutoff = 5.0
    gain = filter_gain(cutoff, 0.02)
    assert gain == pytest.approx(1 - math.exp(-2 * math.pi * cutoff * 0.02))
    assert filter_gain(0.0, 0.02) == 1.0
    m = memory(term(filter=cutoff))
    assert m.see(column(1.0, 3.0)).tolist() == [[1.0], [3.0]]
    first = m.see(column(2.0, 3.0))
    torch.testing.assert_close(first, column(1.0 + gain, 3.0))
    again = m.see(column(0.0, 3.0), again=True)
    torch.testing.assert_close(again, column(1.0 - gain, 3.0))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"history": 0}, "history must be at least 1"),
        ({"delay": (2, 1)}, "delay must be a range"),
        ({"filter": -1.0}, "filter must not be negative"),
    ],
)
def test_impossible_memories_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(MimicError, match=text):
        term(**options)


# in an environment -------------------------------------------------------------------------


def remembering(endless: TaskConfig) -> TaskConfig:
    actor = {
        "command": ObservationTerm(function=observations.command),
        "joint_pos": ObservationTerm(function=observations.joint_pos, history=3),
        "actions": ObservationTerm(function=observations.actions, history=2, delay=(1, 1)),
    }
    return replace(
        endless,
        observations={**endless.observations, "actor": actor},
        terminations={"time_out": tracking().terminations["time_out"]},
    )


def drawn(steps: int, envs: int) -> torch.Tensor:
    return 0.3 * torch.randn(steps, envs, 29, generator=torch.Generator().manual_seed(4))


def test_an_environments_history_is_that_of_its_own_steps(
    build: Build, endless: TaskConfig
) -> None:
    env = build(remembering(endless), num_envs=4)
    widths = [entry.width for entry in env.spec.observations["actor"]]
    assert widths == [58, 3 * 29, 2 * 29] and env.spec.sizes["actor"] == sum(widths)
    env.episode_length_buf = torch.tensor([0, 0, 497, 0])
    joints: list[torch.Tensor] = [env.state.robot.joint_pos - env.default_joint_pos]
    for step, action in enumerate(drawn(5, 4)):
        observed, _, dones, extras = env.step(action)
        joints.append((env.state.robot.joint_pos - env.default_joint_pos).clone())
        history = observed["actor"][:, 58 : 58 + 87].unflatten(1, (3, 29))
        times = [max(0, step + 1 - back) for back in (2, 1, 0)]
        running = [0, 1, 3]
        for place, time in enumerate(times):
            torch.testing.assert_close(history[running, place], joints[time][running])
        if dones.any():
            assert step == 2 and dones.tolist() == [False, False, True, False]
            final = extras["final_observations"]["actor"][0, 58 : 58 + 87].unflatten(0, (3, 29))
            torch.testing.assert_close(final[:2], torch.stack(joints[1:3])[:, 2])
            assert not torch.equal(final[2], joints[3][2])
            # The new episode has seen one state only.
            torch.testing.assert_close(history[2], joints[3][2].expand(3, -1))
        late = observed["actor"][:, 58 + 87 :].unflatten(1, (2, 29))
        if step >= 2:
            torch.testing.assert_close(late[running, 1], drawn(5, 4)[step - 1][running])


def test_observing_again_does_not_make_history(build: Build, endless: TaskConfig) -> None:
    env, twin = build(remembering(endless)), build(remembering(endless))
    first, second = drawn(2, 3)
    for each in (env, twin):
        each.step(first)
    for _ in range(3):
        env.observe()
    seen, wanted = env.step(second)[0]["actor"], twin.step(second)[0]["actor"]
    torch.testing.assert_close(seen, wanted)


def test_a_history_is_reflected_value_by_value(build: Build, endless: TaskConfig) -> None:
    env = build(remembering(endless))
    reflect = env.spec.reflections()
    values = torch.randn(5, env.spec.sizes["actor"])
    assert torch.equal(reflect["actor"](reflect["actor"](values)), values)
    history = values[:, 58 : 58 + 87].unflatten(1, (3, 29))
    mirrored = reflect["actor"](values)[:, 58 : 58 + 87].unflatten(1, (3, 29))
    torch.testing.assert_close(mirrored, reflect["actions"](history))


def test_noise_is_drawn_once_for_each_value(build: Build, endless: TaskConfig) -> None:
    noisy = {"joint_pos": ObservationTerm(function=observations.joint_pos, noise=0.1, history=2)}
    env = build(replace(endless, observations={"actor": noisy}, observation_noise=True))
    before = env.step(drawn(1, 3)[0])[0]["actor"][:, 29:].clone()
    after = env.step(drawn(1, 3)[0])[0]["actor"][:, :29]
    assert torch.equal(before, after)
