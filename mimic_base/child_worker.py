"""The process in which `mimic_base.child` runs a function: ``python -I -S child_worker.py MODE``.

``once`` reads a job on standard input and writes its result on standard output. ``serve SOCKET``
imports the modules that its orders name, then forks for every job: what is dear, starting Python
and importing a library, is paid once. Each job runs in a process of its own without rights
(`mimic_base.sandbox`), and its result goes through a pipe of its own.

Only the standard library is imported here. A message is eight bytes of length and as many of JSON;
behind that of a result come the bytes of its arrays.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

MOST_TEXT = 4000
"""Characters of an error that are told."""


def main(mode: str, *rest: str) -> int:
    """Run the process; what it returns is its exit code."""
    if mode == "once":
        out = os.dup(1)
        job = read_message(sys.stdin.buffer.read)
        quiet = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(quiet, standard)
        run_job(job, out)
    return serve(socket.socket(fileno=int(rest[0]))) if mode == "serve" else 0


def read_message(read: Any) -> Any:
    """The next JSON message that ``read(count)`` gives."""
    return json.loads(read(int.from_bytes(read(8), "little")))


def message(content: Any) -> bytes:
    """A JSON message with its length before it."""
    data = json.dumps(content).encode()
    return len(data).to_bytes(8, "little") + data


# -- the server ----------------------------------------------------------------------------------


def serve(orders: socket.socket) -> int:
    """Do jobs until the other end closes the socket.

    An order is a message with one file descriptor, the pipe for its result; the answer tells how
    the job's process ended. An order without one is to be made ready for, and has no answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    while True:
        received = _receive(orders)
        if received is None:
            return 0
        job, out = received
        began = time.process_time()
        with contextlib.suppress(Exception):  # the job's own process will tell
            _prepare(job)
        if out is None:
            continue
        child = os.fork()
        if child == 0:
            orders.close()
            run_job(job, out)
        os.close(out)
        status, usage = _wait(child, orders)
        spent = usage.ru_utime + usage.ru_stime + time.process_time() - began
        ended = {"status": status, "peak_kb": usage.ru_maxrss, "processor_s": spent}
        orders.sendall(message(ended))


def _receive(orders: socket.socket) -> tuple[Any, int | None] | None:
    """The next order and its file descriptor; None at the end."""
    head, extra, _, _ = orders.recvmsg(8, socket.CMSG_SPACE(array.array("i").itemsize))
    if not head:
        return None
    out = array.array("i")
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            out.frombytes(data[: out.itemsize])

    def read(count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = orders.recv(count - len(data))
            if not part:
                raise EOFError("the order was cut off")
            data += part
        return data

    size = int.from_bytes(head + read(8 - len(head)), "little")
    return json.loads(read(size)), out[0] if out else None


def _wait(child: int, orders: socket.socket) -> tuple[int, Any]:
    """How the child ended; it is ended where the parent closes the socket before."""
    watch = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([watch, orders], [], [])
        if watch not in ready:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(watch)
    _, status, usage = os.wait4(child, 0)
    return status, usage


# -- a job -----------------------------------------------------------------------------------------


def _prepare(job: Mapping[str, Any]) -> Any:
    """The job's function; its module is imported with all it needs.

    A function ``prepare`` of the module is called with the job's arguments: it opens what the
    function needs and may not open later, the library above all, and touches no foreign file.
    """
    for place in job["path"]:
        if place not in sys.path:
            sys.path.append(place)
    importlib.import_module("mimic_base.sandbox").prepare()
    name, _, function = job["target"].partition(":")
    module = importlib.import_module(name)
    if not function:
        return None
    if hasattr(module, "prepare"):
        module.prepare(**job["arguments"])
    return getattr(module, function)


def run_job(job: Mapping[str, Any], out: int) -> None:
    """Do a job, write its result to the file descriptor `out`, and end the process."""
    try:
        function = _prepare(job)
        if job["apart"]:
            from mimic_base import sandbox

            os.chdir(os.sep)
            sandbox.enter(
                reads=[*job["reads"], *job["code"]],
                memory=job["memory"],
                processor_s=job["processor_s"],
                wall_s=job["wall_s"],
            )
        parts = _packed(function(**job["arguments"]))
    except MemoryError:
        parts = [message({"failed": "MemoryError", "text": ""})]
    except BaseException as error:
        text = str(error)[:MOST_TEXT]
        parts = [message({"failed": type(error).__name__, "text": text})]
    try:
        for part in parts:
            view = memoryview(part).cast("B")
            while view:
                view = view[os.write(out, view) :]
    finally:
        # The parent goes on with what is whole while the system takes this process apart.
        with contextlib.suppress(OSError):
            os.close(out)
        # What the libraries hold, and what they would do at the end, goes with the process.
        os._exit(0)


def _packed(values: Mapping[str, Any]) -> list[Any]:
    """A function's result as a message and the bytes of its arrays.

    Bytes and arrays (anything with ``dtype``, ``shape`` and the buffer protocol) go behind the
    message as they are; all else must be JSON.
    """
    plain: dict[str, Any] = {}
    arrays: list[tuple[str, str, list[int]]] = []
    parts: list[Any] = []
    for name, value in values.items():
        if isinstance(value, bytes | bytearray):
            arrays.append((name, "bytes", [len(value)]))
            parts.append(value)
        elif hasattr(value, "dtype"):
            solid = value.copy(order="C")
            arrays.append((name, solid.dtype.str, list(solid.shape)))
            if solid.size:
                parts.append(solid.reshape(-1).view("u1"))
        else:
            plain[name] = value
    return [message({"values": plain, "arrays": arrays}), *(part for part in parts if len(part))]


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    os._exit(code)
