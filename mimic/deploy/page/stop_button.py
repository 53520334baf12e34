"""The page's stop button at the guard: a socket between the two, past the policy's process."""

from __future__ import annotations

import socket

STOP = b"stop"
"""What the page says."""
MOST = 4
"""Messages that are taken in a tick of the guard, however often somebody presses."""


class StopButton:
    """The guard's end. Nothing here waits; a page that has died is no reason to stop."""

    def __init__(self, end: socket.socket | None) -> None:
        """Take an end; None: there is no page."""
        self.end = end
        self._told: tuple[str, str] | None = None
        if end is not None:
            end.setblocking(False)

    def pressed(self) -> bool:
        """Whether the button was pressed since the last call, as far as was looked at."""
        found = False
        for _ in range(MOST):
            if self.end is None:
                break
            try:
                data = self.end.recv(16)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.close()
                break
            found = found or data == STOP
        return found

    def tell(self, trip: str, told: str) -> None:
        """Tell the page why the guard damps, where that has changed; two empty texts: it does
        not."""
        if self.end is None or self._told == (trip, told):
            return
        try:
            self.end.send(f"{trip}\n{told}".encode())
            self._told = (trip, told)
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def close(self) -> None:
        """Let go of the page."""
        if self.end is not None:
            self.end.close()
            self.end = None
