"""Starts and ends the page's process."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from mimic.deploy.page.process import READY, REFUSED, PageConfig
from mimic.deploy.session import STARTING, ended, one_thread
from mimic_base.errors import InputError, RobotError

LEAVES = 3.0
"""s that the page has to end by itself."""


@dataclass
class PageHandle:
    """A page in its process.

    Attributes:
        address: for a browser on this computer. loop: our end of the socket to it. guard: the
            guard's end of its stop button, which is passed on and then closed here.
    """

    process: subprocess.Popen[bytes]
    address: str
    loop: socket.socket
    guard: socket.socket
    errors: IO[bytes]

    def why(self) -> str:
        """Why its process ended; empty while that is not known. Waits for nothing."""
        code = self.process.poll()
        if code is None:
            return ""
        if code < 0:
            return f"signal {-code}"
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"exit code {code}" + (f", {lines[-1][:200]}" if lines and code else "")


@contextmanager
def page_process(config: PageConfig) -> Iterator[PageHandle]:
    """A page in its own process, served before this returns; ended when the block is left.

    Raises:
        InputError: its address cannot be had.
        RobotError: it did not come up.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guard, button = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in (ours, theirs):
        for which in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            each.setsockopt(socket.SOL_SOCKET, which, 1 << 20)
    errors = tempfile.TemporaryFile()  # noqa: SIM115, closed at the end
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mimic.deploy.page.process", str(theirs.fileno()),
            str(button.fileno()),
        ],
        pass_fds=[theirs.fileno(), button.fileno()],
        env=one_thread(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )  # fmt: skip
    theirs.close()
    button.close()
    try:
        ours.send(config.to_json().encode())
        ours.settimeout(STARTING)
        try:
            said = ours.recv(1024)
        except TimeoutError:
            said = b""
        if said.startswith(REFUSED):
            raise InputError(said[len(REFUSED) :].decode())
        handle = PageHandle(process, said[len(READY) :].decode(), ours, guard, errors)
        if not said.startswith(READY):
            ended(process, 1.0)
            why = handle.why()
            raise RobotError(
                f"the page did not start{f' ({why})' if why else ''}; leave out --page"
            )
        yield handle
    finally:
        ours.close()
        guard.close()
        if not ended(process, LEAVES):
            process.terminate()
            if not ended(process, LEAVES):
                process.kill()
                process.wait()
        errors.close()
