"""What the operator asks for: keys, the wireless remote, signals."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from mimic.deploy.messages import NO_REMOTE, Remote, pressed
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import CLIP, QUEUE, Event
from mimic_base.errors import MimicError

KEYS = {
    "s": Event.STAND,
    "r": Event.READY,
    "t": Event.TRACK,
    "p": Event.PASSIVE,
    "n": Event.NEXT,
    "l": Event.LOOP,
    "h": Event.HOLD,
    **{str(number): f"{CLIP}{number}" for number in range(1, 10)},
    "x": Event.RESET,
}
"""Keys that ask for something; every other key stops, above all the space bar."""
BUTTONS = {
    Remote.START: Event.STAND,
    Remote.A: Event.READY,
    Remote.X: Event.TRACK,
    Remote.Y: Event.PASSIVE,
    Remote.F1: Event.RESET,
    Remote.RIGHT: Event.NEXT,
    Remote.UP: Event.LOOP,
    Remote.DOWN: Event.HOLD,
}
"""Buttons of the remote that ask for something when they go down. Those that stop are the guard's
(`mimic.deploy.trips.Thresholds.stop_buttons`)."""
QUEUE_KEY = "q"
"""Before a digit: that clip after what is played."""
HELP = (
    "keys: s stand, r ready, t track, p passive, x reset; 1-9 a clip, q1-q9 a clip afterwards, "
    "n next, l loop, h hold; any other key stops; Ctrl-C ends"
)
CLIP_EVENTS = (Event.NEXT, Event.LOOP, Event.HOLD, Event.TRACK, Event.STOP)
"""What a timetable may ask for, besides clips by their number."""


@dataclass
class Timetable:
    """What is asked for at which time of tracking.

    Attributes:
        entries: s since tracking began, and the event, in their order.
    """

    entries: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def of(cls, texts: Sequence[str], clips: int) -> Timetable:
        """Read entries as ``4.5:clip:2``, for clips numbered from 1 to ``clips``.

        Raises:
            MimicError: no such time, event or clip.
        """
        entries = []
        for text in texts:
            time, _, event = text.partition(":")
            number = event.partition(":")[2]
            try:
                at = float(time)
            except ValueError:
                at = math.nan
            chosen = event.startswith((CLIP, QUEUE))
            known = event in CLIP_EVENTS or chosen
            if not (math.isfinite(at) and at >= 0 and known):
                raise MimicError(
                    f"--at {text}: expected SECONDS:EVENT, the events are clip:NUMBER, "
                    f"queue:NUMBER, {', '.join(CLIP_EVENTS)}"
                )
            if chosen and not (number.isdecimal() and 1 <= int(number[:9]) <= clips):
                raise MimicError(f"--at {text}: the clips are numbered from 1 to {clips}")
            entries.append((at, event))
        return cls(sorted(entries, key=lambda entry: entry[0]))

    def due(self, since: float) -> list[str]:
        """What is asked for up to ``since`` s of tracking; each once."""
        now = [event for at, event in self.entries if at <= since + 1e-9]
        self.entries = self.entries[len(now) :]
        return now


class Operator:
    """Collects what was asked for.

    Attributes:
        ending: whether the operator wants the deployment to end, after damping.
        page: tells what was pressed on a page since it was asked last.
    """

    def __init__(self, *, keys: bool, timetable: Timetable | None = None) -> None:
        self.timetable = timetable or Timetable()
        self._tracking: float | None = None
        self._queueing = False
        self.keys = keys and sys.stdin.isatty()
        self.ending = False
        self._asked: list[str] = []
        self._remote = NO_REMOTE
        self.page: Callable[[], Sequence[str]] | None = None

    def __call__(self) -> Sequence[str]:
        """What was asked for since the last call."""
        if self.keys:
            self._asked += self._typed()
        if self.page is not None:
            self._asked += self.page()
        asked, self._asked = self._asked, []
        return asked

    def tracking(self, now: float, mode: Mode) -> None:
        """The mode at ``now`` s; what the timetable says for this time of tracking is asked for."""
        if mode not in (Mode.TRACK, Mode.HOLD):
            self._tracking = None
            return
        self._tracking = now if self._tracking is None else self._tracking
        self._asked += self.timetable.due(now - self._tracking)

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
            asked += [event for event in map(self._key, typed) if event]
        return asked

    def _key(self, key: str) -> str:
        """What a key asks for; empty while more is needed to know."""
        queueing, self._queueing = self._queueing, key == QUEUE_KEY and not self._queueing
        if self._queueing:
            return ""
        event = KEYS.get(key, Event.STOP)
        if queueing:
            return event.replace(CLIP, QUEUE) if event.startswith(CLIP) else Event.STOP
        return event
