"""Reward kernels that grow sharper as the error falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mimic.envs.environment import Environment, TaskConfig, quiet_task
from mimic.envs.mdp import rewards
from mimic.envs.sharpness import Sharpness
from mimic.envs.terms import RewardTerm
from mimic_base.errors import MimicError


def kernel(adaptive: float, weight: float = 2.0) -> RewardTerm:
    return RewardTerm(
        function=rewards.anchor_position, weight=weight, parameters={"std": 0.5}, tracking=True,
        adaptive=adaptive,
    )  # fmt: skip


def test_a_width_follows_the_moving_average_of_the_error_down_and_never_up() -> None:
    sharp = Sharpness({"near": kernel(0.1), "plain": kernel(0.0)}, torch.device("cpu"))
    assert set(sharp.stds) == {"near"}

    def step(squared_error: float) -> float:
        reward = torch.exp(-torch.full((4,), squared_error) / sharp.stds["near"] ** 2)
        sharp.see({"near": 2.0 * reward, "plain": reward})
        return float(sharp.stds["near"])

    assert step(0.16) == pytest.approx((0.9 * 0.25 + 0.1 * 0.16) ** 0.5)
    before = step(0.04)
    assert before == pytest.approx((0.9 * (0.9 * 0.25 + 0.1 * 0.16) + 0.1 * 0.04) ** 0.5)
    assert step(2.0) == before
    for _ in range(200):
        least = step(0.0)
    assert least == pytest.approx(0.05)  # a tenth of the configured width
    copy = Sharpness({"near": kernel(0.1)}, torch.device("cpu"))
    copy.load_state_dict(sharp.state_dict())
    assert float(copy.stds["near"]) == pytest.approx(0.05)


def test_an_environment_rewards_by_the_present_width_and_keeps_it(
    build: Callable[..., Environment], endless: TaskConfig
) -> None:
    task = replace(endless, rewards={"near": kernel(0.5)})
    env = build(task)
    for _ in range(6):
        _, _, _, extras = env.step(torch.zeros(3, 29))
    std = env.sharpness.stds["near"].clone()
    assert float(std) < 0.3
    assert float(extras["log"]["sharpness/near"]) == pytest.approx(float(std))
    expected = 2.0 * rewards.anchor_position(env, std=float(std))
    env.sharpness.see = lambda weighted: None  # type: ignore[method-assign]
    torch.testing.assert_close(env._reward_terms()[0], expected)
    assert any(each is env.sharpness.stds["near"] for each in env.shared_statistics())
    other = build(task)
    other.load_state_dict(env.state_dict())
    assert torch.equal(other.sharpness.stds["near"], std)
    # A checkpoint from before there was one begins anew.
    old = {name: value for name, value in env.state_dict().items() if name != "sharpness"}
    build(task).load_state_dict(old)
    # Evaluations measure with one and the same width.
    assert quiet_task(task).rewards["near"].adaptive == 0.0


def test_only_kernels_adapt() -> None:
    with pytest.raises(MimicError, match="adaptive is a share from 0 to 1 of a reward with the"):
        RewardTerm(function=rewards.action_rate_l2, weight=-1.0, adaptive=0.1)
