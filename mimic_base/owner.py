"""Who writes: a process told apart from all others, here, elsewhere and after a restart.

A process number alone is no name: it is given again, and another machine has the same ones. With
the time at which the process began, the machine and the start of its system it is one.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PART = r"(?P<host>[A-Za-z0-9-]+)~(?P<machine>\w+)~(?P<boot>\w+)~(?P<space>\d+)"
TOKEN = re.compile(_PART + r"~(?P<pid>\d+)~(?P<start>\d+)")
"""How an owner is written into names of files; see `Owner.token`."""
_LONGEST_HOST = 24


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that has begun to write something."""

    host: str
    """Name of its machine: letters, digits and hyphens, at most 24."""
    machine: str
    """Digest of the machine's own number, where it has one: two machines may share a name."""
    boot: str
    """Digest of the number that a system draws each time it starts."""
    space: int
    """Number of the space in which `pid` counts (a container has one of its own); 0 unknown."""
    pid: int
    """The process."""
    start: int
    """When it began, in the system's own unit; what tells it from a later one of this number."""

    @property
    def token(self) -> str:
        """A text for names of files, at most about 80 characters; `owner_of` reads it."""
        parts = (self.host, self.machine, self.boot, self.space, self.pid, self.start)
        return "~".join(map(str, parts))

    @property
    def here(self) -> bool:
        """Whether it ran on this machine, so that this process can tell whether it still does."""
        mine = owner()
        if (self.host, self.machine) != (mine.host, mine.machine):
            return False
        if self.boot == mine.boot:
            return self.space == mine.space
        # Before a restart; but containers of one name may well run on two machines at once.
        return self.machine != "0"

    def alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be seen from here."""
        if not self.here:
            return None
        return self.boot == owner().boot and process_start(self.pid) == self.start

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def owner() -> Owner:
    """This process."""
    # By its number: a process that was forked from this one is another owner.
    return _owner(os.getpid())


def owner_of(text: str) -> Owner | None:
    """The owner that a token names; None for any other text."""
    found = TOKEN.fullmatch(text)
    if found is None:
        return None
    return Owner(
        host=found["host"], machine=found["machine"], boot=found["boot"],
        space=int(found["space"]), pid=int(found["pid"]), start=int(found["start"]),
    )  # fmt: skip


@functools.lru_cache(maxsize=4)
def _owner(pid: int) -> Owner:
    import socket  # here, since few commands write and all of them start

    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname()) or "unnamed"
    return Owner(
        host=host[:_LONGEST_HOST],
        machine=_digest(_text("/etc/machine-id")),
        boot=_digest(_text("/proc/sys/kernel/random/boot_id")),
        space=_space(),
        pid=pid,
        start=process_start(pid) or 0,
    )


def process_start(pid: int) -> int | None:
    """When a process of this machine began; None when there is none of that number.

    Clock ticks since the system started, on Linux; elsewhere a digest of what ``ps`` says. A
    process that has ended and only waits to be asked for its exit code counts as none.
    """
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2]
        except OSError:
            return None
        state, *rest = fields.split()
        return None if state in "ZX" else int(rest[18])
    import subprocess

    try:
        said = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True, text=True, timeout=10, check=False,
        ).stdout.split()  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return 0 if _signalled(pid) else None
    if not said or said[0].startswith("Z"):
        return None
    return int(_digest(" ".join(said[1:])), 16)


def _signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _space() -> int:
    with suppress(OSError, ValueError):
        return int(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    return 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else "0"
