"""The mathematics of discriminators, each against a form of its own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mimic.learning.modules import discriminator as d
from mimic.learning.storage.past_samples import PastSamples


def test_cross_entropy_of_a_batch_worked_out_by_hand() -> None:
    robot, clips = torch.tensor([0.0, 2.0]), torch.tensor([1.0])
    # BCE(D, 0) = log(1 + e^D), BCE(D, 1) = log(1 + e^-D)
    false = (math.log(2.0) + math.log(1.0 + math.e**2)) / 2
    true = math.log(1.0 + math.e**-1)
    assert d.cross_entropy(robot, clips).item() == pytest.approx((false + true) / 2, rel=1e-6)


def test_least_squares_of_a_batch_worked_out_by_hand() -> None:
    robot, clips = torch.tensor([0.0, -1.0, 1.0]), torch.tensor([1.0, -1.0])
    assert d.least_squares(robot, clips).item() == pytest.approx(((1 + 0 + 4) / 3 + 2.0) / 2)


def test_rewards_at_known_logits() -> None:
    logits = torch.tensor([0.0, math.log(3.0), 50.0, -50.0])
    expected = torch.tensor([math.log(2.0), math.log(4.0), -math.log(1e-4), 0.0])
    torch.testing.assert_close(d.confusion_reward(logits), expected, atol=1e-5, rtol=1e-5)
    squares = d.least_squares_reward(torch.tensor([1.0, -1.0, 0.0, 3.0, -4.0]))
    torch.testing.assert_close(squares, torch.tensor([1.0, 0.0, 0.75, 0.0, 0.0]))


def test_the_gradient_penalty_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1), nn.Flatten(0)).double()
    at, step = torch.randn(4, 5).double(), 1e-6
    slopes = torch.zeros(4, 5).double()
    for column in range(5):
        off = torch.zeros(5).double()
        off[column] = step
        slopes[:, column] = (network(at + off) - network(at - off)) / (2 * step)
    expected = slopes.square().sum(-1).mean()
    penalty = d.gradient_penalty(network, at)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-6)

    # Its own derivative by a weight, too: the penalty is trained through.
    weight = network[0].weight  # type: ignore[union-attr]
    (slope,) = torch.autograd.grad(penalty, weight)  # type: ignore[arg-type]
    found = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            weight[2, 3] += sign * step  # type: ignore[index,operator]
        found.append(d.gradient_penalty(network, at).item())
        with torch.no_grad():
            weight[2, 3] -= sign * step  # type: ignore[index,operator]
    assert slope[2, 3].item() == pytest.approx((found[0] - found[1]) / (2 * step), rel=1e-4)


def test_told_apart_counts_both_sides() -> None:
    right = d.told_apart(torch.tensor([-1.0, -2.0]), torch.tensor([3.0, 1.0]))
    half = d.told_apart(torch.tensor([-1.0, 2.0]), torch.tensor([3.0, -1.0]))
    assert (right, half) == (1.0, 0.5)


def test_the_scale_is_that_of_all_that_was_seen() -> None:
    network = d.Discriminator(3, (4,))
    torch.manual_seed(1)
    parts = [torch.randn(n, 3) * torch.tensor([1.0, 5.0, 0.1]) + 2.0 for n in (40, 7, 100)]
    for part in parts:
        network.learn_scale(part)
    every = torch.cat(parts)
    seen = network.normalised(every)
    torch.testing.assert_close(seen.mean(0), torch.zeros(3), atol=0.02, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.ones(3), atol=0.15, rtol=0)
    before = network.normalised(every[:1])
    assert torch.equal(network.normalised(every[:1]), before)


def test_past_samples_fill_then_change_slowly() -> None:
    torch.manual_seed(0)
    past = PastSamples(10, 2, "cpu")
    assert len(past) == 0 and past.sample(3).shape == (0,)
    past.add(torch.zeros(6, 1))
    past.add(torch.ones(9, 1))
    # Four of the nine fill it up; they are the newest.
    assert len(past) == 10 and float(past._rows.sum()) == 4.0  # type: ignore[union-attr]
    past.add(torch.full((50, 1), 2.0))
    rows = past._rows.squeeze(-1).tolist()  # type: ignore[union-attr]
    assert rows.count(2.0) == 2 and rows.count(0.0) == 4
    state = past.state_dict()
    other = PastSamples(10, 2, "cpu")
    other.load_state_dict(state)
    for each in (past, other):
        torch.manual_seed(5)
        each.add(torch.full((3, 1), 3.0))
        each.drawn = each.sample(6)  # type: ignore[attr-defined]
    assert torch.equal(past.drawn, other.drawn)  # type: ignore[attr-defined]
    nothing = PastSamples(0, 2, "cpu")
    nothing.add(torch.zeros(3, 1))
    assert len(nothing) == 0
