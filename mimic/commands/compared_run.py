"""One run of `mimic compare methods`, in a process of its own: it trains up to its budget.

python -m mimic.commands.compared_run JSON, with the fields of ``Order``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.benchmark.methods import Budget
from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import MimicError
from mimic_base.files import append_line, atomic_write_text

if TYPE_CHECKING:
    from mimic.evaluation.judge import TrainingJudge
    from mimic.learning.runner import Runner

CLOCK, COMPLETE = "budget.jsonl", "complete.json"
"""In the run's folder: seconds used at iterations; that the budget is used up."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be trained."""

    words: list[str]
    """Arguments of `mimic train`."""
    budget: str
    """As ``Budget`` reads it."""
    judgements: int
    """Judgements over the whole budget."""


class Watch:
    """A callback of the runner: it judges when it is time, and ends the training.

    Time is the process's CPU time, or the clock's where the training is on a GPU; judgements do
    not count. It is written down as the run goes, so that a resumed one goes on counting.
    """

    def __init__(
        self, judge: Callable[[int, Any], bool], runner: Any, budget: Budget, judgements: int
    ) -> None:
        self.judge, self.budget, self.judgements = judge, budget, judgements
        self.time = time.process_time if runner.device == "cpu" else time.perf_counter
        self.folder: Path = runner.run_dir
        self.used_before = used_at(self.folder, runner.iteration)
        self.judged = int(self._share(runner.samples, self.used_before) * judgements)
        self.began = self.time()
        self._written = 0.0
        self._parent = os.getppid()

    def _share(self, samples: int, seconds: float) -> float:
        return self.budget.share(samples, seconds)

    def __call__(self, iteration: int, runner: Any) -> bool:
        used = self.used_before + self.time() - self.began
        share = self._share(runner.samples, used)
        due = int(share * self.judgements)
        over = share >= 1.0
        if over or due > self.judged or used - self._written >= 1.0:
            self._write(iteration, runner.samples, used)
        if over or due > self.judged:
            self.judged = due
            before = self.time()
            self.judge(iteration, runner)
            self.began += self.time() - before
        if over:
            record = {"iteration": iteration, "samples": runner.samples, "seconds": used}
            atomic_write_text(self.folder / COMPLETE, json.dumps(record) + "\n")
        # Whoever ordered this run is gone: nobody would wait for it.
        return over or os.getppid() != self._parent

    def _write(self, iteration: int, samples: int, used: float) -> None:
        record = {"iteration": iteration, "samples": samples, "seconds": round(used, 3)}
        append_line(self.folder / CLOCK, json.dumps(record))
        self._written = used


def marks(folder: Path) -> dict[int, dict[str, Any]]:
    """What was written down of a run's time, by iteration."""
    file = folder / CLOCK
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    return {mark["iteration"]: mark for mark in map(json.loads, lines)}


def used_at(folder: Path, iteration: int) -> float:
    """Seconds used up to an iteration; never less than there were."""
    if iteration == 0:
        return 0.0
    found = sorted(marks(folder).values(), key=lambda mark: mark["iteration"])
    later = next((mark for mark in found if mark["iteration"] >= iteration), None)
    chosen = later or (found[-1] if found else None)
    return 0.0 if chosen is None else float(chosen["seconds"])


def order_text(order: Order) -> str:
    """The argument of this module."""
    return json.dumps(asdict(order))


def main() -> int:
    from mimic.commands.train import parse, train

    try:
        order = Order(**json.loads(sys.argv[1]))
    except (IndexError, ValueError, TypeError) as error:
        raise MimicError(f"this is started by mimic compare methods ({error})") from error
    budget = Budget.parse(order.budget)

    def watch(judge: TrainingJudge | None, runner: Runner) -> Watch:
        assert judge is not None  # ``common_words`` ask for one
        return Watch(judge, runner, budget, order.judgements)

    return train(parse(order.words), watch)


if __name__ == "__main__":
    exit_on_user_error(main)
