"""Functions that tests run in a child process: well-behaved ones, and others."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np


def give(**values: Any) -> dict[str, Any]:
    """The arguments, and arrays of several kinds."""
    return {
        **values,
        "floats": np.arange(6.0).reshape(2, 3)[:, ::-1],
        "none": np.zeros((0, 3), np.float32),
        "truth": np.array([True, False]),
        "bytes": b"\0\1",
    }


def attempt(place: str) -> dict[str, Any]:
    """What a child can do that it should not: name -> what came of it."""

    def result(action: Any) -> str:
        try:
            action()
        except BaseException as error:
            return type(error).__name__
        return "done"

    other = Path(place)
    return {
        "read": result(lambda: other.joinpath("secret").read_text()),
        "list": result(lambda: list(other.iterdir())),
        "write": result(lambda: other.joinpath("new").write_text("x")),
        "append": result(lambda: other.joinpath("secret").open("a").write("x")),
        "remove": result(lambda: other.joinpath("secret").unlink()),
        "mode": result(lambda: other.joinpath("given").chmod(0o777)),
        "given": result(lambda: other.joinpath("given").read_text()),
        "network": result(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
        "program": result(lambda: subprocess.run(["true"], check=True)),
        "signal": result(lambda: os.kill(os.getppid(), signal.SIGTERM)),
        "session": result(os.setsid),
        "memory": result(lambda: bytearray(1 << 31)),
    }


def fail(text: str) -> dict[str, Any]:
    """Raise."""
    raise KeyError(text)


def hang() -> dict[str, Any]:
    """Take all the processor there is."""
    while True:
        pass


def sleep() -> dict[str, Any]:
    """Wait, without using the processor."""
    time.sleep(1000)
    return {}


def crash() -> dict[str, Any]:
    """Read where nothing is."""
    ctypes.string_at(0)
    return {}


def leave() -> dict[str, Any]:
    """End the process, as a library may."""
    os._exit(7)


def grow() -> dict[str, Any]:
    """Take memory, and use it, until there is none."""
    held = []
    while True:
        held.append(b"x" * (1 << 24))


def pour() -> dict[str, Any]:
    """Answer with very much."""
    return {"bytes": bytes(1 << 26)}
