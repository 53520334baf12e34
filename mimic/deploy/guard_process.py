"""The guard in a process of its own: ``python -m mimic.deploy.guard_process FD``.

It alone talks to the robot. The policy's process is at the other end of the socket ``FD``: its end
closed, or its requests missing, means damping. The terminal's Ctrl-C does not reach this process;
SIGTERM makes it damp for ``leave_s`` and end. It ends by itself when the policy's process has left
properly and ``leave_s`` of damping are over, or when it is gone and the robot has not been heard of
for ``lonely_s``: as long as there is a robot that nobody looks after, it damps.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from mimic.deploy.estimation import estimating
from mimic.deploy.guard import Guard, Request
from mimic.deploy.limiter import CommandLimits
from mimic.deploy.messages import RobotIdentity
from mimic.deploy.pace import Pace
from mimic.deploy.packing import Rows
from mimic.deploy.page.stop_button import StopButton
from mimic.deploy.trips import Thresholds
from mimic.deploy.wire.link import at_time, open_robot

READY = b"ready"
"""What the guard says first: it is there, and on its guard."""
LEAVE = b"leave"
"""What the policy's process says when it ends properly."""
LOCK_STEP_WAIT = 20.0
"""s that a lock-step guard waits for the others."""
AFTER_STOP = 0.5
"""s that it waits for a policy after the page's stop button was pressed."""
PAGE = ("page", "the stop button of the page")
"""The trip of the page's stop button."""


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """What the guard is started with."""

    bus: str
    """Network that the robot is on: a folder, or ``dds:INTERFACE:DOMAIN``."""
    identity: RobotIdentity
    limits: CommandLimits
    thresholds: Thresholds
    tick: float
    """s between two commands."""
    every: int = 1
    """In lock-step: ticks in a control step."""
    lock_step: bool = False
    """Time is the robot's: each tick waits for its state, each control step for a request."""
    send: bool = True
    """False: nothing is sent to the robot (dry run)."""
    leave_s: float = 0.5
    """s of damping before the process ends."""
    lonely_s: float = 2.0
    """s without a robot and without a policy after which it ends."""
    pace: float = 1.0
    """Share of real time at which a simulation runs."""
    estimate: str = ""
    """Robot (name or description file) whose base is estimated where its own odometry would stand;
    empty: nothing is estimated."""

    def to_json(self) -> str:
        plain = {name: getattr(self, name) for name in _PLAIN}
        plain["thresholds"] = asdict(self.thresholds)
        for name in ("identity", "limits"):
            part = getattr(self, name)
            plain[name] = {
                each.name: _plain(getattr(part, each.name)) for each in fields(type(part))
            }
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> GuardConfig:
        plain = json.loads(text)
        known = plain["identity"]
        known["joint_names"] = tuple(known["joint_names"])
        plain["identity"] = RobotIdentity(**known)
        limits = {name: np.asarray(values) for name, values in plain["limits"].items()}
        plain["limits"] = CommandLimits(**limits)
        at = plain["thresholds"]
        at["stop_buttons"] = tuple(at["stop_buttons"])
        plain["thresholds"] = Thresholds(**at)
        return cls(**plain)


_PLAIN = ("bus", "tick", "every", "lock_step", "send", "leave_s", "lonely_s", "pace", "estimate")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


class GuardProcess:
    """The guard's loop over its sockets."""

    def __init__(
        self, config: GuardConfig, pilot: socket.socket, button: socket.socket | None = None
    ) -> None:
        """Make it.

        Args:
            pilot: to the policy's loop. button: to the page's stop button.
        """
        self.config, self.pilot, self.button = config, pilot, StopButton(button)
        pilot.setblocking(False)
        self.rows = Rows(config.identity.num_joints)
        self.guard = Guard(config.identity, config.limits, config.thresholds)
        self.pace = Pace(config.pace)
        self.robot = open_robot(
            config.bus,
            config.identity,
            self.pace.now,
            tick=config.tick,
            send=config.send,
        )
        self.see = estimating(config.estimate)
        self.request: Request | None = None
        self.gone = False
        self.leaving = False
        self.pressed = False
        self.ticks = 0
        self._row = np.zeros((), self.rows.report)

    def run(self) -> None:
        """Until there is nothing to guard any more."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._leave("SIGTERM"))
        signal.signal(signal.SIGHUP, lambda *_: self._leave("SIGHUP"))
        self.pilot.send(READY)
        try:
            (self._lock_step if self.config.lock_step else self._real_time)()
        finally:
            self._damp_and_close()

    def _leave(self, why: str) -> None:
        self.guard.stop(self.pace.now(), "asked", f"the guard was ended ({why})")
        self.leaving = True

    def _real_time(self) -> None:
        tick, deadline = self.config.tick, self.pace.now()
        heard = left = deadline
        while True:
            now = self.pace.now()
            self._hear(now)
            if self.button.pressed():
                self.guard.stop(now, *PAGE)
            state = self.see(self.robot.read())
            heard = state.time if state is not None else heard
            self._tick(now, state)
            if not self.leaving:
                left = now
            if self.leaving and now - left > self.config.leave_s:
                return
            if self.gone and now - heard > self.config.lonely_s:
                return
            # Absolute deadlines; what was missed is not made up for.
            deadline = max(deadline + tick, now - tick)
            self.pace.sleep(deadline - self.pace.now())

    def _lock_step(self) -> None:
        before, end = -1, None
        while True:
            if not self.robot.wait(LOCK_STEP_WAIT):
                self._leave("the robot is gone")
                return
            state = self.robot.read()
            if state is None or state.tick == before:
                continue
            before, now = state.tick, state.tick * 1e-3
            state = self.see(at_time(state, now))
            if self.ticks % self.config.every == 0:
                # At the beginning of a control step alone: a replay sees it in its request.
                if self.pressed or self.button.pressed():
                    self.guard.stop(now, *PAGE)
                self.pressed = False
                if not (self.gone or self.leaving):
                    self._report(now, state, None)
                    self._await(now)
            self._tick(now, state, tell=False)
            if self.leaving or self.gone:
                end = now if end is None else end
                if now - end >= self.config.leave_s:
                    return

    def _await(self, now: float) -> None:
        """Wait for the request of this control step; not for long after a stop on the page."""
        asked = self.request.number if self.request else 0
        end = time.monotonic() + LOCK_STEP_WAIT
        while not (self.gone or self.leaving):
            if self.request is not None and self.request.number != asked:
                return
            left = end - time.monotonic()
            if left <= 0 and self.pressed:
                self.guard.stop(now, *PAGE)
                return
            if left <= 0:
                self._lose(now)
                return
            ends = [self.pilot, *([self.button.end] if self.button.end is not None else [])]
            ready = select.select(ends, [], [], left)[0]
            if self.pilot in ready:
                self._take(now)
            elif ready and self.button.pressed():
                self.pressed, end = True, min(end, time.monotonic() + AFTER_STOP)

    def _hear(self, now: float) -> None:
        while not self.gone and self._take(now):
            pass

    def _take(self, now: float) -> bool:
        """Take one message of the pilot; False where there is none."""
        try:
            data = self.pilot.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data == LEAVE:
            self.guard.stop(now, "asked", "the deployment has ended")
            self.leaving = True
            return False
        if not data:
            self._lose(now)
            return False
        if len(data) == self.rows.request.itemsize:
            self.request = self.rows.to_request(np.frombuffer(data, self.rows.request)[0])
        return True

    def _lose(self, now: float) -> None:
        self.gone = True
        self.guard.stop(now, "silent", "the process of the policy has ended")

    def _tick(self, now: float, state: Any, *, tell: bool = True) -> None:
        guard = self.guard
        before = guard.before
        verdict = guard.tick(now, state, self.request, self.robot.rejected_in_row)
        if verdict.command is not None and self.config.send:
            self.robot.write(verdict.command, self.ticks)
        self.ticks += 1
        self._fill(now, state, before, verdict)
        if tell:
            self._tell()
        self.button.tell(verdict.trip, verdict.told)

    def _report(self, now: float, state: Any, _: None) -> None:
        """Lock-step: tell the state, with the verdict of the tick before."""
        row = self._row
        row["now"], row["has_state"] = now, True
        self.rows.of_state(state, row["state"])
        row["trip"], row["told"] = self.guard.trip.encode(), self.guard.told.encode()[:160]
        row["tripped_at"] = self.guard.tripped_at
        self._tell()

    def _fill(self, now: float, state: Any, before: Any, verdict: Any) -> None:
        self.rows.of_report(
            self._row,
            now,
            self.ticks,
            self.robot.rejected,
            self.request.number if self.request else 0,
            state,
            before,
            verdict,
            self.guard.tripped_at,
        )

    def _tell(self) -> None:
        if self.gone:
            return
        try:
            self.pilot.send(self._row.tobytes())
        except BlockingIOError:
            # It does not keep up; it will be silent before long.
            pass
        except OSError:
            self._lose(self.pace.now())

    def _damp_and_close(self) -> None:
        """One more damping command on every way out."""
        state = self.robot.read()
        now = self.guard.before
        if state is not None and now is not None and self.config.send:
            self.guard.stop(self.pace.now(), "asked", "the guard ends")
            verdict = self.guard.tick(state.time, state, self.request)
            if verdict.command is not None:
                self.robot.write(verdict.command, self.ticks)
        self.robot.close()
        self.pilot.close()
        self.button.close()


def main() -> None:
    """Read the configuration from the socket and guard."""
    pilot, *button = (socket.socket(fileno=int(each)) for each in sys.argv[1:])
    config = GuardConfig.from_json(pilot.recv(1 << 20).decode())
    GuardProcess(config, pilot, *button).run()


if __name__ == "__main__":
    main()
