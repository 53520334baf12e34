"""Pilot, guard and a simulated robot in one process and one time: the same every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mimic.deploy.guard import Guard, Request, Verdict
from mimic.deploy.messages import RobotState
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import Pilot, Step, next_event
from mimic.deploy.simulated import SimulatedRobot


@dataclass
class LockStep:
    """A deployment whose time is the robot's.

    Attributes:
        every: ticks of the robot in a control step.
        step: the newest control step. verdict: the guard's newest.
        auto: goes from mode to mode by itself as soon as it may.
        see: what becomes of each state before pilot and guard see it: an estimator adds odometry.
    """

    robot: SimulatedRobot
    guard: Guard
    pilot: Pilot
    every: int
    auto: bool = True
    step: Step | None = None
    verdict: Verdict | None = None
    ticks: int = 0
    released: bool = False
    see: Callable[[RobotState | None], RobotState | None] = lambda state: state
    _request: Request | None = field(default=None, repr=False)

    def tick(self, events: Sequence[str] = ()) -> None:
        """One tick of the robot: read, the policy where it is due, the guard, write, move."""
        robot, now = self.robot, self.robot.time
        state = self.see(robot.read())
        if self.ticks % self.every == 0:
            asked = [*events, *(next_event(self.pilot.mode) if self.auto else ())]
            trip = self.verdict.trip if self.verdict else ""
            self.step = self.pilot.tick(now, state, trip=trip, events=asked)
            self._request = self.step.request if self.step else None
        self.verdict = self.guard.tick(now, state, self._request, robot.rejected_in_row)
        if self.verdict.command is not None:
            robot.write(self.verdict.command)
        if self.pilot.mode == Mode.TRACK and not self.released:
            robot.release()
            self.released = True
        robot.step()
        self.ticks += 1

    def run(self, seconds: float) -> Iterable[None]:
        """Ticks for a time, one at each iteration."""
        for _ in range(round(seconds / self.robot.settings.tick)):
            self.tick()
            yield None
