"""The guard: the last thing between the policy and the robot, and the only one that sends.

Pure of clocks, sockets and processes: `Guard.tick` is told the time and what came, and answers
with the command to send. It runs in a process of its own (`guard_process`) or in lock-step with a
simulated robot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic.deploy.limiter import CommandLimits, limit_command
from mimic.deploy.messages import (
    Array,
    RobotCommand,
    RobotIdentity,
    RobotState,
    array,
    damping_command,
)
from mimic.deploy.modes import ACTIVE, Mode
from mimic.deploy.trips import Moment, Thresholds, first_trip

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What the policy's loop wants, once in each control step.

    Attributes:
        number: counts up; a request is new when its number is.
        mode: what the loop is doing. Outside of the active modes the guard damps.
        joint_pos, kp, kd: [J] rad, N m/rad, N m s/rad.
        up_b: [3] against gravity, in the base of the reference.
        reference: [J] rad, where the joints should be.
        overruns: deadlines missed lately.
        stop: why to stop; empty: not.
        reset: whether to forget a trip, which counts in the passive mode only.
    """

    number: int
    mode: Mode
    joint_pos: Array
    kp: Array
    kd: Array
    up_b: Array
    reference: Array
    overruns: int = 0
    stop: str = ""
    reset: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What the guard does in a tick.

    Attributes:
        command: to be sent; None while nothing is known of the robot.
        trip: name of the trip that made it damp, empty while none did. told: its sentence.
        limited: [J] whether the limiter changed what was wanted.
    """

    command: RobotCommand | None
    trip: str = ""
    told: str = ""
    limited: Array | None = None


class Guard:
    """Looks at every state and every request, damps where it must, and keeps commands in limits.

    Attributes:
        trip, told: why it damps, as in `Verdict`; damping stays until a reset.
        tripped_at: s, when.
    """

    def __init__(
        self, identity: RobotIdentity, limits: CommandLimits, thresholds: Thresholds | None = None
    ) -> None:
        self.identity, self.limits = identity, limits
        self.thresholds = thresholds or Thresholds()
        self.trip, self.told, self.tripped_at = "", "", 0.0
        self._request: Request | None = None
        self._heard = 0.0
        self._ticked: float | None = None
        self._mode_machine: int | None = None
        self._tick: int | None = None
        self._advanced = 0.0
        self._off_since: float | None = None
        self._before: RobotCommand | None = None

    @property
    def before(self) -> RobotCommand | None:
        """The last command."""
        return self._before

    def tick(
        self,
        now: float,
        state: RobotState | None,
        request: Request | None = None,
        rejected_in_row: int = 0,
    ) -> Verdict:
        """One tick.

        Args:
            now: s, monotonic.
            state: the newest one, the same again where none came.
            request: the newest one, likewise.
        """
        since = 0.0 if self._ticked is None else now - self._ticked
        self._ticked = now
        if request is not None and (
            self._request is None or request.number != self._request.number
        ):
            self._request, self._heard = request, now
        if state is None:
            return Verdict(command=None, trip=self.trip, told=self.told)
        if self._mode_machine is None:
            self._mode_machine = state.mode_machine
        if state.tick != self._tick:
            self._tick, self._advanced = state.tick, state.time
        moment = self._moment(now, since, state, rejected_in_row)
        if not self.trip:
            self._latch(now, *first_trip(moment, self.thresholds))
        elif self._request is not None and self._request.reset and moment.mode == Mode.PASSIVE:
            self.trip, self.told = "", ""
            self._latch(now, *first_trip(moment, self.thresholds))
        return self._answer(now, state)

    def _answer(self, now: float, state: RobotState) -> Verdict:
        measured = array(state.joint_pos)
        request = None if self.trip else self._request
        wanted = wanted_command(request, measured, self.limits, self._mode_machine or 0)
        limited = limit_command(wanted, measured, self._before, self.limits)
        if not limited.finite and not self.trip:
            self._latch(now, "command", "the command is not finite")
        self._before = limited.command
        return Verdict(
            command=limited.command, trip=self.trip, told=self.told, limited=limited.changed
        )

    def stop(self, now: float, trip: str, told: str) -> None:
        """Damp from now on, for a reason that whoever runs the guard sees."""
        if not self.trip:
            self._latch(now, trip, told)

    def _latch(self, now: float, trip: str, told: str) -> None:
        if trip:
            self.trip, self.told, self.tripped_at = trip, told, now

    def _moment(self, now: float, since: float, state: RobotState, rejected: int) -> Moment:
        request = self._request
        if request is None:
            mode, up, overruns, asked, silence = Mode.DISCONNECTED, UP, 0, "", 0.0
        else:
            mode, up, overruns, asked = request.mode, request.up_b, request.overruns, request.stop
            silence = now - self._heard
            far = (
                np.abs(array(state.joint_pos) - request.reference) > self.thresholds.tracking_error
            )
            if mode in ACTIVE and np.any(far):
                self._off_since = now if self._off_since is None else self._off_since
            else:
                self._off_since = None
        return Moment(
            mode=mode,
            identity=self.identity,
            state=state,
            state_age=now - state.time,
            tick_age=state.time - self._advanced,
            rejected_in_row=rejected,
            mode_machine=self._mode_machine or 0,
            since_tick=since,
            silence=silence,
            overruns=overruns,
            up_b=up,
            off_reference=0.0 if self._off_since is None else now - self._off_since,
            asked=asked,
        )


def wanted_command(
    request: Request | None, measured: Array, limits: CommandLimits, mode_machine: int
) -> RobotCommand:
    """What the limiter is given: what is asked for in an active mode, and damping otherwise.

    Args:
        request: None where the guard has tripped.
        measured: [J] rad, where the joints are.
    """
    if request is None or request.mode not in ACTIVE:
        return damping_command(measured, limits.damping, mode_machine)
    zero = np.zeros(len(measured))
    return RobotCommand(
        joint_pos=request.joint_pos,
        joint_vel=zero,
        torque=zero,
        kp=request.kp,
        kd=request.kd,
        mode_machine=mode_machine,
    )
