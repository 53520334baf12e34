"""Running a function in a process of its own, with little time, memory and rights.

Libraries in C and C++ that read files of strangers may crash, hang, fill the memory or be taken
over by the file. `call` runs a function, named ``module:function``, in a child process that may
take a limited time and memory, read the files it is given and nothing else, write nothing and
reach no network (`mimic_base.sandbox` says what is enforced where). The result comes back as JSON
and arrays whose sizes are checked; nothing that the child says is ever run. How it died is one
line, with the limit and the option that lifts it.

On Linux a server process, one per process and module, imports the module once and forks for each
job: the first job costs the start of Python and the library, later ones some milliseconds. On
other systems every job starts Python anew.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_base import child_worker
from mimic_base.errors import InputError, input_error
from mimic_base.limits import limit, over_limit
from mimic_base.text import plain

_PACKAGES = ("mimic_base", "robots", "motions", "retarget", "mimic")
"""This program's packages: what a child may read beside its file and the installed libraries."""
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
"""Where the system's libraries are."""
_MOST_HEAD = 1 << 26
"""Bytes of a result that are not arrays."""
_MOST_AXES = 8
_TYPES = ("|u1", "|b1", "<i4", "<u4", "<i8", "<f4", "<f8")
_PIPE = 1 << 20
"""Bytes that the pipe of a result holds: what Linux lets any user ask for."""
_SERVES = sys.platform == "linux" and hasattr(os, "pidfd_open")
_SETTLING = 1.0
"""Seconds that a process may go on after it has handed over its result."""
_QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
"""A child needs no pool of threads, whose memory would count."""
_TIME_SIGNALS = tuple(
    number for name in ("SIGXCPU", "SIGKILL", "SIGALRM") if (number := getattr(signal, name, None))
)
_DISTRUST = "the file is damaged, or made to do harm; get it from where it was made"


_processor_s = 0.0


class ChildError(Exception):
    """The function raised: `kind` is the name of the exception's class, the text its message."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text or kind)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a child shall do, and what it may need."""

    target: str
    """``package.module:function``; its result is a mapping of names to arrays, bytes or JSON."""
    arguments: Mapping[str, Any]
    """Keyword arguments, JSON."""
    about: Path
    """The file that a refusal names."""
    what: str
    """Who reads the file, for the refusal: ``ezc3d``, ``Assimp``, ``MuJoCo``."""
    reads: Sequence[Path]
    """Files and folders that may be read."""
    seconds: str = "seconds"
    """Name of the limit of processor time, s; see `mimic_base.limits`."""
    share: float = 1.0
    """How many times that limit is given: large files take long."""


def call(job: Job) -> dict[str, Any]:
    """Do a job in a child process.

    Returns:
        The function's result: numpy arrays, bytes and what JSON holds.

    Raises:
        InputError: the child died: one line about file, limit and option.
        ChildError: the function raised an exception.
    """
    order = _order(job)
    ended = _serve(order) if _SERVES else _once(order)
    global _processor_s
    _processor_s += ended.processor_s
    return _result(job, order, ended)


def processor_s() -> float:
    """Processor seconds that jobs of this process have taken so far; told on Linux only."""
    with _LOCK:
        for (process, _), server in list(_SERVERS.items()):
            if process == os.getpid():
                server.settle()
    return _processor_s


def warm(target: str) -> None:
    """Start the server for a function's module, if there is none, without waiting for it.

    A command that will need one soon says so, and loads other things meanwhile.
    """
    if _SERVES:
        with _LOCK, contextlib.suppress(OSError):
            _server(target.partition(":")[0])


@dataclass(frozen=True)
class _Ended:
    """How a child ended."""

    data: bytearray
    """What it wrote."""
    status: int | None
    """As `os.wait` has it; None where it was ended since its time on the clock was over."""
    peak_kb: int = 0
    """Most memory that it had."""
    processor_s: float = 0.0
    """Processor seconds that it took, its start from the server included."""


def _order(job: Job) -> dict[str, Any]:
    seconds = max(1, round(limit(job.seconds) * job.share))
    path = _path()
    root, others = path[0], [place for place in path[1:] if place != os.getcwd()]
    return {
        "target": job.target,
        "arguments": dict(job.arguments),
        "reads": [str(each) for each in job.reads],
        "path": path,
        "code": [
            *(os.path.join(root, package) for package in _PACKAGES),
            *others,
            sys.base_prefix,
            sys.prefix,
            *_SYSTEM,
        ],
        "memory": int(limit("memory")),
        "bytes": int(limit("bytes")),
        "processor_s": seconds,
        # A loaded machine gives a process only a share of a processor.
        "wall_s": 3 * seconds + 10,
        "apart": True,
    }


def _path() -> list[str]:
    """Where the child finds modules: this program first, then where its parent does."""
    root = str(Path(__file__).resolve().parent.parent)
    return list(dict.fromkeys([root, *(os.path.abspath(place) for place in sys.path if place)]))


# -- a server: Linux -------------------------------------------------------------------------------

_LOCK = threading.Lock()


class _Server:
    """A process that does jobs of one module; see `mimic_base.child_worker.serve`."""

    def __init__(self, module: str) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*_python(), "serve", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A group of its own: all that it has started can be ended together.
                start_new_session=True,
                env=_environment(),
            )
        self.socket.sendall(child_worker.message({"target": f"{module}:", "path": _path()}))
        self._unsettled = False

    def settle(self) -> bool:
        """Hear how the last job's process ended, where that has not been waited for; False where
        it goes on although its result is whole, or the server is gone: such a server is no good."""
        if not self._unsettled:
            return True
        self._unsettled = False
        try:
            answer = self._answer(time.monotonic() + _SETTLING)
        except OSError:
            return False
        if answer is None:
            return False
        global _processor_s
        _processor_s += answer["processor_s"]
        return True

    def end(self) -> None:
        """End the server and whatever runs for it."""
        self.socket.close()
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def do(self, order: Mapping[str, Any]) -> _Ended:
        """Let it do a job. Raises `OSError` where the server itself is gone."""
        import fcntl  # servers are for Linux

        ours, theirs = os.pipe()
        with contextlib.suppress(OSError):
            # Arrays of some megabytes come through in a few turns of the two processes.
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            content = child_worker.message(order)
            try:
                sent = socket.send_fds(self.socket, [content], [theirs])
                self.socket.sendall(content[sent:])
            finally:
                os.close(theirs)
            end = time.monotonic() + order["wall_s"] + 5.0
            data = _read(ours, end, order["bytes"])
            if data is None:
                self.end()
                return _Ended(bytearray(), None)
            if len(data) > order["bytes"]:
                self.end()  # it is still writing
                return _Ended(data, 0)
            if _whole(data):
                # How its process ends does not matter any more; the next job asks.
                self._unsettled = True
                return _Ended(data, 0)
            answer = self._answer(end)
            if answer is None:
                self.end()
                return _Ended(data, None)
            return _Ended(data, answer["status"], answer["peak_kb"], answer["processor_s"])
        finally:
            os.close(ours)

    def _answer(self, end: float) -> Mapping[str, Any] | None:
        self.socket.settimeout(max(0.01, end - time.monotonic()))
        try:

            def read(count: int) -> bytes:
                data = b""
                while len(data) < count:
                    part = self.socket.recv(count - len(data))
                    if not part:
                        raise ConnectionError("the server of child processes has ended")
                    data += part
                return data

            return child_worker.read_message(read)
        except TimeoutError:
            return None
        finally:
            self.socket.settimeout(None)


_SERVERS: dict[tuple[int, str], _Server] = {}
"""By process (a fork has no use for its parent's servers) and module."""


def _server(module: str) -> _Server:
    key = (os.getpid(), module)
    server = _SERVERS.get(key)
    if server is not None and not server.settle():
        server.end()
    if server is None or server.process.poll() is not None:
        server = _SERVERS[key] = _Server(module)
    return server


@atexit.register
def _end_servers() -> None:
    for (process, _), server in list(_SERVERS.items()):
        if process == os.getpid():
            server.end()


def _serve(order: Mapping[str, Any]) -> _Ended:
    module = order["target"].partition(":")[0]
    with _LOCK:
        server = _server(module)
        try:
            return server.do(order)
        except BaseException:
            # Ctrl-C, or a server that is gone: what runs is ended, the next job has a new one.
            server.end()
            raise


def _read(pipe: int, end: float, most: float) -> bytearray | None:
    """All that comes through a pipe until the clock shows `end`; None where it did not end by then.

    Reading ends behind the first `most` bytes too.
    """
    data = bytearray()
    watch = select.poll()  # unlike `select.select`, it takes descriptors of any number
    watch.register(pipe, select.POLLIN)
    while len(data) <= most:
        if not watch.poll(1000.0 * max(0.0, end - time.monotonic())):
            return None
        part = os.read(pipe, 1 << 20)
        if not part:
            return data
        data += part
    return data


# -- a process for each job: other systems ---------------------------------------------------------


def _once(order: Mapping[str, Any]) -> _Ended:
    process = subprocess.Popen(
        [*_python(), "once"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        data, _ = process.communicate(child_worker.message(order), timeout=order["wall_s"] + 5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return _Ended(bytearray(), None)
    except BaseException:
        process.kill()
        process.wait()
        raise
    # What `os.wait` would say: the signal, or the exit code in the byte above.
    code = process.returncode
    return _Ended(bytearray(data), -code if code < 0 else code << 8)


def _python() -> list[str]:
    return [sys.executable, "-I", "-S", "-X", "utf8", child_worker.__file__]


def _environment() -> dict[str, str]:
    return {**os.environ, **_QUIET}


# -- what came back --------------------------------------------------------------------------------


def _result(job: Job, order: Mapping[str, Any], ended: _Ended) -> dict[str, Any]:
    data = ended.data
    if len(data) > order["bytes"]:
        raise over_limit(job.about, "bytes", None, f"what {job.what} makes of this file")
    _check_alive(job, order, ended)
    try:
        head, size = _head(data)
        if "failed" in head:
            raise _failure(job, str(head["failed"]), plain(head["text"], child_worker.MOST_TEXT))
        return {**head["values"], **_arrays(data, size, head["arrays"])}
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise input_error(
            job.about, f"{job.what}, which reads it in a process apart, answered nonsense",
            found=plain(error, 200), fix=_DISTRUST,
        ) from error  # fmt: skip


def _check_alive(job: Job, order: Mapping[str, Any], ended: _Ended) -> None:
    """Raise `InputError`, one line, where the child was ended or ended itself."""
    status = ended.status
    if status == 0:
        return
    number = None if status is None else status & 0x7F
    if number in (None, *_TIME_SIGNALS):
        raise over_limit(
            job.about, job.seconds, None,
            f"the time that {job.what} takes for this file ({order['processor_s']} s of processor "
            f"time and {order['wall_s']} s in all are given)",
        )  # fmt: skip
    if ended.peak_kb * 1024 > 0.7 * order["memory"]:
        raise _too_much_memory(job)
    assert status is not None
    found = signal.Signals(number).name if number else f"exit code {status >> 8}"
    raise input_error(
        job.about, f"{job.what} (in a process apart) crashed on this file", found=found,
        fix=_DISTRUST,
    )  # fmt: skip


def _failure(job: Job, kind: str, text: str) -> Exception:
    if kind == "MemoryError" or "bad_alloc" in text or "cannot allocate" in text.lower():
        return _too_much_memory(job)
    return ChildError(kind, text)


def _too_much_memory(job: Job) -> InputError:
    return over_limit(job.about, "memory", None, f"the memory that {job.what} takes for this file")


def _whole(data: bytearray) -> bool:
    """Whether all that a result announces is there."""
    try:
        head, size = _head(data)
        for _, kind, shape in head.get("arrays", ()):
            size += math.prod(shape) * (1 if kind == "bytes" else int(kind[2:]))
        return size == len(data)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError):
        return False


def _head(data: bytearray) -> tuple[dict[str, Any], int]:
    """The JSON before the arrays, and where it ends."""
    size = int.from_bytes(data[:8], "little")
    if not 0 < size <= min(len(data) - 8, _MOST_HEAD):
        raise ValueError(f"{len(data)} bytes where a result of {size} is announced")
    head = json.loads(data[8 : 8 + size])
    if not isinstance(head, dict):
        raise TypeError("a result must be a mapping")
    return head, 8 + size


def _arrays(data: bytearray, start: int, entries: Any) -> dict[str, Any]:
    """The arrays behind the head: types of a short list, sizes as many bytes as are there."""
    found: dict[str, Any] = {}
    for name, kind, shape in entries:
        if not (isinstance(name, str) and all(type(n) is int and n >= 0 for n in shape)):
            raise ValueError(f"an array {name!r} of shape {shape!r}")
        count = math.prod(shape)
        if kind == "bytes":
            end = start + count
            found[name] = bytes(memoryview(data)[start:end])
        else:
            import numpy as np

            if kind not in _TYPES or len(shape) > _MOST_AXES:
                raise ValueError(f"an array of type {kind!r} and shape {shape!r}")
            dtype = np.dtype(kind)
            end = start + count * dtype.itemsize
            if end <= len(data):
                values = np.frombuffer(data, dtype, count, start)
                found[name] = values.reshape(shape)
        if end > len(data):
            raise ValueError(f"array {name!r} ends {end - len(data)} bytes behind the last")
        start = end
    if start != len(data):
        raise ValueError(f"{len(data) - start} bytes too many")
    return found
