"""Taking rights away from the running process: memory, time, files, network, other programs.

Only the standard library is used; processes that shall start fast import this and nothing else of
the program. What can be enforced depends on the system (`enter` tells):

- Linux: limits of memory and processor time (``setrlimit``), no writing and reading only of named
  files (Landlock, kernel 5.13), no TCP (Landlock, 6.7), no sockets, no other programs, no tracing,
  no leaving of the process group (seccomp, x86-64 and arm64).
- macOS: processor time and the size of written files; memory is not limited by its kernel.
- Windows: nothing; the parent's clock alone ends a process.

A right that is taken away never comes back, not for children of the process either.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterable

try:
    import resource
except ImportError:  # Windows
    resource = None

# -- Landlock: numbers of the kernel's interface, linux/landlock.h ------------------------------
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILES_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights of files that a version of the interface knows, each with all before it."""
_TCP = 0b11
_SCOPES = 0b11
"""Abstract sockets and signals of processes outside."""

# -- seccomp: linux/seccomp.h, linux/filter.h, asm/unistd.h -------------------------------------
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
"""Where in ``struct seccomp_data`` a call's number and its architecture are."""
_X32 = 0x40000000
"""From here on numbers are those of another interface of x86-64."""
_REFUSED_CALLS: dict[str, tuple[int, tuple[int, ...]]] = {
    # Network: socket, socketpair, connect, accept, sendto, bind, listen. Other programs and
    # processes: execve, execveat, ptrace, process_vm_readv, process_vm_writev, kill, setpgid,
    # setsid. The kernel's large interfaces: io_uring_setup, bpf, userfaultfd, mount, unshare,
    # setns. What Landlock leaves of files: chmod, chown, utime, setxattr, removexattr, all kinds.
    "x86_64": (
        0xC000003E,
        (
            41, 53, 42, 43, 44, 49, 50, 59, 322, 101, 310, 311, 62, 109, 112, 425, 321, 323, 165,
            272, 308, 90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 197,
            198, 199,
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            198, 199, 203, 202, 206, 200, 201, 221, 281, 117, 270, 271, 129, 154, 157, 425, 280,
            282, 40, 97, 268, 52, 53, 452, 54, 55, 88, 5, 6, 7, 14, 15, 16,
        ),
    ),
}  # fmt: skip
"""Machine -> its architecture's number, and numbers of calls that are refused (EPERM)."""


def enter(*, reads: Iterable[str], memory: int, processor_s: int, wall_s: int) -> frozenset[str]:
    """Leave the process what one job needs; returns what is enforced.

    Args:
        reads: files and folders (with all in them) that may be read; others may not.
        memory: bytes that the process may take beyond what it has now.
        processor_s, wall_s: seconds of the processor and of the clock until the kernel ends it.

    Returns:
        Words of: ``memory``, ``processor``, ``wall``, ``write``, ``read``, ``tcp``, ``calls``.
    """
    done = _limit(memory, processor_s, wall_s)
    if sys.platform == "linux":
        libc = _libc()
        # Without it neither of the two below may be set by an ordinary user.
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            done |= _landlock(libc, reads)
            done |= _seccomp(libc)
    return frozenset(done)


def prepare() -> None:
    """Make ready what `enter` needs: a process that is forked from this one enters quicker."""
    if sys.platform == "linux":
        _libc()
        _filter()


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    """Whether Landlock and seccomp are there; the process keeps its rights."""
    if sys.platform != "linux" or platform.machine() not in _REFUSED_CALLS:
        return False
    return _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG) >= 1


def _limit(memory: int, processor_s: int, wall_s: int) -> set[str]:
    done: set[str] = set()
    if resource is None:
        return done
    limits = resource  # what is checked above holds in the function below too

    def most(which: int, value: int, slack: int = 0) -> bool:
        hard = limits.getrlimit(which)[1]
        wanted = [value, value + slack]
        if hard != limits.RLIM_INFINITY:
            wanted = [min(each, hard) for each in wanted]
        try:
            limits.setrlimit(which, (wanted[0], wanted[1]))
        except (ValueError, OSError):
            return False
        return True

    if sys.platform == "linux" and most(limits.RLIMIT_AS, _size_now() + memory):
        done.add("memory")
    # A second apart, so that the signal tells why the process ended (SIGXCPU, then SIGKILL).
    if most(limits.RLIMIT_CPU, max(1, processor_s), slack=1):
        done.add("processor")
    if most(limits.RLIMIT_FSIZE, 0):
        done.add("write")
    most(limits.RLIMIT_CORE, 0)
    with contextlib.suppress(AttributeError, ValueError, OSError):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(max(1, wall_s))
        done.add("wall")
    return done


def _size_now() -> int:
    """Bytes of address space that the process has."""
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(file, 100).split()[0]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(file)


def _landlock(libc: ctypes.CDLL, reads: Iterable[str]) -> set[str]:
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return set()
    files = max(mask for since, mask in _FILES_OF_VERSION.items() if since <= version)
    words = [files] + [_TCP] * (version >= 4) + [_SCOPES] * (version >= 6)
    attributes = struct.pack(f"{len(words)}Q", *words)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return set()
    try:
        for path in reads:
            _allow_reading(libc, ruleset, path)
        if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            return set()
    finally:
        os.close(ruleset)
    return {"read", "write", *(["tcp"] if version >= 4 else [])}


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there cannot be read either
    try:
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        rule = struct.pack("<Qi", rights, place)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


@functools.cache
def _filter() -> tuple[int, bytes]:
    """How many steps the filter of system calls has on this machine, and the steps; none where
    there is none."""
    machine = platform.machine()
    if machine not in _REFUSED_CALLS or struct.calcsize("P") != 8:
        return 0, b""
    architecture, calls = _REFUSED_CALLS[machine]
    count = len(calls)
    # A step is code, steps to skip if it holds, steps to skip if not, number. The last refuses.
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUALS, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),  # numbers of another architecture mean other calls
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, count + 1, 0, _X32),
        *((_EQUALS, count - k, 0, call) for k, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return len(steps), b"".join(struct.pack("<HBBI", *step) for step in steps)


def _seccomp(libc: ctypes.CDLL) -> set[str]:
    count, program = _filter()
    if not count:
        return set()
    held = ctypes.create_string_buffer(program, len(program))
    wanted = _Program(count, ctypes.cast(held, ctypes.c_void_p))
    ok = libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(wanted), 0, 0) == 0
    return {"calls"} if ok else set()
