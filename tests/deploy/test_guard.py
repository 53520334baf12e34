"""The guard sends what it is asked for while all is well, and damps from the first trip on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic.deploy.guard import Guard, Request
from mimic.deploy.modes import Mode

TICK = 0.002


@pytest.fixture
def guard(identity, limits) -> Guard:
    return Guard(identity, limits)


def request(number: int = 1, **changes: object) -> Request:
    usual: dict[str, object] = {
        "number": number,
        "mode": Mode.TRACK,
        "joint_pos": np.array([0.05, 0.0, 0.0]),
        "kp": np.array([100.0, 50.0, 20.0]),
        "kd": np.array([5.0, 2.0, 1.0]),
        "up_b": np.array([0.0, 0.0, 1.0]),
        "reference": np.zeros(3),
    }
    return Request(**{**usual, **changes})  # type: ignore[arg-type]


class Drive:
    """A guard with a robot and a loop that are well, unless told otherwise."""

    def __init__(self, guard: Guard, make_state) -> None:
        self.guard, self.make_state = guard, make_state
        self.now, self.number = 100.0, 0

    def __call__(self, seconds: float, *, loop: bool = True, states: bool = True, **wrong):
        rejected = wrong.pop("rejected", 0)
        changes = wrong.pop("request", {})
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            if states:
                self.state = self.make_state(
                    **{"time": self.now, "tick": round(self.now * 1000), **wrong}
                )
            if loop:
                self.number += 1
                self.request = request(self.number, **changes)
            self.verdict = self.guard.tick(self.now, self.state, self.request, rejected)
            if self.guard.trip:
                assert self.verdict.command is not None and self.verdict.command.damps
        return self.verdict


@pytest.fixture
def drive(guard: Guard, make_state) -> Drive:
    return Drive(guard, make_state)


def test_nothing_is_sent_before_anything_is_known(guard: Guard) -> None:
    assert guard.tick(100.0, None).command is None
    assert guard.tick(100.002, None, request()).command is None


def test_it_damps_until_the_loop_asks(guard: Guard, make_state) -> None:
    command = guard.tick(100.0, make_state()).command
    assert command is not None and command.damps and command.mode_machine == 5
    for mode in (Mode.PASSIVE, Mode.DISCONNECTED):
        asked = guard.tick(100.002, make_state(time=100.002), request(int(mode) + 1, mode=mode))
        assert asked.command is not None and asked.command.damps and not asked.trip


def test_it_sends_what_it_is_asked_for(drive: Drive) -> None:
    verdict = drive(0.1)
    assert verdict.command is not None
    assert verdict.trip == "" and np.allclose(verdict.command.joint_pos, [0.05, 0.0, 0.0])
    assert list(verdict.command.kp) == [100.0, 50.0, 20.0]


WRONG = {
    "asked": ({"request": {"stop": "enough"}}, TICK),
    "remote": ({"remote": b"\0\0\0\2" + bytes(36)}, TICK),
    "stale": ({"states": False}, 0.040),
    "frozen": ({"tick": 3}, 0.040),
    "checksum": ({"rejected": 10}, TICK),
    "mode_machine": ({"mode_machine": 6}, TICK),
    "finite": ({"joint_pos": [np.nan, 0, 0]}, TICK),
    "silent": ({"loop": False}, 0.060),
    "overrun": ({"request": {"overruns": 5}}, TICK),
    "tilt": ({"imu_quat_w": [0.7071, 0.7071, 0, 0]}, TICK),
    "speed": ({"joint_vel": [0, -30.5, 0]}, TICK),
    "tracking": ({"request": {"reference": np.array([0, 1.25, 0])}}, 0.3),
    "motor": ({"motor_error": [1, 0, 0]}, TICK),
    "hot": ({"motor_temperature": [91, 0, 0]}, TICK),
    "command": ({"request": {"joint_pos": np.array([0, np.nan, 0])}}, TICK),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_makes_it_damp_in_time_and_for_ever(name: str, drive: Drive) -> None:
    wrong, within = WRONG[name]
    assert drive(0.1).trip == ""
    drive(within + 2 * TICK, **wrong)
    assert drive.guard.trip == name and drive.guard.told
    # All is well again, and yet it damps, tick after tick.
    before = drive.guard.tripped_at
    drive(0.5)
    assert drive.guard.trip == name and drive.guard.tripped_at == before


def test_a_robot_that_is_not_heard_of_is_stale_and_not_frozen(guard: Guard, make_state) -> None:
    # A state is stamped as it is read, somewhat after the tick's own time.
    state = make_state(time=100.0015, tick=3)
    for tick in range(40):
        guard.tick(100.0 + tick * TICK, state, request(tick))
    assert guard.trip == "stale"


def test_time_that_jumps_trips(drive: Drive) -> None:
    drive(0.1)
    drive.now += 0.5
    drive(TICK)
    assert drive.guard.trip == "stalled" and "502 ms" in drive.guard.told


def test_a_reset_counts_in_the_passive_mode_of_a_robot_that_is_well(drive: Drive) -> None:
    drive(0.1)
    drive(TICK, motor_error=[0, 1, 0])
    drive(0.1, request={"reset": True})
    assert drive.guard.trip == "motor"
    drive(0.1, motor_error=[0, 1, 0], request={"mode": Mode.PASSIVE, "reset": True})
    assert drive.guard.trip == "motor"
    drive(0.1, request={"mode": Mode.PASSIVE, "reset": True})
    assert drive.guard.trip == ""
    command = drive(0.1).command
    assert command is not None and not command.damps


def test_a_loop_that_died_cannot_be_reset_by_its_last_request(drive: Drive) -> None:
    drive(0.1, request={"mode": Mode.PASSIVE, "reset": True})
    drive(0.5, loop=False)
    assert drive.guard.trip == "silent"


def test_a_new_request_is_told_by_its_number(guard: Guard, make_state) -> None:
    # The same request again, however often, is silence.
    one = request(1)
    for tick in range(40):
        now = 100.0 + tick * TICK
        guard.tick(now, make_state(time=now, tick=tick), replace(one))
    assert guard.trip == "silent"
