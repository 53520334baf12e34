"""Figures of smoothness against signals whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimic.evaluation.smoothness import (
    FIGURES,
    Signals,
    contact_toggles,
    figures,
    high_share,
    largest_mean,
    root_mean_square,
    torque_jumps,
    touchdown_peaks,
)


def test_torque_jumps() -> None:
    torque = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [0.0, 10.0]])
    jump, ratio = torque_jumps(torque, 0.01)
    assert jump.tolist() == pytest.approx([0.0, 500.0, 1000.0])
    assert ratio.tolist() == pytest.approx([0.0, 1.0, 1.0])
    assert torque_jumps(np.zeros((3, 2)), 0.01)[1].tolist() == [0.0, 0.0]


def test_largest_mean_of_a_window() -> None:
    values = np.array([0.0, 1.0, 5.0, 3.0, 0.0])
    assert largest_mean(values, 1) == 5.0
    assert largest_mean(values, 2) == 4.0
    assert largest_mean(values, 99) == pytest.approx(1.8)
    assert math.isnan(largest_mean(np.array([]), 3))


def test_share_of_high_frequencies() -> None:
    t = np.arange(0.0, 10.0, 0.005)
    slow, fast = np.sin(2 * np.pi * 2.0 * t), np.sin(2 * np.pi * 25.0 * t)
    assert high_share(slow[:, None], 0.005, 10.0, 40.0) < 1e-3
    assert high_share(fast[:, None], 0.005, 10.0, 40.0) > 0.999
    # Equal amplitudes have equal power; a constant has none that counts.
    both = (slow + fast + 7.0)[:, None]
    assert high_share(both, 0.005, 10.0, 40.0) == pytest.approx(0.5, abs=0.02)
    assert high_share(np.c_[slow, fast], 0.005, 10.0, 40.0) == pytest.approx(0.5, abs=0.02)
    assert math.isnan(high_share(slow[:5, None], 0.005, 10.0, 40.0))
    assert math.isnan(high_share(np.ones((99, 1)), 0.005, 10.0, 40.0))
    # At 50 samples a second nothing above 22.5 Hz is seen, and at 20 not even 10 Hz.
    assert math.isnan(high_share(slow[:, None], 0.05, 10.0, np.inf))


def test_contacts() -> None:
    force = np.zeros((100, 2))
    force[:50, 0] = 300.0  # stands, lifts off once
    force[20:30, 1] = np.linspace(100.0, 1000.0, 10)  # comes down and lifts off
    assert contact_toggles(force, 0.005) == pytest.approx(3 / 0.5)
    assert touchdown_peaks(force, 0.005).tolist() == [1000.0]
    # 50 ms are 5 samples at 100 Hz: the peak after them is no impact.
    assert touchdown_peaks(force, 0.01).tolist() == [500.0]


def test_all_figures_of_an_episode_are_told_and_a_rough_one_is_worse() -> None:
    t, fine = np.arange(0.0, 4.0, 0.02), np.arange(0.0, 4.0, 0.005)
    rng = np.random.default_rng(0)

    def episode(noise: float) -> dict[str, float]:
        return figures(
            Signals(
                torque=10 * np.sin(2 * fine)[:, None] + noise * rng.normal(size=(len(fine), 3)),
                foot_force=np.where(np.sin(9 * fine) > 0, 300.0, 0.0)[:, None]
                * (1 + noise) * np.ones((1, 2)),
                physics_dt=0.005, control_dt=0.02, weight=400.0, effort_limit=np.full(3, 50.0),
                joint_velocity=np.cos(2 * t)[:, None] + noise * rng.normal(size=(len(t), 3)),
                action=np.sin(2 * t)[:, None] + noise * rng.normal(size=(len(t), 3)),
                torso_rate=0.1 * np.c_[np.sin(3 * t), np.cos(t)]
                + noise * rng.normal(size=(len(t), 2)),
                foot_speed=np.full((len(t), 2), 0.01 + noise),
                foot_force_then=np.full((len(t), 2), 300.0),
            )
        )  # fmt: skip

    smooth, rough = episode(0.0), episode(0.5)
    assert list(smooth) == list(FIGURES)
    same = {"contact_toggles"}
    assert all(rough[name] > smooth[name] for name in FIGURES if name not in same)
    assert smooth["torque_rms"] == pytest.approx(10 / math.sqrt(2), rel=0.05)
    assert smooth["torque_peak_share"] == pytest.approx(0.2, abs=1e-3)
    assert smooth["joint_acceleration_rms"] == pytest.approx(2 / math.sqrt(2), rel=0.05)
    assert smooth["joint_jerk_rms"] == pytest.approx(4 / math.sqrt(2), rel=0.05)
    assert smooth["foot_impact_weights"] == pytest.approx(0.75)
    assert smooth["stance_slip_p95"] == pytest.approx(0.01)
    assert root_mean_square(np.array([3.0, 4.0, 0.0, 0.0])) == 2.5
