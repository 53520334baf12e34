"""The policy's end of the socket to the page: tells it, hears its buttons, waits for nothing."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from mimic.deploy.page.snapshot import SnapshotRows
from mimic.deploy.pilot import CLIP, QUEUE, Event

ENDED = b"E"
"""What a message begins with that tells why the deployment has ended."""
SNAPSHOT = b"S"
"""What a message begins with that is a snapshot."""
MOST_EVENTS = 4
"""Messages of the page that are taken in a control step, however many there are."""
LONGEST = 32
"""Bytes of an event."""
PATIENCE = 0.5
"""s after which a page that has died is told, though it is not known why."""
HANGS = 2.0
"""s for which the page takes nothing, after which it is told to hang."""


class PageLink:
    """Tells a page what happens, and collects what was pressed there.

    Nothing here waits: what the page does not take is dropped, and where it has died nothing is
    told to it any more.

    Attributes:
        alive: whether the page is there. row: the snapshot that is told next.
    """

    def __init__(
        self,
        end: socket.socket,
        rows: SnapshotRows,
        clips: int,
        *,
        why: Callable[[], str] = lambda: "",
        say: Callable[[str], object] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        """Make a link.

        Args:
            clips: how many there are, numbered from 1.
            why: why the page's process ended, as far as that is known; waits for nothing.
            say: takes the line that tells of a page that died, once, and of one that hangs.
        """
        end.setblocking(False)
        self._end, self.rows, self._why, self._say = end, rows, why, say
        self._known = frozenset(
            [*Event]
            + [f"{kind}{number}" for kind in (CLIP, QUEUE) for number in range(1, clips + 1)]
        )
        self.alive = True
        self.row = np.zeros((), rows.layout)
        self._took = time.monotonic()
        self._hang = 0
        self._untold: tuple[float, str] | None = None

    def tell(self) -> None:
        """Send the row."""
        self._send(SNAPSHOT + self.row.tobytes())

    def ended(self, why: str) -> None:
        """Tell why the deployment has ended."""
        self._send(ENDED + why.encode())
        if self._untold is not None:
            self._tell_end(0.0)

    def _send(self, data: bytes) -> None:
        if not self.alive:
            return
        try:
            self._end.send(data)
        except BlockingIOError:
            if not self._hang and time.monotonic() - self._took > HANGS:
                self._hang = 1
                self._say(
                    f"note: the page has taken nothing for {HANGS:g} s; its stop button may not "
                    "work, the deployment goes on"
                )
            return
        except OSError:
            self.leave()
            return
        self._took = time.monotonic()
        if self._hang == 1:
            # Told once: a page that hangs now and then does not fill the console.
            self._hang = 2
            self._say("note: the page follows again")

    def events(self) -> Sequence[str]:
        """What was pressed since the last call; what nobody knows is left out."""
        if self._untold is not None:
            self._tell_end()
        asked: list[str] = []
        for _ in range(MOST_EVENTS if self.alive else 0):
            try:
                data = self._end.recv(LONGEST)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.leave()
                break
            event = data.decode("ascii", "replace")
            if event in self._known:
                asked.append(event)
        return asked

    def leave(self, why: str = "") -> None:
        """Tell the page nothing any more; the console is told why, if that is known soon."""
        if self.alive:
            self.alive, self._untold = False, (time.monotonic(), why)

    def _tell_end(self, patience: float = PATIENCE) -> None:
        assert self._untold is not None
        since, why = self._untold
        why = why or self._why()
        # A process closes its sockets before it can be asked how it ended.
        if not why and time.monotonic() - since < patience:
            return
        self._untold = None
        self._say(
            f"note: the page has ended{f' ({why})' if why else ''}; its stop button is gone, the "
            "deployment goes on"
        )
