"""The outcome of an evaluation: figures per clip and in total, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from mimic.evaluation.measures import MEASURES, heading
from mimic.evaluation.metrics import Summary, Sums
from mimic.evaluation.protocols import Protocol
from mimic.evaluation.result_head import ProtocolResult
from mimic.evaluation.smoothness import FIGURES

SCHEMA = "humanoid-mimic/evaluation/1"
MOST_COLUMNS = 7
"""Errors that a table on the console shows; files hold all of them."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResult(ProtocolResult):
    """What ``evaluate`` found.

    Attributes:
        sums: what the figures of ``clips`` were made of, in the same order; those of several
            evaluations add up.
    """

    clips: tuple[Summary, ...]
    motion_hashes: tuple[str, ...]
    total: Summary
    sums: tuple[Sums, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers and texts."""
        clips = [
            {**clip.to_dict(), "hash": digest}
            for clip, digest in zip(self.clips, self.motion_hashes, strict=True)
        ]
        return {
            **self.head(SCHEMA),
            "units": units(self.protocol),
            "clips": clips,
            "total": self.total.to_dict(),
            **self.tail(),
        }

    def table(self) -> Table:
        """One row a clip, and the total where there are several."""
        table = summary_table(self.protocol, "clip")
        for clip in self.clips:
            table.add_row(*summary_cells(clip))
        if len(self.clips) > 1:
            table.add_section()
            table.add_row(*summary_cells(self.total))
        return table


def units(protocol: Protocol) -> dict[str, str]:
    """Name -> unit of all that a protocol tells."""
    told = {name: MEASURES[name].unit for name in protocol.errors}
    if protocol.smoothness:
        told |= {name: each.unit for name, each in FIGURES.items()}
    return told


def summary_table(protocol: Protocol, first: str) -> Table:
    """A table of ``summary_cells`` without rows; ``first`` heads the names."""
    table = Table(title=f"{protocol.name}: {protocol.description}", title_style="")
    table.add_column(first, overflow="fold")
    for title in ("episodes", "length\n(s)", "success", "survived\n(s)", "return"):
        table.add_column(title, justify="right")
    for name in protocol.errors[:MOST_COLUMNS]:
        table.add_column(heading(name), justify="right")
    table.add_column("failures")
    return table


def summary_cells(row: Summary) -> list[str]:
    """The cells of a row of ``summary_table``."""
    shown = list(row.errors.items())[:MOST_COLUMNS]
    return [
        row.name,
        str(row.episodes),
        f"{row.duration_s:.1f}",
        f"{100 * row.success:.4g} %",
        f"{row.survived_s:.1f}",
        f"{row.normalised_return:.3f}",
        *(told(error, MEASURES[name].unit) for name, error in shown),
        ", ".join(f"{name} {count}" for name, count in row.failures.items()),
    ]


def told(value: float | None, unit: str) -> str:
    """A figure with the digits that its unit deserves; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if unit == "mm" else f"{value:.3g}" if "mm/" in unit else f"{value:.3f}"


def smoothness_table(rows: Sequence[Summary]) -> Table:
    """One figure of smoothness a line, a column for each of the rows."""
    table = Table(title="smoothness: means over episodes", title_style="")
    table.add_column("figure", overflow="fold")
    for row in rows:
        table.add_column(row.name, justify="right")
    table.add_column("unit")
    for name, figure in FIGURES.items():
        cells = [row.smoothness.get(name) for row in rows]
        table.add_row(
            figure.heading, *("-" if c is None else f"{c:.3g}" for c in cells), figure.unit
        )
    return table
