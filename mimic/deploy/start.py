"""Before the first command: nobody else commands the robot, it is well, and somebody means it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from mimic.deploy.gates import check_start
from mimic.deploy.messages import RobotIdentity, RobotState
from mimic.deploy.pace import Pace
from mimic.deploy.trips import Thresholds
from mimic.deploy.wire.booster import BoosterRobot
from mimic.deploy.wire.link import COMMANDS, WireRobot
from mimic.deploy.wire.network import Network
from mimic_base.errors import RobotError

LOOKING = 0.3
"""s, of the robot's time, of looking at its states."""
PATIENCE = 5.0
"""s within which a robot on a network has to be heard."""
POLL = 0.005
"""s between two looks."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of a robot in a while.

    Attributes:
        state: the newest one. states: how many different ones came.
        state_age: s since it came. tick_age: s for which its tick has been the same.
        rejected_in_row: messages thrown away since it came.
    """

    state: RobotState
    states: int
    state_age: float
    tick_age: float
    rejected_in_row: int


def check_alone(bus: Network) -> None:
    """Refuse a robot that somebody else commands.

    Raises:
        RobotError: commands are heard.
    """
    others = bus.heard(COMMANDS, bus.listening)
    if others:
        raise RobotError(
            f"this robot gets commands from {len(others)} other program(s) already ('{COMMANDS}'); "
            "end what sends them and start again (a robot's own controller: debug mode, L2+R2 and "
            "then L2+A on the remote)"
        )


def look_at(bus: Network, identity: RobotIdentity, pace: Pace, seconds: float = LOOKING) -> Seen:
    """Look at a robot's states for a while; nothing is sent.

    Raises:
        RobotError: nothing was heard, or nothing that could be read.
    """
    return watch(WireRobot(bus, identity, pace.now, send=False), pace, seconds)


def watch(robot: WireRobot | BoosterRobot, pace: Pace, seconds: float = LOOKING) -> Seen:
    """`look_at` a robot that is only listened to, which is closed in the end."""
    try:
        began = first = now = pace.now()
        states, state, advanced = 0, None, began
        while state is None or now - first < seconds:
            read = robot.read()
            now = pace.now()
            if read is not None and (state is None or read.tick != state.tick):
                first = now if state is None else first
                states, state, advanced = states + 1, read, now
            elif read is not None:
                state = read
            if state is None and now - began > PATIENCE:
                raise RobotError(_unheard(robot))
            pace.sleep(POLL)
        return Seen(
            state=state,
            states=states,
            state_age=now - state.time,
            tick_age=now - advanced,
            rejected_in_row=robot.rejected_in_row,
        )
    finally:
        robot.close()


def _unheard(robot: WireRobot | BoosterRobot) -> str:
    if robot.rejected:
        return f"{robot.rejected} messages came on '{robot.heard_on}', {robot.wrong}"
    return (
        f"no robot was heard on '{robot.heard_on}' within {PATIENCE:g} s; is it on, and is "
        "--interface the network that it is on?"
    )


def check_seen(
    seen: Seen, identity: RobotIdentity, thresholds: Thresholds, *, waits: bool = False
) -> None:
    """Refuse to begin with a robot that is not well (`mimic.deploy.gates.check_start`).

    Args:
        waits: its time stands still until it is told something (lock-step).

    Raises:
        RobotError: why not.
    """
    check_start(
        seen.state,
        identity,
        thresholds,
        seen.rejected_in_row,
        state_age=0.0 if waits else seen.state_age,
        tick_age=0.0 if waits else seen.tick_age,
    )


def confirm(
    name: str,
    where: str,
    given: str | None,
    stdin: TextIO | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Let somebody type the robot's name before it moves.

    Args:
        where: the network that it is on.
        given: the name as an option; None: it has to be typed.
        stdin: where it is typed; the terminal unless given.

    Raises:
        RobotError: another word, or nobody there to type it.
    """
    typing = stdin or sys.stdin
    if given is not None:
        if given != name:
            raise RobotError(
                f"--confirm {given}: the robot is '{name}'; nothing was sent to the robot"
            )
        return
    if typing is None or not typing.isatty():
        raise RobotError(
            f"--real asks for the robot's name to be typed, and nobody is at a terminal; give "
            f"--confirm {name} where that is meant; nothing was sent to the robot"
        )
    say(
        f"{name} on {where} will move. It hangs in a gantry, nobody is near it, and somebody has "
        "the stop button in hand?"
    )
    say(f"Type {name} to begin, anything else to leave it:")
    try:
        typed = typing.readline().strip()
    except KeyboardInterrupt:
        typed = ""
    if typed != name:
        raise RobotError(f"not confirmed (typed '{typed}'); nothing was sent to the robot")
