"""Finished cases, one JSON object a line, and the table that is made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mimic_base.errors import input_error

LOCK_STEP, PROCESSES = "lock-step", "processes"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What came of one fault.

    Attributes:
        part: `LOCK_STEP` or `PROCESSES`. number: of the case in its part. seed: of the run.
        fault: its name. mode: what was being done when it struck.
        demanded: whether the motors have to damp. within: s within which, from the fault on.
        damped: s after which they did; None: they did not.
        held: whether they did nothing else from then on.
        commands: that reached the robot. unsafe: those of them that broke a rule, as the robot
            counts. first: the first thing that was wrong.
    """

    part: str
    number: int
    seed: int
    fault: str
    mode: str
    demanded: bool
    within: float
    damped: float | None
    held: bool
    commands: int
    unsafe: int
    first: str = ""
    harmless: bool = False
    """Whether the motors must not damp, and the robot must not go limp."""

    @property
    def failed(self) -> bool:
        """Whether damping that was demanded came too late, or not, or did not last, or what is
        harmless disturbed."""
        if self.harmless and (self.damped is not None or not self.held):
            return True
        if not self.demanded:
            return False
        return self.damped is None or not self.held or self.damped > self.within + 1e-9


class Kept:
    """Finished cases in a file, to which new ones are added as they come.

    A line that was cut off when a run was ended is written anew.
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        """Read what is there.

        Raises:
            InputError: a file of something else, or of another seed.
        """
        self.path, self.cases = path, {}
        self._file = -1
        if path is None:
            return
        whole = 0
        data = path.read_bytes() if path.is_file() else b""
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            case = _read(path, line)
            if case.seed != seed:
                raise input_error(
                    path,
                    "holds cases of another seed",
                    found=case.seed,
                    expected=seed,
                    fix="name another file",
                )
            self.cases[case.part, case.number] = case
            whole += len(line)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, whole)
        os.lseek(self._file, 0, os.SEEK_END)

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self.cases

    def add(self, case: Case) -> None:
        """Keep a case."""
        self.cases[case.part, case.number] = case
        if self._file >= 0:
            os.write(self._file, (json.dumps(asdict(case)) + "\n").encode())

    def of(self, part: str) -> list[Case]:
        """The cases of a part, by number."""
        return [case for key, case in sorted(self.cases.items()) if key[0] == part]


def _read(path: Path, line: bytes) -> Case:
    try:
        told: Mapping[str, object] = json.loads(line)
        named = {each.name for each in fields(Case)}
        # Runs of before say nothing of what is harmless.
        if not named - {"harmless"} <= set(told) <= named:
            raise ValueError("other fields than a case has")
        return Case(**told)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise input_error(
            path, "not a file of finished cases", found=str(error)[:80], fix="name another file"
        ) from error


HEAD = (
    "fault", "cases", "damped", "of demanded", "failed", "p50 ms", "p99 ms", "max ms",
    "allowed ms", "commands", "outside the limits",
)  # fmt: skip


def table(cases: Iterable[Case], order: Iterable[str]) -> list[str]:
    """Markdown, a row for each fault in ``order`` that has cases, and one for all of them."""
    kept = list(cases)
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for name in [*order, "all"]:
        these = [case for case in kept if name in ("all", case.fault)]
        if not these:
            continue
        asked = [case for case in these if case.demanded]
        took = 1e3 * np.array([case.damped for case in asked if case.damped is not None])
        shown = len(took) > 0 and name != "all"
        cells = [
            name, len(these), sum(case.damped is not None for case in these), len(asked),
            sum(case.failed for case in these),
            f"{np.median(took):.0f}" if shown else "–",
            f"{np.percentile(took, 99):.0f}" if shown else "–",
            f"{took.max():.0f}" if shown else "–",
            f"{1e3 * max(case.within for case in asked):.0f}" if shown else "–",
            sum(case.commands for case in these), sum(case.unsafe for case in these),
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines
