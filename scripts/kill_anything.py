"""Kill commands at random moments, fill their disk, run them again, and look at every file.

    python scripts/kill_anything.py [--commands retarget batch ...] [--kills 30] [--full 8]

Each command works on short clips in a process that is forked from this one, where all modules are
loaded already, so that the time goes into the work and not into starting. It gets SIGKILL

* ``moment``: at a time drawn from its whole duration,
* ``event``: at one of its file operations (open, rename, remove, ...), drawn from all of them,
* ``write``: within 3 ms of a temporary file having appeared.

Then every final file must open with the program's own reader; the next run must end well, clear
away what the killed one left, and arrive at the same bytes as a run that was left alone. With a
full disk (a tmpfs of a size drawn from what the command needs; where there is no permission to
mount one, a limit on the size of files) the command must end with one line for each file and exit
code 2, leave nothing half-written, and end well when there is room again.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # threads do not survive a fork

import tyro  # noqa: E402
from kill_jobs import JOBS, Inputs, Job, corrupt, final_files, left, make_inputs  # noqa: E402

from mimic.machine import processor_name  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import input_error  # noqa: E402
from mimic_base.files import atomic_write_text  # noqa: E402

WAYS = ("moment", "event", "write")
SIZE = 64 << 20
"""Of the small disk once there is room again, bytes."""
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Options:
    """Kill commands at random moments, fill their disk, run them again, look at every file."""

    commands: tuple[str, ...] = tuple(JOBS)
    """What to kill: retarget, batch, convert, edit, pack, train, train-world-model, export,
    robots-add."""
    kills: int = 30
    """Kills of each command, a third of them of each way."""
    full: int = 8
    """Full disks of each command."""
    seed: int = 0
    """Of all that is drawn; trial N of a command draws from (seed, command, N)."""
    only: int | None = None
    """Do this trial alone, to look at one that went wrong."""
    keep: Path | None = None
    """Work in this folder and leave it behind."""
    out: Path | None = None
    """Also write the table here (Markdown)."""
    json: Path | None = None
    """Also write every trial here."""


@dataclass(kw_only=True)
class Trial:
    """One kill or one full disk."""

    command: str
    number: int
    way: str
    """``moment``, ``event``, ``write`` or ``full``."""
    at: str = ""
    """Where it struck: seconds, number of the file operation, or bytes of the disk."""
    struck: bool = False
    """Whether the command was not over before."""
    left: int = 0
    """Temporary files and locks that a kill left."""
    wrong: list[str] = field(default_factory=list)
    """What should not be."""


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    unknown = [name for name in options.commands if name not in JOBS]
    if unknown:
        raise input_error(None, "--commands", found=unknown[0], expected=", ".join(JOBS))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        work = options.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        load_modules()
        inputs = make_inputs(work / "inputs", run_well)
        with small_disk(work / "disk") as disk:
            trials = [
                trial
                for name in options.commands
                for trial in all_trials(name, inputs, work / name, disk, options)
            ]
    lines = table(trials, disk is not None, options, time.perf_counter() - started)
    print("\n" + "\n".join(lines))
    if options.out is not None:
        atomic_write_text(options.out, "\n".join(lines) + "\n")
    if options.json is not None:
        said = {"seed": options.seed, "trials": [asdict(trial) for trial in trials]}
        atomic_write_text(options.json, json.dumps(said, indent=1) + "\n")
    return 1 if any(trial.wrong for trial in trials) else 0


def load_modules() -> None:
    """Import what the commands import, and compile what they compile."""
    import importlib

    for name in (
        "mimic.cli", "mimic.commands.train", "mimic.commands.export", "mimic.learning.runner",
        "mimic.evaluation.judge", "mimic.tasks", "mimic.policy.player", "retarget.command.cli",
        "retarget.batch.summary", "retarget.page", "retarget.page.picture", "matplotlib.image",
        "motions.robot.formats.cli", "motions.robot.editing.cli", "motions.robot.completion",
        "motions.robot.sets_cli", "motions.robot.packing", "robots.derive.add",
        "robots.derive.picture", "mimic.commands.show_robots",
    ):  # fmt: skip
        importlib.import_module(name)
    import robots
    from motions.human import demo
    from retarget import retarget

    robot = robots.load("unitree_g1")
    clip = demo.generate("walk").resample(30.0)
    retarget(clip.crop(0, 40), robot)


# processes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; the number of the signal, negative, when it was killed."""
    said: str
    """Standard error."""
    seconds: float
    events: int
    """File operations in the output folder."""
    renamed: int
    """Files that got their name there."""


def run(
    arguments: Sequence[str],
    out: Path,
    *,
    event: int | None = None,
    strike: Callable[[int], None] | None = None,
    most_bytes: int | None = None,
) -> Ended:
    """Run a command in a forked process.

    Args:
        event: number of the file operation below `out` at which the process kills itself.
        strike: called with the process's number; may kill it.
        most_bytes: that a file of the process may have.
    """
    notes = Path(tempfile.mkdtemp(prefix="kill-notes-"))
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        _command(arguments, out, notes, event, most_bytes)
    try:
        if strike is not None:
            strike(child)
        code = _wait(child)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what it has started may be left
        # One that was killed at once has not even made them.
        said, events = (
            (notes / name).read_bytes() if (notes / name).exists() else b""
            for name in ("stderr", "events")
        )
        seconds = time.perf_counter() - started
        text = said.decode("utf-8", errors="replace")
        return Ended(code, text, seconds, len(events), events.count(b"r"))
    finally:
        shutil.rmtree(notes, ignore_errors=True)


def _wait(child: int) -> int:
    end = time.monotonic() + PATIENCE_S
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 99
        time.sleep(0.002)


def _command(
    arguments: Sequence[str], out: Path, notes: Path, event: int | None, most_bytes: int | None
) -> None:
    """In the forked process: run the command and end it."""
    code = 70
    try:
        os.setsid()
        counted = os.open(notes / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name, stream in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(notes / name, os.O_WRONLY | os.O_CREAT), stream)
        below, count = f"{out}{os.sep}", 0

        def seen(name: str, details: tuple[Any, ...]) -> None:
            nonlocal count
            if name not in ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate"):
                return
            if not any(str(each).startswith(below) for each in details[:2]):
                return
            if count == event:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            os.write(counted, b"r" if name == "os.rename" else b".")

        sys.addaudithook(seen)
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        from mimic import cli

        exit_on_user_error(lambda: cli.run(arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def run_well(arguments: list[str]) -> None:
    """Run a command that has to end well."""
    ended = run(arguments, Path(arguments[-1]))
    if ended.code != 0:
        raise input_error(None, f"mimic {' '.join(arguments)}", found=ended.said.strip()[-500:])


# trials ------------------------------------------------------------------------------------------


def all_trials(
    name: str, inputs: Inputs, folder: Path, disk: Path | None, options: Options
) -> Iterator[Trial]:
    """The kills and full disks of one command; says how it goes."""
    job, whole = JOBS[name], folder / "whole"
    whole.mkdir(parents=True)
    alone = run(job.first(inputs, whole), whole)
    if alone.code != 0:
        raise input_error(None, f"{name} does not even end well alone", found=alone.said[-500:])
    wanted = same_files(job, whole)
    if len(wanted) != job.files or corrupt(whole) or left(whole):
        raise input_error(whole, "not the files that are expected", found=sorted(wanted))
    # Once more: the first run of all also fills caches.
    second = run(job.first(inputs, folder / "second"), folder / "second")
    alone = replace(alone, seconds=min(alone.seconds, second.seconds))
    shutil.rmtree(folder / "second", ignore_errors=True)
    need = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    for number in range(options.kills + options.full):
        if options.only not in (None, number):
            continue
        rng = random.Random(f"{options.seed} {name} {number}")
        out = folder / str(number)
        if number < options.kills:
            trial = Trial(command=name, number=number, way=WAYS[number % 3])
            kill(trial, job, inputs, out, alone, rng)
        else:
            trial = Trial(command=name, number=number, way="full")
            fill(trial, job, inputs, disk, out, need, rng)
        there = disk if disk is not None and trial.way == "full" else out
        trial.wrong += again(job, inputs, there, wanted)
        if not trial.wrong and options.keep is None:
            shutil.rmtree(out, ignore_errors=True)
        if trial.wrong or options.only is not None:
            wrong = "; ".join(trial.wrong) or "as it should be"
            print(f"\n{name} {number} ({trial.way}, {trial.at}): {wrong}", flush=True)
        else:
            print(".", end="", flush=True)
        yield trial
    print(f" {name}", flush=True)


def kill(
    trial: Trial, job: Job, inputs: Inputs, out: Path, alone: Ended, rng: random.Random
) -> None:
    """Run the command and kill it; look at what is there then."""
    out.mkdir(parents=True)
    arguments = job.first(inputs, out)
    if trial.way == "event":
        event = rng.randrange(alone.events)
        trial.at = f"operation {event + 1} of {alone.events}"
        ended = run(arguments, out, event=event)
    elif trial.way == "moment":
        moment = rng.uniform(0.0, alone.seconds)
        trial.at = f"{moment:.3f} s of {alone.seconds:.3f}"

        def strike(child: int) -> None:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)

        ended = run(arguments, out, strike=strike)
    else:
        nth, wait = rng.randrange(1, alone.renamed + 1), rng.uniform(0.0, 0.003)
        trial.at = f"{1e3 * wait:.2f} ms after temporary file {nth} of {alone.renamed}"

        def strike(child: int) -> None:
            seen: set[str] = set()
            while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                seen.update(path.name for path in list_left(out))
                if len(seen) >= nth:
                    time.sleep(wait)
                    break
            os.kill(child, signal.SIGKILL)

        ended = run(arguments, out, strike=strike)
    trial.struck = ended.code == -signal.SIGKILL
    trial.left = len(left(out))
    trial.wrong += [f"corrupt: {line}" for line in corrupt(out)]
    trial.wrong += [f"lost: {line}" for line in job.lost(out)]


def list_left(out: Path) -> list[Path]:
    """`left`, of a folder that changes meanwhile."""
    with suppress(OSError):
        return [path for path in left(out) if path.name.endswith(".part")]
    return []


def fill(
    trial: Trial, job: Job, inputs: Inputs, disk: Path | None, out: Path, need: int,
    rng: random.Random,
) -> None:  # fmt: skip
    """Run the command where there is too little room; look at what it says and leaves."""
    room = rng.randrange(0, need)
    if disk is None:
        out.mkdir(parents=True)
        # The largest file is a good part of all.
        room //= 2
        ended = run(job.first(inputs, out), out, most_bytes=room)
    else:
        out = disk
        # A new one: what this process still maps of the last one's files takes room there.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        # Whole pages only, and none would mean without a limit.
        if not _mount(disk, max(8192, room)):
            raise input_error(disk, "cannot be mounted with room for", found=room)
        ended = run(job.first(inputs, out), out)
    trial.at = f"{room} of {need} bytes"
    trial.struck = ended.code != 0
    lines = [line for line in ended.said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error: ", "warning: "))]
    if ended.code not in (0, 2):
        trial.wrong.append(f"exit code {ended.code}: {ended.said[-1500:]}")
    elif "Traceback" in ended.said or "Exception ignored" in ended.said:
        trial.wrong.append(f"a traceback: {ended.said[-1500:]}")
    elif trial.struck and (not errors or len(errors) != len(lines)):
        trial.wrong.append(f"not told in one line for each file: {ended.said[-1500:]}")
    elif trial.struck and not any(str(out) in line for line in errors):
        trial.wrong.append(f"no file is named: {errors}")
    trial.wrong += [f"left: {path.name}" for path in left(out)]
    trial.wrong += [f"corrupt: {line}" for line in corrupt(out)]
    if disk is not None:
        _mount(disk, SIZE, again=True)


def again(job: Job, inputs: Inputs, out: Path, wanted: dict[str, bytes]) -> list[str]:
    """Run the command as a user would after the trouble; what is not as it should be then."""
    ended = run(job.again(inputs, out), out)
    if ended.code != 0:
        return [f"the next run ends with {ended.code}: {ended.said[-1500:]}"]
    wrong = [f"the next run has left {path.name}" for path in left(out)]
    wrong += [f"corrupt after the next run: {line}" for line in corrupt(out)]
    found = same_files(job, out)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            wrong.append(f"{name} is not what an undisturbed run writes")
    return wrong


def same_files(job: Job, out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in final_files(out)
        if path.suffix in job.same
    }


# the small disk ----------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system whose size can be set; None where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _mount(folder, SIZE):
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _mount(folder: Path, size: int, *, again: bool = False) -> bool:
    options = f"{'remount,' if again else ''}size={size}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def table(trials: Sequence[Trial], mounted: bool, options: Options, seconds: float) -> list[str]:
    """The trials as lines of Markdown."""
    head = ["command", *(f"kills ({way})" for way in WAYS), "with leftovers", "full disks",
            "of them refused", "not as it should be"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in (*options.commands, "all"):
        own = [trial for trial in trials if name in (trial.command, "all")]
        kills = [trial for trial in own if trial.way != "full" and trial.struck]
        full = [trial for trial in own if trial.way == "full"]
        cells = [
            name,
            *(sum(trial.way == way for trial in kills) for way in WAYS),
            sum(trial.left > 0 for trial in kills),
            len(full),
            sum(trial.struck for trial in full),
            sum(bool(trial.wrong) for trial in own),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    disk = "a tmpfs" if mounted else "a limit on the size of files (RLIMIT_FSIZE)"
    return [
        *lines,
        "",
        f"Seed {options.seed}; trials that were over before they were struck are not counted as "
        f"kills. The full disk is {disk}. {processor_name()}, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; {seconds:.0f} s.",
        *(f"- {each.command} {each.number} ({each.way}, {each.at}): {'; '.join(each.wrong)}"
          for each in trials if each.wrong),
    ]  # fmt: skip


if __name__ == "__main__":
    exit_on_user_error(main)
