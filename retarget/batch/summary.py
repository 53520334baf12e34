"""A batch on the screen: progress while it runs, and the table at its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from mimic_base.text import LONGEST_LINE, markup
from retarget.batch.jobs import Job
from retarget.batch.record import Record
from retarget.batch.run import run_batch
from retarget.batch.work import Work
from retarget.choices import Backend
from retarget.page.table import GOALS, figure


def run_with_progress(
    jobs: Sequence[Job],
    out: Path,
    work: Work,
    workers: int | None,
    console: Console,
    *,
    backend: Backend = "processes",
    ray_address: str | None = None,
) -> list[Record]:
    """Run a batch with a bar, a line for each clip that failed and one about the whole.

    Arguments as in `run.run_batch`.
    """
    before = 0
    with Progress(
        TextColumn("retargeting"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True, soft_wrap=True),
        transient=True,
        # Where nobody watches, a bar would leave an empty line.
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("clips", total=len(jobs))

        def report(record: Record, finished: bool) -> None:
            nonlocal before
            before += finished
            bar.advance(task)
            if record.error:
                bar.console.print(f"error: {markup(record.error, LONGEST_LINE)}", highlight=False)

        try:
            records = run_batch(
                jobs, out, work, workers=workers, backend=backend, ray_address=ray_address,
                report=report,
            )  # fmt: skip
        except KeyboardInterrupt:
            bar.console.print("what is finished is kept: run the same command again to go on")
            raise
    good = sum(not record.error for record in records)
    console.print(
        f"{good} of {len(records)} clips retargeted into {markup(str(out))}"
        + (f", {before} of them before" if before else "")
        + (f"; {len(records) - good} failed" if good < len(records) else "")
    )
    return records


def summary_table(records: Sequence[Record]) -> Table:
    """For each measure: how many clips meet its goal, the median clip and the worst."""
    good = [record for record in records if not record.error]
    table = Table(pad_edge=False, box=None)
    table.add_column("measure")
    for heading in ("goal", "met by", "median", "worst"):
        table.add_column(heading, justify="right")
    table.add_column("")
    table.add_column("worst clip")
    for goal in GOALS:
        found = [(figure(record.quality, goal), record.name) for record in good]
        values = [(value, name) for value, name in found if value is not None]
        if not values:
            table.add_row(goal.title, goal.at_most, "–", "–", "–", goal.unit, "")
            continue
        numbers = np.array([value for value, _ in values])
        met = sum(goal.met(value) for value in numbers.tolist())
        worst, name = max(values)
        table.add_row(
            goal.title,
            goal.at_most,
            "–" if goal.most is None else f"{met}/{len(values)}",
            f"{np.median(numbers):.{goal.digits}f}",
            f"{worst:.{goal.digits}f}",
            goal.unit,
            markup(name),
        )
    return table
