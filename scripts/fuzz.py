"""Damage files of every kind and feed them to the program: nothing may crash, hang or leave a mess.

    python scripts/fuzz.py --count 20000 [--first 0] [--workers 2] [--only retarget] [--keep DIR]

Prints a table of what came of the inputs, then one line for each bad one. An input is repeated with
``--first NUMBER --count 1`` and the same ``--only``. Exit code 1 when there was a bad one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.fuzz.harness import Finding, draw, end_servers, ready, run_one  # noqa: E402


def main() -> int:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument("--count", type=int, default=1000)
    own.add_argument("--first", type=int, default=0, help="number of the first input")
    own.add_argument("--only", action="append", default=[], help="targets whose name holds this")
    own.add_argument("--workers", type=int, default=1)
    own.add_argument("--keep", type=Path, help="copy the files of bad inputs here")
    own.add_argument("--json", type=Path)
    args = own.parse_args()
    numbers = range(args.first, args.first + args.count)
    only = tuple(args.only)
    started, found = time.perf_counter(), []
    with ready():
        workers = []
        for job in range(1, args.workers):
            pipe, out = os.pipe()
            if os.fork() == 0:
                os.close(pipe)
                mine = _all(numbers[job :: args.workers], only, args.keep, quiet=True)
                with os.fdopen(out, "w") as file:
                    json.dump([asdict(each) for each in mine], file)
                end_servers()
                os._exit(0)
            os.close(out)
            workers.append(pipe)
        found += _all(numbers[:: args.workers], only, args.keep, quiet=False)
        for pipe in workers:
            with os.fdopen(pipe) as file:
                found += [Finding(**each) for each in json.load(file)]
    found.sort(key=lambda each: each.number)
    print(table(found))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{len(found)} inputs, numbers {numbers.start} to {numbers.stop - 1}, "
        f"{time.perf_counter() - started:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU s"
    )
    bad = [each for each in found if each.bad]
    for each in bad:
        print(f"{each.outcome}: {each.target} {each.number}: {each.detail}")
    if args.json is not None:
        args.json.write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    return 1 if bad else 0


def _all(numbers: range, only: tuple[str, ...], keep: Path | None, *, quiet: bool) -> list[Finding]:
    found = []
    for index, number in enumerate(numbers):
        found.append(run_one(draw(number, only), number, keep))
        if found[-1].bad or (not quiet and index % 500 == 499):
            note = f"{found[-1].target} {number}: {found[-1].outcome} {found[-1].detail[:160]}"
            print(note if found[-1].bad else f"{index + 1} of {len(numbers)}", file=sys.stderr)
    return found


def table(found: list[Finding]) -> str:
    """Targets down, outcomes across."""
    outcomes = sorted(
        {each.outcome for each in found}, key=lambda o: (o not in ("read", "refused"), o)
    )
    lines = [f"{'':28}" + "".join(f"{o:>12}" for o in outcomes) + f"{'slowest, s':>12}"]
    for target in dict.fromkeys(each.target for each in sorted(found, key=lambda e: e.target)):
        mine = [each for each in found if each.target == target]
        count = Counter(each.outcome for each in mine)
        cells = "".join(f"{count[o]:12}" for o in outcomes)
        lines.append(f"{target:28}{cells}{max(each.seconds for each in mine):12.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
