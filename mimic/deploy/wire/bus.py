"""Topics between processes of one computer, in a folder of Unix datagram sockets.

It stands in for DDS where no robot is: publishers and subscribers find each other by name, several
may publish one topic, a message arrives whole or not at all, and a subscriber that does not keep
up loses messages. Each subscriber binds ``TOPIC@ID.sock`` in the folder; a publisher sends to all
of them. A message carries who sent it and its number.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from mimic_base.errors import RobotError

_HEADER = struct.Struct("<4sIQ")
_MAGIC = b"MMB1"
LARGEST = 65536
"""Bytes of a message."""
_LONGEST_PATH = 100
"""Bytes of a socket's path that every Unix takes."""
_LOOK_AGAIN = 0.05
"""s after which a publisher looks for new subscribers."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """What came.

    Attributes:
        sender: who published it, a random number of its own. number: as the publisher counts.
    """

    sender: int
    number: int
    data: bytes


class Bus:
    """A folder of topics; only its owner's processes reach it."""

    listening = 0.3

    def __init__(self, folder: Path) -> None:
        """Open a bus, or make it.

        Raises:
            RobotError: a folder whose name is too long, or that others may write into.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise RobotError(f"{folder}: others may write into this folder; take one of your own")
        if len(os.fsencode(folder)) > _LONGEST_PATH - 40:
            raise RobotError(
                f"{folder}: too long a name for sockets (at most {_LONGEST_PATH - 40} bytes); take "
                "a shorter one"
            )
        self.folder = folder

    def publisher(self, topic: str) -> Publisher:
        """Who may send on a topic."""
        return Publisher(self.folder, topic)

    def subscribe(self, topic: str) -> Subscription:
        """Messages of a topic from now on."""
        return Subscription(self.folder, topic)

    def heard(self, topic: str, seconds: float) -> set[int]:
        """Who publishes on a topic, listening for a while."""
        subscription, senders = self.subscribe(topic), set()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            subscription.wait(left)
            senders |= {message.sender for message in subscription.drain()}
        subscription.close()
        return senders


class Publisher:
    """Sends messages on a topic to whoever listens; never waits."""

    def __init__(self, folder: Path, topic: str) -> None:
        self._folder, self._topic = folder, topic
        self.sender = secrets.randbits(63)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._to: list[str] = []
        self._looked = -1.0
        self._count = 0

    def send(self, data: bytes, number: int | None = None) -> int:
        """Publish ``data``; to how many it went.

        Args:
            number: of the message; counted from zero unless given.
        """
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN:
            self._to, self._looked = sorted(map(str, self._folder.glob(f"{self._topic}@*"))), now
        number = self._count if number is None else number
        self._count += 1
        message = _HEADER.pack(_MAGIC, number & 0xFFFFFFFF, self.sender) + data
        reached = 0
        for path in list(self._to):
            try:
                self._socket.sendto(message, path)
                reached += 1
            except (ConnectionRefusedError, FileNotFoundError):
                # Its process has ended.
                self._to.remove(path)
                Path(path).unlink(missing_ok=True)
            except OSError:
                # Its queue is full: the message is lost, as on a network.
                pass
        return reached

    def close(self) -> None:
        self._socket.close()


class Subscription:
    """Messages of a topic, in the order in which they came."""

    def __init__(self, folder: Path, topic: str) -> None:
        self._path = folder / f"{topic}@{secrets.token_hex(4)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait(self, seconds: float) -> bool:
        """Wait until a message is there, at most ``seconds``."""
        return bool(select.select([self._socket], [], [], max(0.0, seconds))[0])

    def drain(self) -> list[Message]:
        """All messages that are there; what is none of ours is dropped."""
        found = []
        while True:
            try:
                data = self._socket.recv(LARGEST)
            except BlockingIOError:
                return found
            if len(data) >= _HEADER.size and data[:4] == _MAGIC:
                _, number, sender = _HEADER.unpack_from(data)
                found.append(Message(sender=sender, number=number, data=data[_HEADER.size :]))

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)
