"""Break a deployment in every way we know, and let the robot count what it was told.

    python scripts/fault_injection.py [--cases 10000] [--real 84] [--policy FILE]
        [--kept FILE.jsonl] [--out F.md]

The first part runs in lock-step with an injected clock: the shipped policy walks on the simulated
G1 through Unitree's messages (encoded, decoded, checksums and all), and at a random moment one
fault strikes (`faults.catalogue`). The second part runs guard and robot as processes, slowed down
by ``--pace``, and kills, stops and cuts off what can be (`faults.processes`). Told are, for each
fault, how often the motors damped, the time from the fault to damping motors, the time allowed, and
the commands outside the limits, which the robot counts at its input. Exit code 1 if there was one,
or if damping came too late or did not last, or if the robot was disturbed by what is harmless.

Every lock-step case goes on from a copy of the whole deployment shortly before its fault, and ends
once the motors have damped for a control step and a half. Finished
cases are kept in ``--kept``; the same command goes on where it was ended.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "scripts")]

from faults.bench import STEP, TICK, Bench, Snapshot, make_bench, snapshots  # noqa: E402
from faults.cases import LOCK_STEP, PROCESSES, Case, Kept, table  # noqa: E402
from faults.catalogue import FAULTS, Fault  # noqa: E402
from faults.processes import FAULTS as PROCESS_FAULTS  # noqa: E402
from faults.processes import Processes, there  # noqa: E402

from mimic.deploy.modes import ACTIVE, Mode  # noqa: E402
from mimic.deploy.setup import SHIPPED_POLICY  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.files import atomic_write_text  # noqa: E402
from mimic_base.options import parse  # noqa: E402

HEALTHY = (2, 12)
"""Ticks of health before the fault: a whole control step."""
LASTS = round(1.5 * STEP / TICK)
"""Ticks for which damping is seen to last."""
WATCHED = 60
"""Ticks for which a fault is watched that demands no damping; the robot is limp after 50."""
SECONDS = 3.0
"""s of deployment, of which copies are taken."""


@dataclass(frozen=True)
class Options:
    """Break a deployment in every way we know."""

    cases: int = 10000
    """Faults in lock-step."""
    real: int = 84
    """Faults with real processes."""
    policy: Path = SHIPPED_POLICY
    """A G1's policy with a clip of its own, which walks in lock-step; a ``--kept`` for each."""
    seed: int = 0
    pace: float = 0.1
    """Share of real time at which real processes run."""
    kept: Path | None = None
    """File of finished cases, one JSON object a line; those in it are not run again."""
    out: Path | None = None
    """Also write the tables here (Markdown)."""
    minutes: float | None = None
    """Stop after so many minutes, whatever was asked for."""


def strike(bench: Bench, kind: type[Fault], number: int, seed: int) -> Case:
    """One case: a moment of health, the fault, and what comes of it."""
    random = np.random.default_rng([seed, number])
    fault = kind(at=bench.ticks + int(random.integers(*HEALTHY)), random=random)
    inspector, mode = bench.robot.inspector, bench.pilot.mode
    seen = inspector.seen
    damped: int | None = None
    held, wrong = True, ""
    allowed = round(fault.within / TICK) + LASTS if fault.demands else WATCHED
    last = fault.at + max(allowed, fault.watched)
    while bench.ticks < last:
        if bench.ticks == fault.at:
            fault.begin(bench)
        bench.tick(fault)
        if bench.robot.damps and bench.ticks > fault.at:
            if damped is None:
                damped = bench.ticks
                soonest = fault.at + fault.watched if fault.demands else last
                last = max(soonest, damped + LASTS)
        elif damped is not None and not bench.robot.limp:
            held, wrong = False, f"damping did not last, tick {bench.ticks}"
            break
    took = (damped - fault.at) * TICK if damped is not None and bench.trip else None
    if fault.demands and not wrong:
        if took is None:
            wrong = "never damped"
        elif took > fault.within + 1e-9:
            wrong = f"damped after {1e3 * took:.0f} ms"
    return Case(
        part=LOCK_STEP,
        number=number,
        seed=seed,
        fault=kind.__name__,
        mode=mode.name,
        demanded=fault.demands,
        within=fault.within,
        damped=took,
        held=held,
        commands=inspector.seen - seen,
        unsafe=inspector.unsafe,
        first=inspector.first or wrong,
    )


def lock_step(options: Options, kept: Kept, end: float) -> None:
    """The first part."""
    missing = [each for each in range(options.cases) if (LOCK_STEP, each) not in kept]
    if not missing:
        return
    active = [
        each for each in snapshots(make_bench(options.policy), SECONDS, 0.1) if each.mode in ACTIVE
    ]
    tracking = [each for each in active if each.mode == Mode.TRACK]
    began = time.process_time()
    for count, number in enumerate(missing, 1):
        kind = FAULTS[number % len(FAULTS)]
        choice: list[Snapshot] = tracking if kind.tracking else active
        at = np.random.default_rng([options.seed, number, 1]).integers(len(choice))
        kept.add(strike(choice[at].restored(), kind, number, options.seed))
        if count % 500 == 0:
            took = time.process_time() - began
            print(f"{count} of {len(missing)} cases, {took:.0f} s of processor time", flush=True)
        if time.monotonic() > end:
            return


def with_processes(options: Options, kept: Kept, end: float) -> None:
    """The second part."""
    missing = [each for each in range(options.real) if (PROCESSES, each) not in kept]
    if not missing:
        return
    made, names = Processes(options.pace), list(there())
    for count, number in enumerate(missing, 1):
        if time.monotonic() > end:
            return
        kept.add(made.case(names[number % len(names)], number, options.seed))
        if count % 10 == 0:
            print(f"{count} of {len(missing)} cases with processes", flush=True)


def main() -> int:
    options = parse(Options, None, prog="fault_injection.py")
    end = time.monotonic() + 60 * (options.minutes or np.inf)
    kept = Kept(options.kept, options.seed)
    lock_step(options, kept, end)
    with_processes(options, kept, end)
    first, second = kept.of(LOCK_STEP), kept.of(PROCESSES)
    text = ["Lock-step, injected clock:", ""]
    text += table(first, [kind.__name__ for kind in FAULTS])
    if second:
        text += ["", f"Guard, robot and loop as processes, at {options.pace:g} of real time:", ""]
        text += table(second, PROCESS_FAULTS)
    print("\n".join(text))
    if options.out is not None:
        atomic_write_text(options.out, "\n".join(text) + "\n")
    wrong = [case for case in (*first, *second) if case.failed or case.unsafe]
    for case in wrong[:20]:
        print(f"WRONG: {case.fault}, case {case.number}, {case.mode}: {case.first}")
    return 1 if wrong else 0


if __name__ == "__main__":
    exit_on_user_error(main)
