"""A robot at the other end of a bus, in Unitree's messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mimic.deploy.messages import Odometry, RobotCommand, RobotIdentity, RobotState
from mimic.deploy.wire import booster
from mimic.deploy.wire.codecs import codec_of, family_of
from mimic.deploy.wire.hg import WrongMessage, decode_odometry
from mimic.deploy.wire.network import Network, open_network
from mimic_base.errors import RobotError

COMMANDS = "rt_lowcmd"
STATES = "rt_lowstate"
ODOMETRY = "rt_odommodestate"
CONTROL = "simulation"
"""What a simulated robot is told that no real one understands: its gantry, and to end."""


class WireRobot:
    """A `mimic.deploy.robot_io.RobotIO` over a bus; one that does not send is no publisher.

    Attributes:
        rejected_in_row: messages with a wrong size, header or checksum since the last good one.
        rejected: all of them.
        heard_on, wrong: the topic of states, and what is wrong with those that were rejected.
    """

    heard_on = STATES
    wrong = (
        "each with a wrong size, header or checksum; this robot does not speak unitree_hg, or the "
        "network is bad"
    )

    def __init__(
        self,
        bus: Network,
        identity: RobotIdentity,
        clock: Callable[[], float],
        *,
        send: bool = True,
    ) -> None:
        self._identity, self._clock = identity, clock
        self._codec = codec_of(identity)
        self._states, self._odometry = bus.subscribe(STATES), bus.subscribe(ODOMETRY)
        self._commands = bus.publisher(COMMANDS) if send else None
        self._known: Odometry | None = None
        self._newest: RobotState | None = None
        self.rejected_in_row = 0
        self.rejected = 0

    @property
    def identity(self) -> RobotIdentity:
        return self._identity

    def wait(self, seconds: float) -> bool:
        """Wait for a state, at most ``seconds``."""
        return self._states.wait(seconds)

    def read(self) -> RobotState | None:
        for message in reversed(self._odometry.drain()):
            try:
                self._known = decode_odometry(message.data)
                break
            except WrongMessage:
                continue
        bad = 0
        for message in reversed(self._states.drain()):
            try:
                state = self._codec.decode_state(message.data, self._clock(), self._known)
            except WrongMessage:
                bad += 1
                continue
            self._newest, self.rejected_in_row = state, 0
            break
        self.rejected_in_row += bad
        self.rejected += bad
        return self._newest

    def write(self, command: RobotCommand, number: int | None = None) -> None:
        """Send a command with its number among the ticks."""
        if self._commands is None:
            raise RobotError("nothing is sent to this robot: it is only listened to")
        self._commands.send(self._codec.encode_command(command), number)

    def close(self) -> None:
        for each in (self._states, self._odometry, self._commands):
            if each is not None:
                each.close()


def open_robot(
    where: str,
    identity: RobotIdentity,
    clock: Callable[[], float],
    *,
    tick: float = 0.002,
    send: bool = True,
) -> WireRobot | booster.BoosterRobot:
    """The robot on a network.

    Args:
        where: the network's name.
        tick: s between two commands.

    Raises:
        RobotError: the network is not there, or not to be used.
    """
    if where.startswith(booster.PREFIX):
        return booster.BoosterRobot(where, identity, clock, send=send)
    network = open_network(where, tick, family_of(identity.name))
    return WireRobot(network, identity, clock, send=send)


def at_time(state: RobotState, time: float) -> RobotState:
    """The same state, as if it had come at ``time`` s."""
    return replace(state, time=time)
