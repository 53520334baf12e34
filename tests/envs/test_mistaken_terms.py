"""Mistakes in a task of one's own are told with the task, the term and what is expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mimic.envs.terms import EventTerm, RewardTerm, TerminationTerm
from mimic.tasks import make_env
from mimic.tasks.registry import task_config
from mimic_base.errors import MimicError
from robots import Robot
from tests.envs.conftest import sway


def wide(env: Any) -> torch.Tensor:
    return env.state.robot.joint_pos


def scalar(env: Any, factor: float) -> Any:
    return factor


def build(tiny: Robot, **changes: Any) -> Any:
    config = replace(task_config("tracking"), **changes)
    return make_env(config, [sway(tiny)], num_envs=2, robot=tiny, threads=1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rewards": {"x": 3}}, r"rewards: 'x' is a int, expected a RewardTerm"),
        (
            {"rewards": {"x": RewardTerm(function=scalar, weight=1.0)}},
            r"task 'tracking': rewards: 'x': scalar\(env.*factor.*missing a required argument",
        ),
        (
            {"rewards": {"x": RewardTerm(function=wide, weight=1.0, parameters={"std": 1})}},
            r"rewards: 'x': wide.*unexpected keyword argument 'std'",
        ),
        (
            {"events": {"e": EventTerm(function=lambda env: None, mode="reset")}},
            r"events: 'e': <lambda>.*too many positional arguments",
        ),
    ],
)
def test_what_cannot_be_called_is_told_at_once(
    tiny: Robot, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(MimicError, match=text) as caught:
        build(tiny, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rewards": {"x": RewardTerm(function=wide, weight=1.0)}}, r"'x' returned shape \(2, 4\)"),
        (
            {"rewards": {"x": RewardTerm(function=scalar, weight=1, parameters={"factor": 2.0})}},
            r"'x' returned float, expected a tensor \(2,\)",
        ),
        ({"terminations": {"t": TerminationTerm(function=wide)}}, r"'t' returned shape \(2, 4\)"),
    ],
)
def test_what_returns_something_else_is_told_at_the_first_step(
    tiny: Robot, changes: dict[str, Any], text: str
) -> None:
    env = build(tiny, **changes)
    with pytest.raises(MimicError, match=text):
        env.step(torch.zeros(2, env.num_actions))
