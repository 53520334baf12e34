"""Locks: one writer at a time for what would go wrong with two.

A lock is a small file that says who holds it, locked with ``flock``: the system lets go of it when
its holder ends, however that happens, and a lock whose holder is gone is simply taken. Where a file
system has no such locks, or has them for each machine alone, the holder's name counts: on this
machine its process is looked for; of another machine's, the file is watched, since a holder touches
it every few seconds.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mimic_base.owner import Owner, owner, owner_of

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

BEAT_S = 5.0
"""A holder touches its file so often."""
WATCH_S = 45.0
"""A file of another machine that nobody has touched while it was watched for so long is nobody's;
longer than network file systems keep a time of their own."""
_OLD_S = 600.0
"""One that was not touched for so long is nobody's at once."""
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock."""

    path: Path
    """The lock's file."""
    owner: Owner | None
    """The process; None where the file does not say (it is just being written)."""
    since: str = "just now"
    """When it took the lock, local time."""

    def __str__(self) -> str:
        """Who, since when, and what to do where it cannot be seen from here."""
        if self.owner is None:
            return f"another process (see {self.path})"
        text = f"{self.owner}, since {self.since}"
        if self.owner.here:
            return text
        return (
            f"{text}; that is another machine or container, which cannot be seen from here: "
            f"if it is gone, remove {self.path}"
        )


class Lock:
    """The lock at a path, which may be tried again and again until it is had.

    Raises of its methods:
        OSError: the file cannot be made or written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._handle: int | None = None

    def try_acquire(self) -> Holder | None:
        """Take the lock, or say who holds it; returns at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                holder = self._taken(handle)
                if holder is None and self._still_there(handle):
                    self._sign(handle)
                    _hold(handle)
                    self._handle, handle = handle, -1
                    return None
                if holder is not None:
                    return holder
            finally:
                if handle >= 0:
                    os.close(handle)

    def acquire(self, wait_s: float) -> Holder | None:
        """Take the lock within a time, or say who holds it after it."""
        end = time.monotonic() + wait_s
        while (holder := self.try_acquire()) is not None and time.monotonic() < end:
            time.sleep(_POLL_S)
        return holder

    def release(self) -> None:
        """Let go of it; its file is gone then."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        _let_go(handle)
        with suppress(OSError):
            if self._still_there(handle):
                self.path.unlink()
        os.close(handle)

    def _taken(self, handle: int) -> Holder | None:
        """Who holds the lock of an open file; None when this process may have it, and then has it
        as far as ``flock`` goes."""
        sure = True
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(handle, self.path)
            except OSError:
                sure = False  # this file system has no locks
        holder = _read(handle, self.path)
        whose = holder.owner
        if whose is None or whose == owner():
            return None
        alive = whose.alive()
        if alive is None:
            return holder if _beats(self.path, os.fstat(handle).st_mtime_ns) else None
        # Of a live process of this machine the lock itself has told, unless there are no locks.
        return holder if alive and not (sure and fcntl is not None) else None

    def _sign(self, handle: int) -> None:
        """Write into the file who holds it; where there is no room for that it is gone again."""
        said = {"owner": owner().token, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(said).encode() + b"\n", 0)
        except OSError:
            with suppress(OSError):
                self.path.unlink()
            raise

    def _still_there(self, handle: int) -> bool:
        """Whether the open file still is the lock's: its last holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self.path))
        except FileNotFoundError:
            return False


@contextmanager
def locked(path: Path | str) -> Iterator[Holder | None]:
    """Try a lock for the length of a block; gives who holds it already, None when it was had."""
    lock = Lock(path)
    holder = lock.try_acquire()
    try:
        yield holder
    finally:
        lock.release()


def clear_locks(folder: Path, pattern: str) -> None:
    """Remove the locks in and below a folder that dead processes have left; others stay."""
    for path in sorted(folder.rglob(pattern)):
        with suppress(OSError), locked(path):
            pass


def _read(handle: int, path: Path) -> Holder:
    try:
        said = json.loads(os.pread(handle, 4096, 0))
        return Holder(path=path, owner=owner_of(said["owner"]), since=str(said["since"])[:40])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Holder(path=path, owner=None)


# whether it is alive ----------------------------------------------------------------------------

_guard = threading.Lock()
_held: set[int] = set()
_heart: tuple[int, threading.Thread] | None = None
_watched: dict[Path, tuple[int, float]] = {}
"""Locks of other machines: when each was last touched, and since when it is known (monotonic)."""


def _hold(handle: int) -> None:
    """Have a file touched until `_let_go`."""
    global _heart
    with _guard:
        _held.add(handle)
        # A process that was forked has none of its parent's threads.
        if _heart is None or _heart[0] != os.getpid() or not _heart[1].is_alive():
            thread = threading.Thread(target=_beat, name="mimic-locks", daemon=True)
            _heart = os.getpid(), thread
            thread.start()


def _let_go(handle: int) -> None:
    with _guard:
        _held.discard(handle)


def _beat() -> None:
    while True:
        time.sleep(BEAT_S)
        with _guard:
            for handle in _held:
                with suppress(OSError):
                    os.utime(handle)


def _beats(path: Path, touched: int) -> bool:
    """Whether a holder on another machine still touches its lock, as far as is known by now."""
    if time.time() - touched / 1e9 > _OLD_S:
        return False
    now = time.monotonic()
    seen = _watched.get(path)
    if seen is None or seen[0] != touched:
        _watched[path] = touched, now
        return True
    return now - seen[1] < WATCH_S
