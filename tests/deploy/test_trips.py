"""Each trip answers at its threshold and says why, and all are quiet on a robot that is well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mimic.deploy.messages import Odometry, Remote, remote_bytes
from mimic.deploy.modes import Mode
from mimic.deploy.trips import TRIPS, Moment, Thresholds, first_trip
from mimic_base.errors import RobotError

AT = Thresholds()


@pytest.fixture
def moment(identity, make_state) -> Moment:
    return Moment(
        mode=Mode.TRACK,
        identity=identity,
        state=make_state(),
        state_age=0.002,
        tick_age=0.002,
        rejected_in_row=0,
        mode_machine=5,
        since_tick=0.002,
        silence=0.01,
        overruns=0,
        up_b=np.array([0.0, 0.0, 1.0]),
        off_reference=0.0,
        asked="",
    )


def test_a_robot_that_is_well_trips_nothing(moment: Moment) -> None:
    assert first_trip(moment, AT) == ("", "")


def of_state(**changes: object) -> Callable[[Moment], Moment]:
    return lambda moment: replace(moment, state=replace(moment.state, **changes))


def of_moment(**changes: object) -> Callable[[Moment], Moment]:
    return lambda moment: replace(moment, **changes)


def leaning(angle: float) -> list[float]:
    return [math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0]


CASES: dict[str, tuple[Callable[[Moment], Moment], Callable[[Moment], Moment], str]] = {
    # name: what just still passes, what trips, words of the sentence
    "asked": (of_moment(asked=""), of_moment(asked="the operator"), "the operator"),
    "remote": (
        of_state(remote=remote_bytes(Remote.A, Remote.L2)),
        of_state(remote=remote_bytes(Remote.A, Remote.B)),
        "button B of the remote",
    ),
    "stalled": (of_moment(since_tick=0.04), of_moment(since_tick=0.041), "stood still for 41 ms"),
    "stale": (of_moment(state_age=0.04), of_moment(state_age=0.041), "no state for 41 ms"),
    "frozen": (of_moment(tick_age=0.04), of_moment(tick_age=0.05), "not advanced for 50 ms"),
    "checksum": (of_moment(rejected_in_row=9), of_moment(rejected_in_row=10), "10 messages in a"),
    "mode_machine": (of_state(mode_machine=5), of_state(mode_machine=4), "is 4, was 5"),
    "finite": (
        of_state(imu_quat_w=[0.95, 0.0, 0.0, 0.0]),
        of_state(joint_vel=[0.0, np.nan, 0.0]),
        "joint_vel is not finite",
    ),
    "silent": (of_moment(silence=0.06), of_moment(silence=0.0601), "no request of the loop"),
    "overrun": (of_moment(overruns=4), of_moment(overruns=5), "5 of the last 50"),
    "tilt": (
        of_state(imu_quat_w=leaning(0.79)), of_state(imu_quat_w=leaning(-0.81)), "tilted 0.81 rad",
    ),
    "speed": (
        of_state(joint_vel=[0.0, -30.0, 0.0]), of_state(joint_vel=[0.0, 30.1, 0.0]), "'knee'",
    ),
    "tracking": (of_moment(off_reference=0.3), of_moment(off_reference=0.31), "1.2 rad from its"),
    "motor": (
        of_state(motor_error=[0.0, 0.0, 0.0]), of_state(motor_error=[0, 0, 12]), "'ankle' tells er",
    ),
    "hot": (
        of_state(motor_temperature=[90.0, 20.0, 20.0]),
        of_state(motor_temperature=[20.0, 90.5, 20.0]),
        "motor 'knee' has 90 degrees",
    ),
}  # fmt: skip


def test_every_trip_has_a_case() -> None:
    assert set(CASES) == set(TRIPS)


@pytest.mark.parametrize("name", CASES)
def test_a_trip_answers_at_its_threshold(name: str, moment: Moment) -> None:
    fine, wrong, words = CASES[name]
    assert TRIPS[name](fine(moment), AT) == ""
    assert words in TRIPS[name](wrong(moment), AT)
    assert first_trip(wrong(moment), AT)[0] == name


def test_joint_speed_trips_either_way(moment: Moment) -> None:
    for sign in (-1.0, 1.0):
        told = TRIPS["speed"](of_state(joint_vel=[sign * 20.1, 0, 0])(moment), AT)
        assert f"{sign * 20.1:.1f} rad/s" in told


def test_tilt_is_relative_to_the_reference(moment: Moment) -> None:
    # The clip lies down: a robot that lies with it is well, one that stands is not.
    lying = leaning(math.pi / 2)
    up_b = np.array([-1.0, 0.0, 0.0])
    assert TRIPS["tilt"](of_state(imu_quat_w=lying)(replace(moment, up_b=up_b)), AT) == ""
    assert "tilted 1.57" in TRIPS["tilt"](replace(moment, up_b=up_b), AT)
    # Heading plays no part.
    turned = of_state(imu_quat_w=[math.cos(1.0), 0.0, 0.0, math.sin(1.0)])(moment)
    assert TRIPS["tilt"](turned, AT) == ""


@pytest.mark.parametrize("name", ["tilt", "speed", "tracking"])
@pytest.mark.parametrize("mode", [Mode.PASSIVE, Mode.DAMPING, Mode.DISCONNECTED])
def test_a_limp_robot_may_lie_and_be_moved(name: str, mode: Mode, moment: Moment) -> None:
    wrong = CASES[name][1](replace(moment, mode=mode))
    assert TRIPS[name](wrong, AT) == ""


def test_every_measured_number_is_looked_at(moment: Moment) -> None:
    for name in ("joint_pos", "joint_torque", "motor_temperature", "gyro", "accelerometer"):
        values = np.array(getattr(moment.state, name))
        values[-1] = np.inf
        assert f"{name} is not finite" in TRIPS["finite"](of_state(**{name: values})(moment), AT)
    # What some drivers tell before the first message.
    assert "length 0.00" in TRIPS["finite"](of_state(imu_quat_w=np.zeros(4))(moment), AT)
    lost = Odometry(pos_w=[np.nan, 0, 0], lin_vel_b=np.zeros(3))
    assert "odometry is not finite" in TRIPS["finite"](of_state(odometry=lost)(moment), AT)


def test_thresholds_are_numbers_that_mean_something() -> None:
    for name in ("state_age", "tilt", "overruns"):
        for value in (0, -1, math.nan, math.inf):
            with pytest.raises(RobotError, match=f"threshold {name} must be positive"):
                replace(AT, **{name: value})
    with pytest.raises(RobotError, match="the remote has R1, L1"):
        replace(AT, stop_buttons=("STOP",))
    with pytest.raises(RobotError, match="found none"):
        replace(AT, stop_buttons=())
