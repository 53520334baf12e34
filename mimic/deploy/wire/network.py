"""Where robots are: a folder of sockets, or a domain of DDS; both have the same interface."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mimic.deploy.wire.bus import Bus, Message
from mimic.deploy.wire.dds import PREFIX, DdsBus


class Sending(Protocol):
    """Who may send on a topic."""

    def send(self, data: bytes, number: int | None = None) -> int:
        """Publish ``data``, whose number is counted unless given; never waits."""
        ...

    def close(self) -> None: ...


class Receiving(Protocol):
    """Messages of a topic."""

    def wait(self, seconds: float) -> bool:
        """Wait until a message is there, at most ``seconds``."""
        ...

    def drain(self) -> list[Message]:
        """All messages that are there, in the order in which they came."""
        ...

    def close(self) -> None: ...


class Network(Protocol):
    """Topics between programs.

    Attributes:
        listening: s of listening after which everybody who publishes has been heard.
    """

    @property
    def listening(self) -> float: ...

    def publisher(self, topic: str) -> Sending:
        """Who may send on a topic."""
        ...

    def subscribe(self, topic: str) -> Receiving:
        """Messages of a topic from now on."""
        ...

    def heard(self, topic: str, seconds: float) -> set[int]:
        """Who publishes on a topic, listening for a while."""
        ...


def open_network(where: str, tick: float = 0.002, family: str = "hg") -> Network:
    """The network of a name: a folder, or ``dds:INTERFACE:DOMAIN``.

    Args:
        tick: s between two commands.
        family: of the messages that the robot speaks, ``hg`` or ``go``.

    Raises:
        RobotError: it is not there, or not to be used.
    """
    if where.startswith(PREFIX):
        interface, _, domain = where[len(PREFIX) :].rpartition(":")
        return DdsBus(interface, int(domain), tick, family)
    return Bus(Path(where))
