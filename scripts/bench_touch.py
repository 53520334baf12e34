"""How long the program takes to answer: CPU seconds of whole processes, beside another checkout.

    python scripts/bench_touch.py [--against DIR] [--rounds 3] [--only TEXT] [--json FILE]

Every figure is user plus system time of a process and all that it started, those that outlive it
included, with wall seconds behind it; of several rounds the least. Checkouts take turns within each
round, so that a busy machine disturbs both alike. One round more goes before, unmeasured: it fills
the caches. Retargeting needs the three LAFAN1 minutes of the corpus (``MIMIC_CORPUS``, or
``--corpus``), and is left out where they are absent.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
CLIPS = ("walk.bvh", "dance.bvh", "jumps.bvh")
FRAMES_OF_A_CLIP = 1800
BATCH_COPIES = 4
"""A batch is so many copies of the three minutes."""

MIMIC = ("-m", "mimic.cli")
HELPS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("mimic --help", (MIMIC,)),
    ("mimic retarget --help", ((*MIMIC, "retarget"), ("-m", "retarget"))),
    ("mimic stream --help", ((*MIMIC, "stream"), ("-m", "retarget.streaming"))),
    ("mimic view --help", ((*MIMIC, "view"), ("-m", "retarget.view"))),
    ("mimic motions check --help", ((*MIMIC, "motions", "check"), ("-m", "retarget.dynamics"))),
    ("mimic motions --help", ((*MIMIC, "motions"),)),
    ("mimic motions show --help", ((*MIMIC, "motions", "show"), (*MIMIC, "motions"))),
    ("mimic motions convert --help", ((*MIMIC, "motions", "convert"), ("-m", "retarget.convert"))),
    ("mimic motions edit --help", ((*MIMIC, "motions", "edit"), ("-m", "retarget.edit"))),
    ("mimic motions info --help", ((*MIMIC, "motions", "info"), ("-m", "motions", "info"))),
    ("mimic motions curate --help", ((*MIMIC, "motions", "curate"), ("-m", "retarget.curation"))),
    ("mimic motions fetch --help", ((*MIMIC, "motions", "fetch"), ("-m", "motions", "fetch"))),
    ("mimic motions demo --help", ((*MIMIC, "motions", "demo"), ("-m", "motions.demo"))),
    ("mimic robots --help", ((*MIMIC, "robots"),)),
    ("mimic robots list --help", ((*MIMIC, "robots", "list"), (*MIMIC, "robots"))),
    ("mimic robots add --help", ((*MIMIC, "robots", "add"),)),
    ("mimic list --help", ((*MIMIC, "list"),)),
    ("mimic train --help", ((*MIMIC, "train"), ("train.py",))),
    ("mimic play --help", ((*MIMIC, "play"), ("play.py",))),
    ("mimic evaluate --help", ((*MIMIC, "evaluate"),)),
    ("mimic parity --help", ((*MIMIC, "parity"),)),
    ("mimic export --help", ((*MIMIC, "export"),)),
    ("mimic benchmark --help", ((*MIMIC, "benchmark"),)),
    ("mimic demo --help", ((*MIMIC, "demo"), ("demo.py",))),
    ("mimic slurm --help", ((*MIMIC, "slurm"), ("scripts/slurm.py",))),
)
"""Row of the table and the commands it may be, the first that works: older checkouts have doors."""


@dataclass(frozen=True)
class Row:
    """One measurement; `frames` > 0 where the result is frames per CPU second."""

    name: str
    ways: tuple[tuple[str, ...], ...]
    frames: int = 0


@dataclass
class Spent:
    """Least CPU and wall seconds of the rounds of a row in one checkout; the command that works."""

    way: tuple[str, ...] | None = None
    cpu_s: float = float("inf")
    wall_s: float = float("inf")
    rounds: list[float] = field(default_factory=list)


def main() -> None:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument("--against", type=Path, help="another checkout, measured in turns")
    own.add_argument("--rounds", type=int, default=3)
    own.add_argument("--only", default="", help="rows whose name holds this text")
    own.add_argument("--corpus", type=Path, default=os.environ.get("MIMIC_CORPUS") or None)
    own.add_argument("--json", type=Path)
    args = own.parse_args()
    _adopt_orphans()
    checkouts = [REPO] + ([args.against.resolve()] if args.against else [])
    report: dict[str, dict[str, Spent]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-touch-") as temporary:
        folder = Path(temporary)
        print(f"{'CPU seconds (wall)':34}" + "".join(f"{_title(c):>22}" for c in checkouts))
        for row in rows(args.corpus, folder):
            if args.only in row.name:
                report[row.name] = measure(row, checkouts, args.rounds, folder)
                print(line(row, report[row.name]), flush=True)
    if args.json is not None:
        found = {
            name: {where: spent.__dict__ for where, spent in each.items()}
            for name, each in report.items()
        }
        from mimic_base.files import atomic_write_text

        atomic_write_text(args.json, json.dumps(found, indent=2) + "\n")


def rows(corpus: Path | None, folder: Path) -> Iterator[Row]:
    for name, ways in HELPS:
        yield Row(name, tuple((*way, "--help") for way in ways))
    yield Row("mimic --version", ((*MIMIC, "--version"),))
    yield Row("mimic list", ((*MIMIC, "list"),))
    yield Row("mimic robots", ((*MIMIC, "robots"),))
    clips = [corpus / "lafan1_bvh" / clip for clip in CLIPS] if corpus else []
    if not clips or not all(clip.is_file() for clip in clips):
        print("the corpus is absent: retargeting is left out", file=sys.stderr)
        return
    out = str(folder / "out")
    yield Row("retarget walk.bvh, one minute", (("-m", "retarget", str(clips[0]), "--out", out),))
    many = folder / "clips"
    many.mkdir()
    for clip in clips:
        for number in range(BATCH_COPIES):
            (many / f"{clip.stem}{number}.bvh").symlink_to(clip)
    frames = len(clips) * BATCH_COPIES * FRAMES_OF_A_CLIP
    for workers in (1, 2):
        yield Row(
            f"batch, {workers} worker(s): frames/CPU s",
            (("-m", "retarget", str(many), "--out", out, "--workers", str(workers)),),
            frames,
        )


def measure(row: Row, checkouts: Sequence[Path], rounds: int, folder: Path) -> dict[str, Spent]:
    found = {str(checkout): Spent() for checkout in checkouts}
    for checkout in checkouts:
        for way in row.ways:
            if _is_meant(way, checkout, folder) and _run(way, checkout, folder) is not None:
                found[str(checkout)].way = way
                break
    for _ in range(rounds):
        for checkout in checkouts:
            spent = found[str(checkout)]
            seconds = _run(spent.way, checkout, folder) if spent.way else None
            if seconds is not None:
                spent.rounds.append(seconds[0])
                spent.cpu_s = min(spent.cpu_s, seconds[0])
                spent.wall_s = min(spent.wall_s, seconds[1])
    return found


def line(row: Row, found: dict[str, Spent]) -> str:
    text = f"{row.name:34}"
    for spent in found.values():
        if not spent.rounds:
            cell = "-"
        elif row.frames:
            cell = f"{row.frames / spent.cpu_s:.0f} ({row.frames / spent.wall_s:.0f})"
        else:
            cell = f"{spent.cpu_s:.2f} ({spent.wall_s:.2f})"
        text += f"{cell:>22}"
    return text


def _title(checkout: Path) -> str:
    return checkout.name[-20:]


def _environment(checkout: Path, folder: Path) -> dict[str, str]:
    """The checkout's own code, its bytecode in a folder of its own: it may be read-only."""
    names = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**names, "PYTHONPATH": str(checkout), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _is_meant(way: Sequence[str], checkout: Path, folder: Path) -> bool:
    """Whether help is that of the sub-command asked for; a parser may answer with its own."""
    if way[:2] != MIMIC or way[-1] != "--help":
        return True
    shown = subprocess.run(
        [sys.executable, *way], cwd=checkout, env=_environment(checkout, folder),
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    usage = shown.partition("usage:")[2].partition("\n")[0]
    return " ".join(["mimic", *way[2:-1]]) in usage


def _run(way: Sequence[str], checkout: Path, folder: Path) -> tuple[float, float] | None:
    """CPU and wall seconds of a process and its children; None where it fails."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    before = _cpu_of_children()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *way], cwd=checkout, env=_environment(checkout, folder),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    process.wait()
    wall = time.perf_counter() - started
    with contextlib.suppress(ChildProcessError):
        while True:  # what it left behind is ours now: see _adopt_orphans
            os.wait()
    return None if process.returncode else (_cpu_of_children() - before, wall)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _adopt_orphans() -> None:
    """Make processes whose parent has ended children of this one (Linux), so that they count.

    A pool's fork server and its workers end after the process that asked for them.
    """
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
