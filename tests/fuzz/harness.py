"""Damaged inputs in child processes with limits, and what came of each.

An input is known by its target and number: the same pair is the same bytes. Each runs in a fork of
a process that has imported everything, in a folder of its own, with `MEMORY` more address space and
`SECONDS` of CPU time. It must end with exit code 0, or 2 and one line ``error: ...``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mimic_base import child as processes
from tests.fuzz.targets import TARGETS, Target, preload

MEMORY = 2 << 30
"""Bytes of address space beyond what the imports take."""
SECONDS = 10
"""CPU seconds of an input."""
PATIENCE = 300
"""Seconds of the clock, for machines that do other work: it ends what waits for ever."""
LONGEST_LINE = 1500
"""Characters of a refusal at most, the file's path left out."""
_BUG = 70
"""Exit code of a child that met an exception which is no refusal."""


@dataclass(frozen=True)
class Finding:
    """What came of an input.

    Attributes:
        outcome: ``read``, ``refused``, or what is wrong: ``crash``, ``hang``, ``traceback``,
            ``not finite``, ``leftover``, ``message``.
        detail: the refusal, or what is known about the fault.
    """

    target: str
    number: int
    outcome: str
    detail: str
    seconds: float

    @property
    def bad(self) -> bool:
        return self.outcome not in ("read", "refused")


def draw(number: int, only: tuple[str, ...] = ()) -> str:
    """The target of an input's number; shares decide how often each comes."""
    names = [name for name in TARGETS if not only or any(o in name for o in only)]
    rng = random.Random(f"target {number}")
    return rng.choices(names, [TARGETS[name].share for name in names])[0]


def place(target: str, number: int, folder: Path) -> Path:
    """Write the damaged input and what belongs beside it; returns the file to be read."""
    way = TARGETS[target]
    rng = random.Random(f"{target} {number}")
    seed = rng.choice(way.seeds())
    files = {seed.name: seed.content, **seed.beside}
    victim = rng.choice([seed.name, seed.name, *files])
    files[victim] = way.damage(files[victim], rng)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / seed.name


@contextlib.contextmanager
def ready() -> Iterator[None]:
    """Imports done, and the environment such that forks are harmless."""
    preload()
    gc.collect()
    gc.freeze()  # what is there stays there: collections in children leave shared memory alone
    try:
        yield
    finally:
        end_servers()


def run_one(target: str, number: int, keep: Path | None = None) -> Finding:
    """Run one input in a child process. `keep`: where the files of a bad one are copied."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        work = folder / "work"
        (work / "out").mkdir(parents=True)
        path = place(target, number, work)
        before = set(os.listdir(work))
        _start_servers()
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _child(target, path, work, folder)
        status, ended = _wait(child, started)
        if ended or os.WIFSIGNALED(status):
            end_servers()  # one may be at work for it still
        seconds = time.perf_counter() - started
        text = (folder / "stderr").read_text("utf-8", "surrogateescape")
        outcome, detail = _judge(status, ended, text, path, TARGETS[target])
        if outcome in ("read", "refused"):
            left = sorted(set(os.listdir(work)) - before)
            left += [f"out/{e.name}" for e in (work / "out").rglob("*") if _is_leftover(e, outcome)]
            if left:
                outcome, detail = "leftover", ", ".join(left)
        finding = Finding(target, number, outcome, detail, seconds)
        if keep is not None and finding.bad:
            kept = keep / f"{target.replace(' ', '_').replace(',', '')}_{number}"
            shutil.copytree(work, kept, dirs_exist_ok=True)
            (kept / "stderr").write_text(text, "utf-8", "surrogateescape")
        return finding


_NATIVE = ("motions.native.c3d:", "motions.native.assimp:", "robots.native:")
"""What has servers of child processes (`mimic_base.child`), which inputs share one after another:
to start one is dear."""


def _start_servers() -> None:
    for target in _NATIVE:
        processes.warm(target)


def _take_servers() -> None:
    """In an input's process: use those of its parent."""
    for (_, module), server in list(processes._SERVERS.items()):
        server.process.poll = lambda: None  # not a child of this one
        processes._SERVERS[(os.getpid(), module)] = server


def end_servers() -> None:
    """End the servers of this process; the next input starts new ones."""
    for key, server in list(processes._SERVERS.items()):
        if key[0] == os.getpid():
            server.end()
            del processes._SERVERS[key]


def _is_leftover(path: Path, outcome: str) -> bool:
    """Whether a file below ``out`` has no business there: batches keep records of refusals."""
    inside = ".retarget" in path.as_posix() or "records" in path.parts
    if path.is_dir() or inside:
        return False
    return (
        ".part" in path.name
        or ".tmp" in path.name
        or (outcome == "refused" and path.name == "result.npz")
    )


def _child(target: str, path: Path, work: Path, folder: Path) -> None:
    """Read the input and leave the process; never returns."""
    code = _BUG
    try:
        os.setsid()
        _take_servers()
        null = os.open(os.devnull, os.O_RDWR)
        errors = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(work)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        spent = int(time.process_time()) + 1 + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (spent, spent + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = _read(target, Path(path.name))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _read(target: str, path: Path) -> int:
    from mimic_base.command_line import exit_on_user_error

    def read() -> int:
        return TARGETS[target].read(path) or 0

    try:
        exit_on_user_error(read)
    except SystemExit as leaving:
        return int(leaving.code or 0)


def _wait(child: int, started: float) -> tuple[int, bool]:
    """The child's wait status, and whether it was still running at the end of its time."""
    watch = os.pidfd_open(child)
    try:
        left = PATIENCE - (time.perf_counter() - started)
        ended = not select.select([watch], [], [], max(0.0, left))[0]
    finally:
        os.close(watch)
    _end_group(child)
    _, status = os.waitpid(child, 0)
    return status, ended


def _end_group(child: int) -> None:
    """End what an input has started and left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def _judge(status: int, ended: bool, text: str, path: Path, target: Target) -> tuple[str, str]:
    last = text.strip().splitlines()[-1] if text.strip() else ""
    if ended:
        return "hang", f"running after {PATIENCE} s"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (signal.SIGXCPU, signal.SIGKILL):
            return "hang", f"more than {SECONDS} CPU seconds"
        return "crash", signal.Signals(number).name
    code = os.waitstatus_to_exitcode(status)
    if "Traceback (most recent call last)" in text or code not in (0, 2):
        return ("not finite" if "ArithmeticError" in last else "traceback"), f"{code}: {last[:300]}"
    if code == 0:
        return "read", ""
    lines = [line for line in text.split("\n") if line]
    refusals = [line for line in lines if line.startswith("error: ")]
    strange = [
        c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c == "\u202e"
    ]
    if strange:
        return "message", f"control characters: {text[:200]!r}"
    if target.reports and lines and lines[-1] in refusals:
        # What it told of its work before is no refusal of the whole.
        refusals = lines = lines[-1:]
    if not refusals or len(refusals) != len(lines) or (len(lines) > 1 and not target.several):
        return "message", f"{len(refusals)} refusals in {len(lines)} lines: {text[:300]!r}"
    if len(refusals[0].replace(str(path), "")) > LONGEST_LINE:
        return "message", f"{len(refusals[0])} characters: {refusals[0][:200]!r}"
    return "refused", refusals[0]
