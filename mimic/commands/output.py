"""What the commands share in talking to the user."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

PIPE_WIDTH = 160
"""Columns of a table that goes into a file or a pipe, which has no width of its own."""


def make_console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a plain line: no markup in file names, no breaks in paths."""
    console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = f"{task.speed:,.0f} steps/s" if task.speed else ""
        return Text(rate)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error with rate and remaining time; gone when the block ends."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(30),
        _Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # Where nobody watches, a bar would leave an empty line.
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(label, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
