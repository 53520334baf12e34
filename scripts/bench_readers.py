"""How long readers take on files, here and in another checkout, in alternating processes.

    python scripts/bench_readers.py FILE... [--other /path/to/checkout] [--rounds 5]

Each process reads every file a few times and keeps the least processor time of each. The two
checkouts take turns, so that a busy machine slows both. The ratio is the other's time over this
one's: below 1 this checkout is slower.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
READ = """
import json, sys, time
from pathlib import Path
from motions import read_human_motion
try:
    from motions.robot.formats.reading import read_robot_trajectory
except ImportError:
    from motions.robot_formats.reading import read_robot_trajectory
least = {}
for name in sys.argv[2:]:
    robot = Path(name).parent.name.startswith("g1_")
    for _ in range(int(sys.argv[1])):
        began = time.process_time()
        if robot:
            read_robot_trajectory(Path(name))
        else:
            try:
                read_human_motion(Path(name))
            except ValueError as error:
                if "frame rate" not in str(error):
                    raise
                read_human_motion(Path(name), fps=30.0)
        least[name] = min(least.get(name, 1e9), time.process_time() - began)
print(json.dumps(least))
"""
"""Robots' motions are those in folders whose names begin with ``g1_``."""


def measure(checkout: Path, files: list[str], times: int) -> dict[str, float]:
    """Least processor seconds of reading each file, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", READ, str(times), *files],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"error: {checkout}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each checkout")
    parser.add_argument("--times", type=int, default=5, help="readings of a file in a process")
    options = parser.parse_args()
    files = [str(path.resolve()) for path in options.files]
    checkouts = [REPO] if options.other is None else [options.other.resolve(), REPO]
    found: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    for _ in range(options.rounds):
        for checkout in checkouts:
            found[checkout].append(measure(checkout, files, options.times))
    print(f"{'file':44} {'MB':>6} {'other ms':>9} {'here ms':>9} {'ratio':>6}")
    for file in files:
        here = min(each[file] for each in found[REPO])
        size = Path(file).stat().st_size / 1e6
        line = f"{Path(file).parent.name + '/' + Path(file).name:44.44} {size:6.2f}"
        if options.other is None:
            print(f"{line} {'':9} {1e3 * here:9.2f}")
        else:
            other = min(each[file] for each in found[checkouts[0]])
            print(f"{line} {1e3 * other:9.2f} {1e3 * here:9.2f} {other / here:6.2f}")


if __name__ == "__main__":
    main()
