"""The run directory: configuration, provenance and progress of one training run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic.machine import package_versions
from mimic_base.errors import InputError, MimicError
from mimic_base.files import append_line, atomic_write_text, sweep
from mimic_base.json_text import parse_json
from mimic_base.locks import BEAT_S, WATCH_S, Lock, locked
from mimic_base.reading import read_bounded

CONFIG = "config.json"
RESUMED = "resumed.json"
PROGRESS = "progress.jsonl"
LOCK = ".lock"


class AbsentConfig(MimicError):
    """There is no configuration: a checkpoint outside its run, or no run at all."""


def create_run_dir(out: Path, task: str, name: str) -> Path:
    """Make ``out/<task>/<time>-<name>``, a folder that did not exist before."""
    if name != Path(name).name or name == "..":
        raise MimicError(
            f"name '{name}' must be the end of a folder's name, without '/'; --out says where"
        )
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    # A task of one's own is named module:function; a colon in a path confuses rsync and scp.
    path = out / task.replace(":", ".") / (f"{stamp}-{name}" if name else stamp)
    for attempt in range(100):
        chosen = path if attempt == 0 else path.with_name(f"{path.name}-{attempt + 1}")
        try:
            chosen.mkdir(parents=True)
        except FileExistsError:
            if out.exists() and not out.is_dir():
                raise MimicError(f"output '{out}' is a file; choose another --out") from None
            continue
        except OSError as error:
            raise MimicError(
                f"cannot create '{chosen}': {error.strerror}; choose another --out"
            ) from error
        _tidy(chosen.parent)
        return chosen
    raise MimicError(f"cannot find a free name for '{path}'; choose another --name")


def _tidy(runs: Path) -> None:
    """Clear away what killed trainings left half-written in the run directories of a folder."""
    for run in runs.iterdir():
        sweep(run)
        sweep(run / "checkpoints")
        if (run / LOCK).exists():
            with suppress(OSError), locked(run / LOCK):
                pass


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Keep a run directory to this process for the length of a block.

    Where a process of another machine holds it, it is watched for less than a minute: one that is
    gone does not hold it for ever.

    Raises:
        MimicError: another process trains in it, or it cannot be written.
    """
    lock = Lock(path / LOCK)
    try:
        holder = lock.try_acquire()
        if holder is not None and holder.owner is not None and not holder.owner.here:
            print(f"{path}: held by {holder}; watching for {WATCH_S:.0f} s whether it is",
                  file=sys.stderr, flush=True)  # fmt: skip
            holder = lock.acquire(WATCH_S + 2 * BEAT_S)
    except OSError as error:
        raise MimicError(f"{lock.path}: cannot write: {error.strerror}; make room there") from error
    if holder is not None:
        raise MimicError(
            f"run '{path}' is being trained by {holder}; wait until it has ended, or end it first"
        )
    try:
        yield
    finally:
        lock.release()


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write the resolved configuration and, for each session of the run, where it came from.

    The configuration of the first start stays: it starts the same run again. One that a resumed run
    goes on with is written beside it where it differs, into ``resumed.json``.
    """
    first, resumed = path / CONFIG, path / RESUMED
    kept = _read(first) if first.is_file() else {}
    sessions = [*kept.get("sessions", []), provenance()]
    plain = json.loads(json.dumps(config))
    if "run" not in kept:
        # A new run, or one of the first schema.
        kept = plain
    before = {name: value for name, value in kept.items() if name != "sessions"}
    if before != plain or resumed.is_file():
        _write(resumed, plain)
    _write(first, {**before, "sessions": sessions})


def read_config(path: Path) -> dict[str, Any]:
    """The configuration that a run directory, or the run a checkpoint file lies in, trains with.

    Raises:
        AbsentConfig: there is none. MimicError: one that cannot be read.
    """
    file = config_file(path)
    if file is None:
        raise AbsentConfig(f"run '{path}' has no {CONFIG}; pass the folder that mimic train made")
    return _read(file)


def config_file(path: Path) -> Path | None:
    """The file of `read_config`: ``resumed.json`` of a run that went on otherwise, else
    ``config.json``; None where there is none."""
    for folder in (path, path.parent.parent) if path.is_file() else (path,):
        if (folder / CONFIG).is_file():
            return folder / (RESUMED if (folder / RESUMED).is_file() else CONFIG)
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        config = parse_json(file, read_bounded(file), nan=True)
    except InputError as error:
        raise MimicError(str(error)) from error
    if not isinstance(config, dict):
        raise MimicError(f"{file}: holds a {type(config).__name__}, expected an object")
    return config


def _write(file: Path, config: Mapping[str, Any]) -> None:
    atomic_write_text(file, json.dumps(config, indent=2) + "\n")


def provenance() -> dict[str, Any]:
    """Versions, commit and machine: what is needed to understand a run later."""
    return {
        "command": " ".join(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git": git_state(Path(__file__).parent),
        "versions": package_versions(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the source and whether it had changes; Nones where it is no checkout."""

    def git(*arguments: str) -> str | None:
        try:
            run = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True, text=True, timeout=20, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return run.stdout.strip() if run.returncode == 0 else None

    changes = git("status", "--porcelain", "--untracked-files=no")
    commit = git("rev-parse", "HEAD")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


class ProgressFile:
    """One JSON line an iteration: the learning curve without any special reader."""

    def __init__(self, folder: Path, iteration: int) -> None:
        self.path = folder / PROGRESS
        if self.path.exists():
            # A killed run has written lines past its last checkpoint; they will come again.
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _iteration(line) <= iteration]
            atomic_write_text(self.path, "".join(line + "\n" for line in kept))

    def write(self, record: Mapping[str, Any]) -> None:
        append_line(self.path, json.dumps(record))


def _iteration(line: str) -> float:
    try:
        return json.loads(line)["iteration"]
    except (ValueError, KeyError, TypeError):
        # The torn last line of a killed process.
        return float("inf")
