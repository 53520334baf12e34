"""Starts and ends the processes of a deployment: the guard, and a simulated robot."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.deploy.guard_process import READY, GuardConfig
from mimic.deploy.wire.bus import Bus, Publisher
from mimic.deploy.wire.codecs import family_of
from mimic.deploy.wire.link import CONTROL, STATES
from mimic.deploy.wire.network import open_network
from mimic_base.errors import RobotError
from mimic_base.numpy_files import load_npz

if TYPE_CHECKING:
    from mimic.deploy.robot_process import RobotProcessConfig

STARTING = 60.0
"""s within which a simulated robot or a guard has to be there."""


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder of one's own with a short name, for sockets; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mimic-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class RobotHandle:
    """A simulated robot in its process."""

    process: subprocess.Popen[bytes]
    results: Path
    control: Publisher

    def tell(self, **told: Any) -> None:
        """Tell the simulation something, such as ``release=True``."""
        self.control.send(json.dumps(told).encode())

    def end(self) -> dict[str, Any]:
        """End it; what it has counted, and its trajectory, ``qpos`` [T, ...] and ``time`` [T]."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not self.results.is_file():
            raise RobotError("the simulated robot ended without telling what it has seen")
        kept = load_npz(self.results)
        return {
            **json.loads(str(kept["results"])), "qpos": kept["qpos"], "time": kept["time"],
        }  # fmt: skip


@contextmanager
def simulated_robot(config: RobotProcessConfig) -> Iterator[RobotHandle]:
    """A simulated robot on a bus, started and heard of; killed at the end unless it has ended.

    Raises:
        RobotError: it did not come up.
    """
    bus = Bus(Path(config.bus))
    family = "hg"
    if config.network:
        import robots

        family = family_of(robots.load(config.robot).name)
    network = open_network(config.network or config.bus, family=family)
    listening = network.subscribe(STATES)
    process = subprocess.Popen(
        [sys.executable, "-m", "mimic.deploy.robot_process", config.to_json()],
        env=one_thread(),
        start_new_session=True,
    )
    try:
        _wait_for(listening.wait, process, "the simulated robot")
        yield RobotHandle(process, Path(config.results), bus.publisher(CONTROL))
    finally:
        listening.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def _wait_for(heard: Any, process: subprocess.Popen[bytes], who: str) -> None:
    end = time.monotonic() + STARTING
    while not heard(0.1):
        if process.poll() is not None:
            raise RobotError(f"{who} did not start (exit code {process.returncode})")
        if time.monotonic() > end:
            raise RobotError(f"{who} did not start within {STARTING:g} s")


@contextmanager
def guard_process(
    config: GuardConfig, button: socket.socket | None = None
) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """A guard in its own process, and the socket to it.

    Args:
        button: the guard's end of a page's stop button, which is closed here once it is passed on.

    It is in a session of its own, where the terminal's Ctrl-C does not reach it. It is never
    killed: when the socket closes it damps, and it ends by itself.

    Raises:
        RobotError: it did not come up.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in (ours, theirs):
        for which in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            each.setsockopt(socket.SOL_SOCKET, which, 1 << 20)
    given = [theirs.fileno(), *([button.fileno()] if button is not None else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "mimic.deploy.guard_process", *map(str, given)],
        pass_fds=given,
        env=one_thread(),
        start_new_session=True,
    )
    theirs.close()
    if button is not None:
        button.close()
    try:
        ours.send(config.to_json().encode())
        ours.settimeout(STARTING)
        try:
            said = ours.recv(64)
        except TimeoutError:
            said = b""
        if said != READY:
            raise RobotError("the guard did not start; nothing was sent to the robot")
        yield ours, process
    finally:
        ours.close()


def ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process to end by itself."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def one_thread() -> dict[str, str]:
    """The environment of a process of a deployment, with one thread for every library: more would
    only be in each other's way."""
    ours = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH", "")]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, "PYTHONPATH": path, **threads}
