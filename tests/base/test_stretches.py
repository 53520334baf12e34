"""What is calculated a stretch at a time has the bits of what is calculated at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import mimic_base.signals
from mimic_base.rotations import angular_velocity, quat_continuous, quat_normalize
from mimic_base.signals import low_pass
from mimic_base.stretches import by_stretches, stretches
from motions.robot.motion import velocity

Array = np.ndarray


def test_stretches_cover_all_frames_once() -> None:
    assert list(stretches(0)) == []
    assert list(stretches(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    values = np.arange(14.0).reshape(7, 2)
    np.testing.assert_array_equal(by_stretches(lambda a, b: a[:, 0] * b[:, 1], values, values,
                                               size=3), values[:, 0] * values[:, 1])  # fmt: skip


def unit_quats(frames: int) -> Array:
    rng = np.random.default_rng(0)
    return quat_normalize(rng.normal(size=(frames, 3, 4)))


@pytest.mark.parametrize(
    "function",
    [quat_continuous, lambda q: angular_velocity(q, 60.0), lambda q: velocity(q, 60.0)],
    ids=["quat_continuous", "angular_velocity", "velocity"],
)
@pytest.mark.parametrize("frames", [2, 7, 8, 9, 50])
def test_neighbours_are_seen_across_stretches(
    function: Callable[[Array], Array], frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quat = unit_quats(frames)
    whole = function(quat)

    def short(count: int, size: int = 7) -> list[slice]:
        return list(stretches(count, size))

    for module in ("mimic_base.rotations", "motions.robot.motion"):
        monkeypatch.setattr(f"{module}.stretches", short)
    np.testing.assert_array_equal(function(quat), whole)


def test_quaternions_are_made_continuous_one_after_the_other() -> None:
    quat = unit_quats(40)
    expected = quat.copy()
    for t in range(1, len(quat)):
        opposite = (expected[t] * expected[t - 1]).sum(axis=-1) < 0
        expected[t][opposite] *= -1
    np.testing.assert_array_equal(quat_continuous(quat), expected)


def test_a_filter_takes_columns_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.random.default_rng(1).normal(size=(60, 5, 3))
    whole = low_pass(signal, 60.0, 6.0)
    monkeypatch.setattr(mimic_base.signals, "_TOGETHER", 60 * 4)
    np.testing.assert_array_equal(low_pass(signal, 60.0, 6.0), whole)
