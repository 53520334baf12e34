"""The policy's loop: reads what the guard tells, lets the pilot decide, asks the guard."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimic.deploy.guard_process import LEAVE
from mimic.deploy.modes import ACTIVE, Mode
from mimic.deploy.operator import Operator
from mimic.deploy.pace import Pace
from mimic.deploy.packing import Rows
from mimic.deploy.page.link import PageLink
from mimic.deploy.pilot import Pilot, Step, next_event
from mimic.deploy.recorder import Recorder, step_layout
from mimic.deploy.timing import Deadlines, StageTimes

STAGES = ("wake", "read", "decide", "ask", "page", "record", "step")
PATIENCE = 20.0
"""s that a loop in lock-step waits for the guard."""


@dataclass
class LoopSettings:
    """How the loop runs.

    Attributes:
        seconds: of the whole deployment after which it stops; None: until the operator stops it.
        hold_s: s of holding the clip's last frame after which it ends; None: for ever.
        auto: goes from mode to mode by itself.
        lock_step: steps when the guard tells a state, not by the clock.
    """

    seconds: float | None = None
    hold_s: float | None = 3.0
    auto: bool = True
    lock_step: bool = False


class PilotLoop:
    """Runs a pilot at its rate, at the other end of the guard's socket.

    Attributes:
        times: of the stages. trip, told: what the guard said last.
        ended: why the loop ended. lost: whether that is because the guard is not there any more.
        kept: robot's time (s) and reference [7 + J] of each step (`Pilot.reference_pose`), where
            ``keep_reference``.
    """

    def __init__(
        self,
        pilot: Pilot,
        guard: socket.socket,
        settings: LoopSettings,
        *,
        recorder: Recorder | None = None,
        on_mode: Callable[[Mode, Mode], None] = lambda *_: None,
        on_report: Callable[[Any, str], None] | None = None,
        operator: Operator | None = None,
        pace: Pace | None = None,
        page: PageLink | None = None,
    ) -> None:
        """Make a loop.

        Args:
            on_mode: told each change of the mode, from and to.
            on_report: told the guard's newest report and the mode in each control step.
            operator: who asks for what; nobody unless given.
            page: told each control step.
        """
        self.pilot, self.guard, self.settings = pilot, guard, settings
        self.recorder, self.on_mode, self.operator = recorder, on_mode, operator
        self.on_report, self.page = on_report, page
        self.keep_reference = False
        self.kept: list[tuple[float, np.ndarray]] = []
        pace = pace or Pace()
        self._clock = clock = pace.now
        contract = pilot.player.contract
        self.deadlines = Deadlines(contract.control_dt, clock, pace.sleep)
        self.times = StageTimes(STAGES, clock)
        self.rows = Rows(pilot.identity.num_joints)
        self._row = np.zeros((), step_layout(pilot.identity.num_joints, pilot.observation_size))
        self._report: Any = None
        self.trip, self.told, self.ended = "", "", ""
        self.lost = False
        guard.setblocking(False)

    def run(self) -> None:
        """Until the clip's end was held, the robot damps and nobody resets it, or time is over."""
        begin: float | None = None
        damped: float | None = None
        while not self.ended:
            late = 0.0 if self.settings.lock_step else self.deadlines.wait()
            self.times.add("wake", late)
            started = self._clock()
            self.times.begin()
            now = self._hear()
            if self.ended:
                return
            begin = now if begin is None else begin
            self._step(now)
            self.times.add("step", self._clock() - started)
            damped = (
                (now if damped is None else damped) if self.pilot.mode == Mode.DAMPING else None
            )
            self._end(now, begin, damped)
        self.leave()

    def leave(self) -> None:
        """Tell the guard that this is the proper end."""
        try:
            self.guard.setblocking(True)
            self.guard.settimeout(1.0)
            self.guard.send(LEAVE)
        except OSError:
            pass

    def _end(self, now: float, begin: float, damped: float | None) -> None:
        settings, pilot = self.settings, self.pilot
        if settings.seconds is not None and now - begin >= settings.seconds:
            self.ended = "the time is over"
        elif damped is not None and now - damped >= 0.5 and self._gives_up():
            self.ended = f"stopped: {self.told or pilot.stop}"
        elif (
            pilot.mode == Mode.HOLD
            and settings.hold_s is not None
            and now - pilot.machine.since >= settings.hold_s
            and not (self.operator and self.operator.timetable.entries)
        ):
            self.ended = "the clip has ended"

    def _gives_up(self) -> bool:
        """Whether damping is the end: nobody is there to reset, or who is there wants to end."""
        return self.settings.auto or (self.operator is not None and self.operator.ending)

    def _hear(self) -> float:
        """Take the newest report of the guard; the time of this step."""
        newest = None
        if self.settings.lock_step:
            self.guard.settimeout(PATIENCE)
        while True:
            try:
                data = self.guard.recv(65536)
            except (BlockingIOError, TimeoutError):
                if self.settings.lock_step and newest is None:
                    self.ended, self.lost = "the guard says nothing any more", True
                break
            except OSError:
                data = b""
            if not data:
                self.ended, self.lost = "the guard has ended", True
                break
            newest = data
            if self.settings.lock_step:
                break
        if newest is not None:
            self._report = np.frombuffer(newest, self.rows.report)[0]
            self.trip = self._report["trip"].decode()
            self.told = self._report["told"].decode("utf-8", "replace")
        self.times.end("read")
        if self.settings.lock_step and self._report is not None:
            return float(self._report["now"])
        return self._clock()

    def _step(self, now: float) -> None:
        report, pilot = self._report, self.pilot
        state = None
        if report is not None and report["has_state"]:
            state = self.rows.to_state(report["state"])
        events: list[str] = []
        if self.operator is not None:
            if state is not None:
                self.operator.remote(state.remote)
            self.operator.tracking(now, pilot.mode)
            events += self.operator()
        if self.settings.auto and not (self.operator and self.operator.ending):
            events += next_event(pilot.mode)
        overruns = 0 if self.settings.lock_step else self.deadlines.overruns
        if pilot.mode not in ACTIVE:
            overruns = 0
        mode = pilot.mode
        step = pilot.tick(now, state, trip=self.trip, events=events, overruns=overruns)
        self.times.end("decide")
        if step is None:
            return
        if self.keep_reference and state is not None:
            self.kept.append((state.tick * 1e-3, pilot.reference_pose))
        if mode != pilot.mode:
            # Before the request: in lock-step a robot hears of it before the next command.
            self.on_mode(mode, pilot.mode)
        try:
            self.guard.send(self.rows.request_bytes(step.request))
        except BlockingIOError:
            pass
        except OSError:
            self.ended, self.lost = "the guard has ended", True
        self.times.end("ask")
        if self.page is not None and report is not None:
            self._show(now, step, report, overruns)
            self.times.end("page")
        if self.on_report is not None and report is not None:
            self.on_report(report, pilot.mode.name.lower())
        if self.recorder is not None and report is not None:
            self._record(now, step, report)
            self.times.end("record")

    def _show(self, now: float, step: Step, report: np.ndarray, overruns: int) -> None:
        assert self.page is not None
        if not self.page.alive:
            return
        try:
            self.page.rows.fill(
                self.page.row, now, self.pilot, step.request.up_b, self.times,
                self.deadlines.missed, overruns, report,
            )  # fmt: skip
            self.page.tell()
        except Exception as error:
            # Whatever is wrong with the page, the robot goes on.
            self.page.leave(f"a mistake of ours, {error!r}")

    def _record(self, now: float, step: Step, report: np.ndarray) -> None:
        assert self.recorder is not None
        row = self._row
        row["now"], row["acted"] = now, bool(len(step.action))
        row["overruns"] = step.request.overruns
        row["events"] = ",".join(step.events).encode()[:64]
        row["trip"], row["state"] = report["trip"], report["state"]
        row["observation"] = 0.0
        row["observation"][: len(step.observation)] = step.observation
        row["action"] = step.action if len(step.action) else 0.0
        row["frame"] = self.pilot.frame
        self.rows.of_request(step.request, row["request"])
        row["guard"] = report
        self.recorder.row(row)
