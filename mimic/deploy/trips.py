"""What makes a robot damp: each reason a pure function of a moment and the thresholds.

A trip answers with a sentence, or with nothing where all is well. `TRIPS` lists them in the order
in which they are looked at; the first one that answers is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimic.deploy.messages import (
    STATE_ARRAYS,
    Array,
    Remote,
    RobotIdentity,
    RobotState,
    array,
    pressed,
)
from mimic.deploy.modes import ACTIVE, Mode
from mimic_base.errors import RobotError
from mimic_base.rotations import quat_inv_rotate


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a robot is made to damp."""

    state_age: float = 0.040
    """s without a new state."""
    frozen_tick: float = 0.040
    """s in which states came whose tick did not advance."""
    rejected_in_row: int = 10
    """Messages with a wrong checksum one after the other."""
    tilt: float = 0.8
    """rad between the directions of gravity in the base and in the reference's base."""
    joint_speed: float = 1.0
    """Joint speed of either sign, in times of the motor's velocity limit."""
    tracking_error: float = 1.2
    """rad of any joint away from its reference, for `tracking_time`."""
    tracking_time: float = 0.3
    """s."""
    temperature: float = 90.0
    """Degrees Celsius of any motor."""
    overruns: int = 5
    """Missed deadlines of the policy's loop among the last `overrun_window`."""
    overrun_window: int = 50
    """Control steps."""
    silence: float = 0.060
    """s without a request of the policy's loop: three control steps at 50 Hz."""
    stall: float = 0.040
    """s between two ticks of the guard itself: it, or the whole computer, stood still."""
    stop_buttons: tuple[str, ...] = ("B", "SELECT")
    """Buttons of the wireless remote that stop, each alone."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            numeric = isinstance(value, int | float)
            if numeric and not (math.isfinite(value) and value > 0):
                raise RobotError(f"threshold {name} must be positive (found {value})")
        unknown = [name for name in self.stop_buttons if name not in Remote.__members__]
        if unknown or not self.stop_buttons:
            raise RobotError(
                f"stop_buttons: the remote has {', '.join(Remote.__members__)} (found "
                f"{', '.join(unknown) or 'none'})"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """What trips look at, at one tick of the guard.

    Attributes:
        mode: what the policy's loop is doing, as it said last.
        state: the newest one. state_age: s since it came.
        tick_age: s in which states came whose tick was the same.
        rejected_in_row: messages thrown away since the newest state.
        mode_machine: what the robot called its kind in its first state.
        since_tick: s since the guard's last tick.
        silence: s since the loop's last request; zero before the first.
        overruns: deadlines that the loop missed among its last `Thresholds.overrun_window`.
        up_b: [3] the direction against gravity in the base of the reference.
        off_reference: s for which a joint has been too far from its reference.
        asked: a reason to stop that the loop itself gives; empty: none.
    """

    mode: Mode
    identity: RobotIdentity
    state: RobotState
    state_age: float
    tick_age: float
    rejected_in_row: int
    mode_machine: int
    since_tick: float
    silence: float
    overruns: int
    up_b: Array
    off_reference: float
    asked: str


Trip = Callable[[Moment, Thresholds], str]


def asked(moment: Moment, _: Thresholds) -> str:
    """The operator, or the loop itself, wants to stop."""
    return moment.asked


def remote_stop(moment: Moment, at: Thresholds) -> str:
    """A stop button of the wireless remote is pressed."""
    if not any(moment.state.remote[2:4]):
        return ""
    found = sorted(button.name for button in pressed(moment.state.remote))
    stops = [name for name in found if name in at.stop_buttons]
    return f"button {stops[0]} of the remote" if stops else ""


def stale_state(moment: Moment, at: Thresholds) -> str:
    """No new state has come for too long."""
    if moment.state_age <= at.state_age:
        return ""
    return f"no state for {1e3 * moment.state_age:.0f} ms (at most {1e3 * at.state_age:.0f})"


def frozen_tick(moment: Moment, at: Thresholds) -> str:
    """States come, but the robot's own clock stands still; without states it is `stale_state`."""
    if moment.tick_age <= at.frozen_tick:
        return ""
    return f"the robot's tick has not advanced for {1e3 * moment.tick_age:.0f} ms"


def bad_messages(moment: Moment, at: Thresholds) -> str:
    """Message after message has a wrong checksum."""
    if moment.rejected_in_row < at.rejected_in_row:
        return ""
    return f"{moment.rejected_in_row} messages in a row with a wrong checksum"


def other_robot(moment: Moment, _: Thresholds) -> str:
    """The robot calls itself another kind than it did at first."""
    now = moment.state.mode_machine
    if now == moment.mode_machine:
        return ""
    return f"mode_machine is {now}, was {moment.mode_machine}"


def not_finite(moment: Moment, _: Thresholds) -> str:
    """A measured number is none, or the orientation is no unit quaternion."""
    state = moment.state
    for name in STATE_ARRAYS:
        if not np.isfinite(getattr(state, name)).all():
            return f"the robot's {name} is not finite"
    if state.odometry is not None:
        known = (state.odometry.pos_w, state.odometry.lin_vel_b)
        if not all(np.isfinite(each).all() for each in known):
            return "the robot's odometry is not finite"
    length = float(np.linalg.norm(state.imu_quat_w))
    return "" if abs(length - 1.0) < 0.1 else f"the orientation has length {length:.2f}"


def tilted(moment: Moment, at: Thresholds) -> str:
    """The base leans away from how the reference's base leans."""
    if moment.mode not in ACTIVE:
        return ""
    up = quat_inv_rotate(array(moment.state.imu_quat_w), np.array([0.0, 0.0, 1.0]))
    angle = math.acos(min(1.0, max(-1.0, float(up @ moment.up_b))))
    return "" if angle <= at.tilt else f"tilted {angle:.2f} rad from the reference"


def too_fast(moment: Moment, at: Thresholds) -> str:
    """A joint turns too fast, either way."""
    if moment.mode not in ACTIVE:
        return ""
    share = np.abs(moment.state.joint_vel) / array(moment.identity.velocity_limit)
    worst = int(np.argmax(share))
    if share[worst] <= at.joint_speed:
        return ""
    speed = array(moment.state.joint_vel)[worst]
    return f"joint '{moment.identity.joint_names[worst]}' turns at {speed:.1f} rad/s"


def off_reference(moment: Moment, at: Thresholds) -> str:
    """A joint has been far from its reference for too long."""
    if moment.mode not in ACTIVE or moment.off_reference <= at.tracking_time:
        return ""
    return f"a joint is over {at.tracking_error:g} rad from its reference"


def motor_error(moment: Moment, _: Thresholds) -> str:
    """A motor tells an error."""
    errors = np.flatnonzero(moment.state.motor_error)
    if not len(errors):
        return ""
    code = int(array(moment.state.motor_error)[errors[0]])
    return f"motor '{moment.identity.joint_names[errors[0]]}' tells error {code}"


def too_hot(moment: Moment, at: Thresholds) -> str:
    """A motor is too hot."""
    hot = int(np.argmax(moment.state.motor_temperature))
    degrees = array(moment.state.motor_temperature)[hot]
    if degrees <= at.temperature:
        return ""
    return f"motor '{moment.identity.joint_names[hot]}' has {degrees:.0f} degrees"


def overran(moment: Moment, at: Thresholds) -> str:
    """The policy's loop misses its deadlines."""
    if moment.overruns < at.overruns:
        return ""
    return f"{moment.overruns} of the last {at.overrun_window} control steps were late"


def silent(moment: Moment, at: Thresholds) -> str:
    """The policy's loop says nothing any more: it hangs, or it is dead."""
    if moment.silence <= at.silence:
        return ""
    return f"no request of the loop for {1e3 * moment.silence:.0f} ms"


def stalled(moment: Moment, at: Thresholds) -> str:
    """The guard itself stood still, so that what it knows may be old; or time has jumped."""
    if moment.since_tick <= at.stall:
        return ""
    return f"the guard stood still for {1e3 * moment.since_tick:.0f} ms"


TRIPS: dict[str, Trip] = {
    "asked": asked,
    "remote": remote_stop,
    "stalled": stalled,
    "stale": stale_state,
    "frozen": frozen_tick,
    "checksum": bad_messages,
    "mode_machine": other_robot,
    "finite": not_finite,
    "silent": silent,
    "overrun": overran,
    "tilt": tilted,
    "speed": too_fast,
    "tracking": off_reference,
    "motor": motor_error,
    "hot": too_hot,
}
"""Name -> trip, in the order in which they are looked at."""


def first_trip(moment: Moment, thresholds: Thresholds) -> tuple[str, str]:
    """Name and sentence of the first trip that answers; two empty texts where none does."""
    for name, trip in TRIPS.items():
        told = trip(moment, thresholds)
        if told:
            return name, told
    return "", ""
