"""Deadlines are absolute, overruns are counted, and a late loop does not hurry after itself."""

from __future__ import annotations

import pytest

from mimic.deploy.pace import Pace
from mimic.deploy.timing import Deadlines, StageTimes
from mimic_base.errors import RobotError


class Time:
    def __init__(self) -> None:
        self.now = 5.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_steps_are_due_a_period_apart_whatever_they_take() -> None:
    time = Time()
    deadlines = Deadlines(0.02, time, time.sleep)
    starts = []
    for work in (0.004, 0.019, 0.001, 0.010):
        assert deadlines.wait() == pytest.approx(0.0, abs=1e-12)
        starts.append(time.now)
        time.now += work
    assert starts == pytest.approx([5.0, 5.02, 5.04, 5.06])
    assert deadlines.overruns == 0 and deadlines.missed == 0


def test_a_late_step_is_counted_and_what_was_missed_is_left_out() -> None:
    time = Time()
    deadlines = Deadlines(0.02, time, time.sleep)
    deadlines.wait()
    time.now += 0.073
    assert deadlines.wait() == pytest.approx(0.013)
    assert deadlines.overruns == 1 and time.slept == []
    time.now += 0.001
    assert deadlines.wait() == pytest.approx(0.0, abs=1e-12)
    # Due at 5.00, then (5.02, 5.04 left out) at 5.06, then at 5.08.
    assert time.now == pytest.approx(5.08)
    for _ in range(60):
        time.now += 0.001
        deadlines.wait()
    assert deadlines.overruns == 0 and deadlines.missed == 1


def test_stages() -> None:
    time = Time()
    times = StageTimes(("read", "act"), time)
    for work in range(1, 101):
        times.begin()
        time.now += 0.001
        times.end("read")
        time.now += 0.0001 * work
        times.end("act")
    (read, act) = times.table()
    assert read == ("read", 100, pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0))
    assert act[2:] == (pytest.approx(5.05), pytest.approx(9.901), pytest.approx(10.0))
    assert "p99" in times.lines()[0] and len(times.lines()) == 3


def test_a_pace_that_is_none_is_refused() -> None:
    for pace in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(RobotError, match="pace is a share of real time"):
            Pace(pace)
    slow = Pace(0.5)
    before = slow.now()
    slow.sleep(0.01)
    assert slow.now() - before >= 0.01
