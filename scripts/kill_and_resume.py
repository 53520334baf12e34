"""Kill a batch in the middle, resume it, and compare it bit by bit with one that was left alone.

    python scripts/kill_and_resume.py [--clips FOLDER] [--number 200] [--at 0.4 0.6] [--workers 1]

Without ``--clips`` short pieces are cut from the generated demo clips, some of them mirrored. The
batch's process group gets SIGKILL as soon as the given share of the clips is done, once for each
share; then the same command runs to its end. Compared are every motion file, every record (all
but the seconds that a clip took) and the HTML report. Exit code 1 when anything differs, and when
there is nothing to compare.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mimic_base.options import parse

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import input_error  # noqa: E402
from mimic_base.files import atomic_write_text, is_temporary  # noqa: E402
from motions.human import demo  # noqa: E402
from motions.human.writers.bvh import write_bvh  # noqa: E402
from motions.robot.editing import mirror_human  # noqa: E402
from retarget.batch.record import FOLDER as RECORDS  # noqa: E402


@dataclass(frozen=True)
class Options:
    """Kill a batch, resume it, compare it with an uninterrupted one."""

    clips: Path | None = None
    """Folder of real clips; short generated ones unless given."""
    number: int = 200
    """Clips to generate."""
    at: tuple[float, ...] = (0.4, 0.6)
    """Shares of the clips after which the batch is killed."""
    robot: str = "unitree_g1"
    workers: int = 1
    seed: int = 0
    """Of the generated pieces."""
    keep: Path | None = None
    """Work in this folder and leave it behind."""
    out: Path | None = None
    """Also write the table here (Markdown)."""


def main() -> int:
    options = parse(Options, None, prog="scripts/kill_and_resume.py")
    if not options.at or any(not 0.0 < share < 1.0 for share in options.at):
        raise input_error(None, "--at must be shares above 0 and below 1", found=options.at)
    with tempfile.TemporaryDirectory() as folder:
        work = options.keep or Path(folder)
        clips = options.clips or make_clips(work / "clips", options.number, options.seed)
        lines, same = compare_runs(clips, work, options)
    print("\n" + "\n".join(lines))
    if options.out is not None:
        atomic_write_text(options.out, "\n".join(lines) + "\n")
    return 0 if same else 1


def make_clips(folder: Path, number: int, seed: int) -> Path:
    """Pieces of 1 to 2 s of the demo clips at 30 frames/s, every second one mirrored."""
    rng = np.random.default_rng(seed)
    names = demo.names()
    for k in range(number):
        clip = demo.generate(names[k % len(names)]).resample(30.0)
        frames = int(rng.integers(30, 61))
        start = int(rng.integers(0, clip.num_frames - frames))
        piece = replace(clip.crop(start, start + frames), name=f"clip{k:03}")
        path = folder / names[k % len(names)] / f"{piece.name}.bvh"
        write_bvh(mirror_human(piece) if k % 2 else piece, path)
    return folder


def compare_runs(clips: Path, work: Path, options: Options) -> tuple[list[str], bool]:
    """Both runs; the table's lines, and whether all files are there and the same."""
    whole, killed = work / "whole", work / "killed"
    for folder in (whole, killed):
        if folder.exists():
            raise input_error(folder, "there is a run already", fix="name a new folder with --keep")
    started = time.perf_counter()
    with running(command(clips, whole, options)) as process:
        code = process.wait()
    rows = [("uninterrupted", len(motions_of(whole)), time.perf_counter() - started, f"{code}")]
    total = len(motions_of(whole))
    if total < 2:
        raise input_error(clips, "the folder holds too few usable clips", found=total)
    for share in options.at:
        started = time.perf_counter()
        with running(command(clips, killed, options)) as process:
            while process.poll() is None and len(motions_of(killed)) < share * total:
                time.sleep(0.01)
            if process.poll() is not None:
                raise input_error(None, "the batch ended before it could be killed", found=share)
        done = len(motions_of(killed))
        rows.append((f"killed at {share:.0%}", done, time.perf_counter() - started, "SIGKILL"))
    before = {path: path.stat().st_ino for path in motions_of(killed)}
    stray = count_temporary(killed)
    started = time.perf_counter()
    with running(command(clips, killed, options)) as process:
        again = process.wait()
    rows.append(("resumed", len(motions_of(killed)), time.perf_counter() - started, f"{again}"))
    # A file that is written again is renamed into its place and has another inode.
    redone = sum(path.stat().st_ino != inode for path, inode in before.items())
    lines = ["| run | motion files | s | exit |", "|---|---|---|---|"]
    lines += [f"| {name} | {done} | {seconds:.0f} | {code} |" for name, done, seconds, code in rows]
    table, same = compare(whole, killed)
    left = count_temporary(killed)
    lines += [
        "",
        *table,
        "",
        f"Of the {len(before)} motions there at the last kill {redone} were done again; "
        f"half-written files: {stray} after the last kill, {left} at the end.",
    ]
    return lines, same and left == 0 and code == again


def count_temporary(folder: Path) -> int:
    """Files below a folder that nobody has finished writing."""
    return sum(is_temporary(path.name) for path in folder.rglob("*"))


def compare(whole: Path, killed: Path) -> tuple[list[str], bool]:
    """The results of two runs as a table's lines, and whether all are there and the same."""
    lines, same = ["| compared | files | different |", "|---|---|---|"], True
    for what, pattern in (
        ("motions", "*.npz"), ("records, but for the seconds", f"{RECORDS}/**/*.json"),
        ("report", "*.html"),
    ):  # fmt: skip
        here, there = files(whole, pattern), files(killed, pattern)
        different = sum(here.get(name) != there.get(name) for name in here.keys() | there.keys())
        # Nothing is as good as nothing, but proves nothing.
        same = same and different == 0 and bool(here)
        lines.append(f"| {what} | {len(here)} | {different if here else 'nothing to compare'} |")
    return lines, same


def command(clips: Path, out: Path, options: Options) -> list[str]:
    """What a user would type for the batch."""
    return [
        sys.executable, "-m", "retarget", str(clips.resolve()), "--out", str(out.resolve()),
        "--robot", options.robot, "--workers", str(options.workers),
        "--report", str((out / "report.html").resolve()),
    ]  # fmt: skip


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that does not outlive the block, however it ends: SIGKILL for all of it."""
    # A group of its own does not hear the terminal's Ctrl-C.
    process = subprocess.Popen(command, cwd=REPO, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        # Workers may be left when the process itself has ended.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def motions_of(out: Path) -> list[Path]:
    return [path for path in out.rglob("*.npz") if not path.name.startswith(".")]


def files(out: Path, pattern: str) -> dict[str, bytes]:
    """Content of the files below `out` by name."""
    found = {}
    for path in out.rglob(pattern):
        content = path.read_bytes()
        if path.suffix == ".json":
            record = json.loads(content)
            record.pop("seconds")
            content = json.dumps(record).encode()
        found[str(path.relative_to(out))] = content
    return found


if __name__ == "__main__":
    exit_on_user_error(main)
