"""Keys and gamepads: what they ask for. Nothing here imports torch.

What is asked for is a name and a number: ``forward``, ``left``, ``up`` and ``turn`` change what is
commanded by a step, ``skill``, ``hand``, ``still``, ``restart`` and ``end`` are said once.
"""

from __future__ import annotations

import math
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

Event = tuple[str, float]

KEYS: dict[str, Event] = {
    "w": ("forward", 1.0), "s": ("forward", -1.0),
    "a": ("left", 1.0), "d": ("left", -1.0),
    "up": ("up", 1.0), "down": ("up", -1.0),
    "left": ("turn", 1.0), "right": ("turn", -1.0),
    "n": ("skill", 1.0), "h": ("hand", 1.0), "space": ("still", 1.0), "r": ("restart", 1.0),
    "x": ("end", 1.0),
}  # fmt: skip
"""Keys by the names that both terminal and browser are translated to."""
ESCAPED = {"A": "up", "B": "down", "C": "right", "D": "left"}
"""Last letter of a terminal's arrow keys, ``ESC [ A`` or ``ESC O A``."""
HELP = (
    "keys, here or in the browser: W S forward, A D left and right, up and down, left and right "
    "arrow to turn; N another skill, H other hand, space still, R restart; X here ends"
)
DEAD = 0.12
"""Share of a stick's way around its middle that counts as its middle."""
PAD_EVENTS = {0: "skill", 1: "still", 2: "hand", 3: "restart"}
"""Buttons of a gamepad in the standard layout (A, B, X, Y) that say something once."""


def keys_of(typed: str) -> list[str]:
    """Names of the keys that a terminal has sent; unknown ones are left out."""
    found, at = [], 0
    while at < len(typed):
        if typed[at] == "\x1b" and typed[at + 1 : at + 2] in ("[", "O"):
            name = ESCAPED.get(typed[at + 2 : at + 3], "")
            at += 3
        else:
            name = "space" if typed[at] == " " else typed[at].lower()
            at += 1
        if name in KEYS:
            found.append(name)
    return found


class Terminal:
    """The keys of the terminal that the program was started in, where it is one."""

    def __init__(self) -> None:
        self.there = sys.stdin is not None and sys.stdin.isatty()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Keys come at once, without Enter, within the block."""
        if not self.there or os.name == "nt":
            self.there = False
            yield
            return
        import termios
        import tty

        saved = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)

    def typed(self) -> list[Event]:
        """What has been typed since it was asked last."""
        text = ""
        while self.there and select.select([sys.stdin], [], [], 0)[0]:
            data = os.read(sys.stdin.fileno(), 64)
            self.there = bool(data)
            text += data.decode("utf-8", "ignore")
        return [KEYS[name] for name in keys_of(text)]


class Gamepad:
    """A gamepad as the browser's Gamepad API tells of it, in the standard layout.

    Attributes:
        forward, left, turn: -1 to 1, where the sticks are: the left one's two axes, and the right
            one's to the side. active: whether any is out of its middle, or was a moment ago.
    """

    def __init__(self) -> None:
        self.forward = self.left = self.turn = 0.0
        self.active = False
        self._down: frozenset[int] = frozenset()

    def take(self, told: str) -> list[Event]:
        """Take ``AXES;BUTTONS``, numbers between commas; return what is said once by buttons that
        have gone down. Anything else is passed over."""
        try:
            first, _, second = told.partition(";")
            axes = [float(each) for each in first.split(",") if each][:4]
            down = frozenset(k for k, each in enumerate(second.split(",")) if each == "1")
        except ValueError:
            return []
        if not all(map(math.isfinite, axes)):
            return []
        x, y, turn = ([*map(_beyond_middle, axes)] + [0.0] * 3)[:3]
        moved = any((x, y, turn))
        was = any((self.forward, self.left, self.turn))
        # A stick forwards is -1, to the right 1.
        self.forward, self.left, self.turn = -y, -x, -turn
        self.active = moved or was
        pressed, self._down = down - self._down, down
        return [(PAD_EVENTS[k], 1.0) for k in sorted(pressed) if k in PAD_EVENTS]

    def settle(self) -> None:
        """What the sticks said has been done: in their middle they are at rest from now on."""
        self.active = any((self.forward, self.left, self.turn))


def _beyond_middle(value: float) -> float:
    """A stick's way beyond its middle, -1 to 1."""
    beyond = max(0.0, min(1.0, abs(value)) - DEAD) / (1.0 - DEAD)
    return math.copysign(beyond, value) if beyond else 0.0
