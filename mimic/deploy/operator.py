"""What the operator asks for: keys, the wireless remote, signals."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType

from mimic.deploy.messages import NO_REMOTE, Remote, pressed
from mimic.deploy.pilot import Event

KEYS = {
    "s": Event.STAND,
    "r": Event.READY,
    "t": Event.TRACK,
    "p": Event.PASSIVE,
    "x": Event.RESET,
}
"""Keys that ask for something; every other key stops, above all the space bar."""
BUTTONS = {
    Remote.START: Event.STAND,
    Remote.A: Event.READY,
    Remote.X: Event.TRACK,
    Remote.Y: Event.PASSIVE,
    Remote.F1: Event.RESET,
}
"""Buttons of the remote that ask for something when they go down. Those that stop are the guard's
(`mimic.deploy.trips.Thresholds.stop_buttons`)."""
HELP = "keys: s stand, r ready, t track, p passive, x reset, any other key stops; Ctrl-C ends"


class Operator:
    """Collects what was asked for.

    Attributes:
        ending: whether the operator wants the deployment to end, after damping.
    """

    def __init__(self, *, keys: bool) -> None:
        self.keys = keys and sys.stdin.isatty()
        self.ending = False
        self._asked: list[str] = []
        self._remote = NO_REMOTE

    def __call__(self) -> Sequence[str]:
        """What was asked for since the last call."""
        if self.keys:
            self._asked += self._typed()
        asked, self._asked = self._asked, []
        return asked

    def remote(self, remote: bytes) -> None:
        """The remote's bytes, as the robot tells them."""
        if remote == self._remote:
            return
        down = pressed(remote) - pressed(self._remote)
        self._remote = remote
        self._asked += [BUTTONS[button] for button in sorted(down) if button in BUTTONS]

    def interrupt(self, _: int = 0, __: FrameType | None = None) -> None:
        """Ctrl-C or SIGTERM: stop, and end."""
        self.ending = True
        self._asked.append(Event.STOP)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Signals and keys come here within the block."""
        before = {
            each: signal.signal(each, self.interrupt) for each in (signal.SIGINT, signal.SIGTERM)
        }
        restore = None
        if self.keys:
            import termios
            import tty

            saved = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)

            restore = partial(termios.tcsetattr, sys.stdin, termios.TCSADRAIN, saved)

        try:
            yield
        finally:
            if restore is not None:
                restore()
            for each, handler in before.items():
                signal.signal(each, handler)

    def _typed(self) -> list[str]:
        asked: list[str] = []
        while select.select([sys.stdin], [], [], 0)[0]:
            typed = os.read(sys.stdin.fileno(), 64).decode("utf-8", "ignore")
            if not typed:
                self.keys = False
                break
            asked += [KEYS.get(key, Event.STOP) for key in typed]
        return asked
