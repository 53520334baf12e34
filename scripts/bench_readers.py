"""How long readers take on files, here and in another checkout, reading in turns.

    python scripts/bench_readers.py [FILE...] [--corpus DIR] [--per-folder 2]
        [--other /path/to/checkout] [--rounds 40] [--least 0.95] [--json FILE]

Each checkout has one process that lives as long as the run. They take turns file by file, one
reading each, so that a busy machine slows both alike; the least time of all rounds counts. Two
times are told: that of the clock, and processor time, with that of the processes apart in which
libraries read C3D and FBX. A ratio is the other's time over this one's: below 1 this checkout is
slower. With ``--corpus`` the largest clips of every folder in there are read. Robots' motions are
those in folders whose names begin with ``g1_``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
READ = """
import json, sys, time
from pathlib import Path
from motions import read_human_motion
try:
    from motions.robot.formats.reading import read_robot_trajectory
except ImportError:
    from motions.robot_formats.reading import read_robot_trajectory
try:
    from mimic_base.child import processor_s
except ImportError:
    processor_s = lambda: 0.0

options = {}

def read(path):
    if path.parent.name.startswith("g1_"):
        return read_robot_trajectory(path)
    return read_human_motion(path, **options[path])

for line in sys.stdin:
    path = Path(json.loads(line))
    try:
        if path not in options:
            options[path] = {}
            try:
                read(path)
            except ValueError as error:
                if "frame rate" not in str(error):
                    raise
                options[path] = {"fps": 30.0}
        wall, cpu = time.perf_counter(), time.process_time() + processor_s()
        read(path)
        answer = [time.perf_counter() - wall, time.process_time() + processor_s() - cpu]
    except (ValueError, OSError) as error:
        answer = str(error)
    print(json.dumps(answer), flush=True)
"""
KINDS = {".amc", ".bvh", ".c3d", ".csv", ".fbx", ".json", ".npy", ".npz", ".pkl", ".pt", ".txt"}


@dataclass
class Row:
    """Least times of one file in ms, of the other checkout (None without one) and of this one."""

    file: str
    megabytes: float
    other_wall_ms: float | None
    wall_ms: float
    other_cpu_ms: float | None
    cpu_ms: float

    def ratios(self) -> list[float]:
        """The other's time over this one's, by the clock and by the processor."""
        if self.other_wall_ms is None or self.other_cpu_ms is None:
            return []
        return [self.other_wall_ms / self.wall_ms, self.other_cpu_ms / self.cpu_ms]


class Reader:
    """A process that reads files with the program of one checkout."""

    def __init__(self, checkout: Path, folder: str) -> None:
        self.checkout = checkout
        self.process = subprocess.Popen(
            [sys.executable, "-c", READ], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}, text=True,
        )  # fmt: skip

    def read(self, file: Path) -> Any:
        """Wall and processor seconds of one reading; the refusal where it is refused."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(str(file)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"error: the process of {self.checkout} ended at {file}")
        return json.loads(line)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def clips(corpus: Path, count: int) -> list[Path]:
    """The largest files of each kind in each folder that may be clips."""
    found: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(corpus.rglob("*")):
        if not path.is_file() or path.suffix not in KINDS or path.parent == corpus:
            continue
        if not path.name.startswith(("LICENSE", "dog")):
            found.setdefault((path.parent, path.suffix), []).append(path)
    largest = [sorted(each, key=lambda path: -path.stat().st_size) for each in found.values()]
    return [path for each in largest for path in each[:count]]


def measure(readers: list[Reader], file: Path, rounds: int) -> Row | str:
    """Least times of one file; the reason where one of the checkouts refuses it."""
    least = [[1e9, 1e9] for _ in readers]
    for turn in range(rounds):
        for place in range(len(readers)):
            # Each checkout is first as often as the other.
            at = (place + turn) % len(readers)
            answer = readers[at].read(file)
            if isinstance(answer, str):
                return answer
            least[at] = [min(pair) for pair in zip(least[at], answer, strict=True)]
    (wall, cpu), *others = [[1e3 * seconds for seconds in pair] for pair in reversed(least)]
    other_wall, other_cpu = others[0] if others else (None, None)
    name = f"{file.parent.name}/{file.name}"
    return Row(name, file.stat().st_size / 1e6, other_wall, wall, other_cpu, cpu)


def shown(row: Row) -> str:
    """A line of the table."""
    line = f"{row.file:52.52} {row.megabytes:6.2f}"
    if not row.ratios():
        return f"{line} {row.wall_ms:9.2f} {row.cpu_ms:9.2f}"
    wall, cpu = row.ratios()
    return (
        f"{line} {row.other_wall_ms:9.2f} {row.wall_ms:9.2f} {wall:6.2f} "
        f"{row.other_cpu_ms:9.2f} {row.cpu_ms:9.2f} {cpu:6.2f}"
    )


def main() -> int:
    """Measure and print the table; 1 where a ratio is below ``--least``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--corpus", type=Path, help="folder with folders of clips")
    parser.add_argument("--per-folder", type=int, default=2, help="clips of a kind in a folder")
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=40, help="readings of each file")
    parser.add_argument("--least", type=float, default=0.0, help="least ratio that is no failure")
    parser.add_argument("--json", type=Path, help="file for the table's numbers")
    options = parser.parse_args()
    files = [path.resolve() for path in options.files]
    if options.corpus is not None:
        files += clips(options.corpus.resolve(), options.per_folder)
    checkouts = [REPO] if options.other is None else [options.other.resolve(), REPO]
    both = f"{'other':>9} {'here':>9} {'ratio':>6}" if len(checkouts) > 1 else f"{'here':>9}"
    print(f"{'least of ' + str(options.rounds):52} {'MB':>6} {both} (ms, clock) {both} (CPU)")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        readers = [Reader(checkout, folder) for checkout in checkouts]
        for file in files:
            row = measure(readers, file, options.rounds)
            if isinstance(row, str):
                print(f"{file.parent.name}/{file.name}: refused: {row[:120]}", flush=True)
                continue
            rows.append(row)
            print(shown(row), flush=True)
        for reader in readers:
            reader.end()
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    slow = [row for row in rows if min(row.ratios(), default=options.least) < options.least]
    for row in slow:
        print(f"below {options.least}: {row.file}")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
