"""The page's own process: a server for browsers, beside the deployment and of no use to it.

It hears of the deployment over a socket from the policy's loop, asks for things over the same one,
and presses the stop button over a second one, to the guard. Both may die, hang or say nothing; the
page says so. It ends when both have gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mimic.deploy.page.link import ENDED, SNAPSHOT
from mimic.deploy.page.snapshot import SnapshotRows
from mimic.deploy.page.status import Latencies, Robot, latency_html, status_html
from mimic.deploy.page.stop_button import STOP
from mimic.deploy.pilot import Event
from mimic_base.errors import UserError

READY, REFUSED = b"ready ", b"refused "
"""What the page says first: its address, or why there is none."""
PICTURES_HZ, TEXTS_HZ = 15.0, 4.0
ANSWER_S = 0.3
"""s in which the guard answers the stop button, or is told of as silent."""
NICE = 5
"""The page gives way to guard and loop where they share a core."""


@dataclass(frozen=True, kw_only=True)
class PageConfig:
    """What the page is started with.

    Attributes:
        host, port: where it is served; port 0 takes any that is free.
        robot: name or description file. title: of the page.
        joint_names, effort_limit, temperature, tilt, clips, send, auto, lock_step: as in
            `mimic.deploy.page.status.Robot`.
        control_dt: s. stages: of the policy's loop.
    """

    host: str
    port: int
    robot: str
    title: str
    joint_names: tuple[str, ...]
    effort_limit: tuple[float, ...]
    temperature: float
    tilt: float
    clips: tuple[str, ...]
    send: bool
    auto: bool
    lock_step: bool
    control_dt: float
    stages: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PageConfig:
        plain: dict[str, Any] = json.loads(text)
        for name in ("joint_names", "effort_limit", "clips", "stages"):
            plain[name] = tuple(plain[name])
        return cls(**plain)

    @property
    def shown(self) -> Robot:
        """What of it the texts need."""
        return Robot(**{name: getattr(self, name) for name in Robot.__dataclass_fields__})


class PageProcess:
    """The page between its sockets and its browsers."""

    def __init__(self, config: PageConfig, loop: socket.socket, guard: socket.socket) -> None:
        self.config = config
        self.loop: socket.socket | None = loop
        self.guard: socket.socket | None = guard
        for each in (loop, guard):
            each.setblocking(False)
        self.rows = SnapshotRows(len(config.joint_names), config.stages)
        self.latencies = Latencies(config.stages)
        self.newest: Any = None
        self.came = time.monotonic()
        self.trip = ("", "")
        self.ended = ""
        self.pressed: float | None = None
        self.insisted = False
        self._told_latencies = ""
        self._old_trip = ("", "")

    # what the buttons do, in the server's threads ----------------------------------------------

    def stop(self) -> None:
        """Ask the guard to stop; where it takes nothing, the policy at once."""
        self.pressed, self.insisted = None if self.trip[0] else time.monotonic(), False
        try:
            self.guard.send(STOP)  # pyright: ignore[reportOptionalMemberAccess]
        except (OSError, AttributeError):
            self.ask(Event.STOP)

    def insist(self, now: float) -> None:
        """Ask the policy to stop too, once, where the guard does not answer.

        Not before, and not in lock-step, where the policy waits for the guard: it might be heard
        first, and tell its operator as the reason instead of this button.
        """
        if self.unanswered(now) and not (self.insisted or self.config.lock_step):
            self.insisted = True
            self.ask(Event.STOP)

    def unanswered(self, now: float) -> bool:
        """Whether the guard should have answered a press by now."""
        return self.pressed is not None and now - self.pressed > ANSWER_S

    def ask(self, event: str) -> None:
        """Ask the policy's loop for something."""
        with contextlib.suppress(OSError, AttributeError):
            self.loop.send(event.encode())  # pyright: ignore[reportOptionalMemberAccess]

    # what comes --------------------------------------------------------------------------------

    def hear(self, seconds: float) -> None:
        """Take what has come, waiting for it that long."""
        there = [each for each in (self.loop, self.guard) if each is not None]
        for each in select.select(there, [], [], seconds)[0]:
            self._drain(each)

    def _drain(self, end: socket.socket) -> None:
        for _ in range(1000):
            try:
                data = end.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                end.close()
                if end is self.loop:
                    self.loop = None
                else:
                    self.guard = None
                return
            if end is self.guard:
                trip, _, told = data.decode("utf-8", "replace").partition("\n")
                self.trip = (trip, told)
                self.pressed = None if trip else self.pressed
            elif data[:1] == ENDED:
                self.ended = data[1:].decode("utf-8", "replace")
            elif data[:1] == SNAPSHOT and len(data) == 1 + self.rows.layout.itemsize:
                self.newest = np.frombuffer(data, self.rows.layout, offset=1)[0]
                self.came = time.monotonic()
                self.latencies.take(self.newest)

    # what is shown -----------------------------------------------------------------------------

    def notes(self, now: float) -> list[str]:
        """What else is to be said."""
        found = []
        if self.ended:
            found.append(f"ended: {self.ended}")
        elif self.loop is None:
            found.append("the policy's process is gone; the guard damps")
        if self.guard is None and not self.ended:
            found.append("the guard is gone: nothing is sent any more, this stop button is dead")
        if self.unanswered(now):
            found.append("stop was pressed, and the guard has not answered: use the robot's own")
        return found

    def texts(self) -> tuple[str, str]:
        """Status and latencies, HTML."""
        now, shown = time.monotonic(), self.config.shown
        status = status_html(
            self.newest,
            shown,
            self.config.control_dt,
            age=0.0 if self.newest is None or self.ended else now - self.came,
            trip=self.trip,
            notes=self.notes(now),
        )
        return status, latency_html(self.newest, self.latencies, shown)

    def run(self, server: Any) -> None:
        """Until nobody is left at the other ends."""
        import robots
        from mimic.deploy.page.panel import Panel

        panel = Panel(server, self.config.shown, self.stop, self.ask)
        panel.show(*self.texts())
        scenes: list[Any] = []

        def build() -> None:
            from mimic.deploy.page.scene import Scene

            scenes.append(Scene(server, robots.load(self.config.robot)))

        # The buttons are there before the robot's meshes, which take a while.
        threading.Thread(target=build, daemon=True).start()
        texts_due, drawn = 0.0, None
        while self.loop is not None or self.guard is not None:
            began = time.monotonic()
            self.hear(1.0 / PICTURES_HZ)
            self.insist(time.monotonic())
            if server.get_clients():
                if scenes and self.newest is not None and self.newest is not drawn:
                    scenes[0].show(self.newest)
                    drawn = self.newest
                if began >= texts_due:
                    panel.show(*self.texts())
                    texts_due = began + 1.0 / TEXTS_HZ
            # Snapshots come faster than pictures are drawn.
            time.sleep(max(0.0, began + 1.0 / PICTURES_HZ - time.monotonic()))


def main() -> None:
    """Read the configuration from the loop's socket, serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    loop, guard = (socket.socket(fileno=int(each)) for each in sys.argv[1:3])
    config = PageConfig.from_json(loop.recv(1 << 18).decode())
    from mimic_base.browser_page import address, close_server, open_server

    try:
        server = open_server(config.host, config.port, config.title)
    except UserError as error:
        loop.send(REFUSED + str(error).encode())
        return
    loop.send(READY + address(server).encode())
    try:
        PageProcess(config, loop, guard).run(server)
    finally:
        close_server(server)
    # Threads that still draw, in native code, may crash in an interpreter that is taken down.
    os._exit(0)


if __name__ == "__main__":
    main()
