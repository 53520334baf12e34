"""The mathematics of students: schedules, gates, divergences, who labels what."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mimic.learning.algorithms.dagger import imitation_loss, with_teacher
from mimic.learning.algorithms.supervised_then_rl import weights_at
from mimic.learning.parallel_ppo.guide import gaussian_kl
from mimic.learning.schedules import CriticGate, cosine, explained_variance, ramp
from mimic.learning.student_config import SUPERVISED_THEN_RL_PRESETS, SupervisedThenRLConfig
from mimic.learning.teachers import _teachers_of_clips
from mimic_base.errors import MimicError


def test_the_pull_falls_along_a_cosine_from_its_initial_value() -> None:
    assert cosine(0.1, 0.01, 0.0) == pytest.approx(0.1)
    assert cosine(0.1, 0.01, 0.5) == pytest.approx(0.055)
    assert cosine(0.1, 0.01, 0.25) == pytest.approx(0.01 + 0.045 * (1 + math.cos(math.pi / 4)))
    assert cosine(0.1, 0.01, 1.0) == cosine(0.1, 0.01, 7.0) == pytest.approx(0.01)


def test_a_ramp_is_straight_between_two_levels() -> None:
    assert [ramp(i, 10, 20) for i in (0, 10, 15, 30, 99)] == [0.0, 0.0, 0.25, 1.0, 1.0]
    assert [ramp(i, 10, 0) for i in (9, 10)] == [0.0, 1.0]


def test_the_divergence_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, other = torch.randn(2, 5, 3, generator=generator)
    std, other_std = torch.rand(2, 5, 3, generator=generator) + 0.1
    expected = kl_divergence(Normal(mean, std), Normal(other, other_std)).sum(-1)
    torch.testing.assert_close(gaussian_kl(mean, std, other, other_std), expected)
    torch.testing.assert_close(gaussian_kl(mean, std, mean, std), torch.zeros(5))


def test_explained_variance_is_that_of_a_perfect_a_constant_and_a_wrong_critic() -> None:
    returns = torch.tensor([0.0, 1.0, 2.0, 5.0])
    assert explained_variance(returns + 3.0, returns) == pytest.approx(1.0)
    assert explained_variance(torch.full((4,), 7.0), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert explained_variance(returns, torch.ones(4)) == 0.0


def test_the_gate_opens_after_enough_good_updates_in_a_row_and_stays_open() -> None:
    gate = CriticGate(threshold=0.6, patience=3, decay=0.0)
    seen = [0.9, 0.9, 0.5, 0.9, 0.9, 0.9]
    for update, value in enumerate(seen):
        gate.see(value, update)
        assert (gate.opened_at is not None) == (update == 5)
    gate.see(-4.0, 6)
    assert gate.opened_at == 5
    # The moving average, not the last value, has to be good.
    slow = CriticGate(threshold=0.6, patience=1, decay=0.9)
    for update, value in enumerate([0.0, 1.0, 1.0]):
        slow.see(value, update)
    assert slow.opened_at is None and slow.average == pytest.approx(0.19)
    # What was good before it counted does not count.
    early = CriticGate(threshold=0.6, patience=2, decay=0.0)
    early.see(0.9, 0, ready=False)
    early.see(0.9, 1)
    assert early.opened_at is None
    copy = CriticGate(threshold=0.6, patience=2, decay=0.0)
    copy.load_state_dict(early.state_dict())
    copy.see(0.9, 2)
    assert copy.opened_at == 2


def test_the_phases_of_supervised_then_rl_are_intermimics() -> None:
    c = SupervisedThenRLConfig()
    share = {i: weights_at(c, i, None).teacher_share for i in (0, 500, 3000, 5500, 9999)}
    assert share == {0: 1.0, 500: 1.0, 3000: 0.5, 5500: 0.0, 9999: 0.0}
    critic = [weights_at(c, i, None).critic for i in (4999, 5500, 6000)]
    assert critic == [0.0, 0.5, 1.0]
    shut = weights_at(c, 50_000, None)
    assert (shut.imitation, shut.surrogate) == (1.0, 0.0)
    half, over = weights_at(c, 8000, 6000), weights_at(c, 12_000, 6000)
    assert half.surrogate == 0.5 and half.imitation == pytest.approx(0.55)
    assert over.surrogate == 1.0 and over.imitation == pytest.approx(0.1)
    assert SUPERVISED_THEN_RL_PRESETS["gpu"].algorithm.supervised == 5000


def test_a_teacher_that_still_acts_while_rewards_are_learnt_is_refused() -> None:
    with pytest.raises(MimicError, match="acts up to iteration .* = 5500, while .* = 5200 on"):
        SupervisedThenRLConfig(supervised=5000, critic_warmup=200)


def test_the_teacher_acts_in_its_share_of_the_environments() -> None:
    torch.manual_seed(0)
    own, labels = torch.zeros(4000, 2), torch.ones(4000, 2)
    assert with_teacher(own, labels, 0.0) is own
    assert torch.equal(with_teacher(own, labels, 1.0), labels)
    mixed = with_teacher(own, labels, 0.3)
    assert torch.equal(mixed[:, 0], mixed[:, 1])
    assert float(mixed[:, 0].mean()) == pytest.approx(0.3, abs=0.03)


def test_losses_are_their_definitions() -> None:
    mean, labels = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2, 2)
    std = torch.full((2, 2), 2.0)
    assert float(imitation_loss("mse", mean, labels, std)) == pytest.approx(25 / 4)
    assert float(imitation_loss("norm", mean, labels, std)) == pytest.approx(2.5)
    assert float(imitation_loss("huber", mean, labels, std)) == pytest.approx((2.5 + 3.5) / 4)
    assert float(imitation_loss("kl", mean, labels, std)) == pytest.approx(25 / 8 / 2)


def test_each_clip_has_the_first_teacher_that_knows_it() -> None:
    clips = (("a", "b"), ("b", "c"))
    found = _teachers_of_clips(("c", "b", "a", "x", "y"), clips, "cpu")
    assert found.tolist() == [1, 0, 0, 1, 0]
