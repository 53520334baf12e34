"""The report's curves as live charts, with a line at the frame that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import viser
from viser import uplot

from mimic_base.vectors import Array
from retarget.page.rows import Line, Row

MAX_POINTS = 800
"""Samples per curve; a longer clip keeps the extremes of each stretch."""
NOW, LIMIT = "#f59e0b", "#b4b4b4"
_HEIGHT = 124
_FAR = 1e3
"""How far under its chart the line of the moment runs where it is not seen, in chart heights."""


def envelope(values: Array, points: int = MAX_POINTS) -> Array:
    """[T] as at most about `points` values: lowest and highest of each stretch, in turn.

    A peak of one frame stays as high as it is. Short curves come back unchanged.
    """
    if len(values) <= points:
        return np.asarray(values, np.float64)
    edges = _edges(len(values), points)
    low = np.minimum.reduceat(values, edges[:-1])
    high = np.maximum.reduceat(values, edges[:-1])
    return np.stack([low, high], axis=1).ravel().astype(np.float64)


def envelope_time(frames: int, fps: float, points: int = MAX_POINTS) -> Array:
    """Times, s, of the values of `envelope`: the first and the last frame of each stretch."""
    if frames <= points:
        return np.arange(frames) / fps
    edges = _edges(frames, points)
    return np.stack([edges[:-1], edges[1:] - 1], axis=1).ravel() / fps


def _edges(frames: int, points: int) -> Array:
    return np.unique(np.linspace(0, frames, points // 2 + 1).astype(int))


class Chart:
    """One row of curves; `set_time` moves its line."""

    def __init__(self, gui: viser.GuiApi, row: Row, frames: int, fps: float) -> None:
        self.row = row
        self._time = envelope_time(frames, fps)
        self._curves = [envelope(line.values) for line in row.lines]
        bases = [line.base for line in row.lines if line.base]
        self._levels = [np.full(len(self._time), level) for level in bases]
        if row.limit is not None:
            self._levels.append(np.full(len(self._time), row.limit))
        self._low, self._high = row.range
        title = row.title + (f", {row.unit}" if row.unit else "")
        self.handle = gui.add_uplot(
            self.data(0.0),
            tuple(self._series(bases)),
            title=title,
            bands=_bands(row.lines),
            scales={
                "x": uplot.Scale(time=False, range=(0.0, max(float(self._time[-1]), 1.0 / fps))),
                "y": uplot.Scale(range=(self._low, self._high)),
            },
            axes=(
                uplot.Axis(size=32, space=60.0),
                uplot.Axis(size=38, space=22.0, show=not row.ticks),
            ),
            legend=uplot.Legend(show=False),
            cursor=uplot.Cursor(sync=uplot.Cursor_Sync(key="clip"), y=False),
            padding=(0, 10, 0, 38 if row.ticks else 0),
            height=_HEIGHT,
        )

    def data(self, time: float) -> tuple[Array, ...]:
        """Columns of the chart: time, curves, levels, and the line at `time` (s)."""
        # The line is a curve that runs unseen below the chart and leaps up at one moment.
        below = self._low - _FAR * (self._high - self._low)
        at = int(np.searchsorted(self._time, time))
        x = np.insert(self._time, [at] * 3, time)
        columns = [
            np.insert(values, [at] * 3, np.interp(time, self._time, values))
            for values in (*self._curves, *self._levels)
        ]
        now = np.full(len(x), below)
        now[at + 1] = self._high
        return (x, *columns, now)

    def set_time(self, time: float) -> None:
        """Move the line to `time`, s."""
        self.handle.data = self.data(time)

    def _series(self, bases: Sequence[float]) -> list[uplot.Series]:
        series = [uplot.Series(label="s")]
        for line in self.row.lines:
            look: dict[str, Any] = {"fill": line.colour} if line.base == 0.0 else {}
            series.append(_line(line.label, line.colour, 1.3, **look))
        series += [_line("", "transparent", 0.0) for _ in bases]
        if self.row.limit is not None:
            series.append(_line("limit", LIMIT, 1.0))
        series.append(_line("shown", NOW, 2.0))
        return series


def _line(label: str, colour: str, width: float, **look: Any) -> uplot.Series:
    return uplot.Series(
        label=label, stroke=colour, width=width, points=uplot.Series_Points(show=False), **look
    )


def _bands(lines: Sequence[Line]) -> tuple[uplot.Band, ...] | None:
    """Areas between raised filled lines and their levels; an area down to zero needs none."""
    raised = [k for k, line in enumerate(lines) if line.base]
    bands = [
        uplot.Band(series=(1 + k, 1 + len(lines) + n), fill=lines[k].colour)
        for n, k in enumerate(raised)
    ]
    return tuple(bands) or None


def reading(rows: Sequence[Row], frame: int) -> str:
    """The values at a frame as a small table, in Markdown."""
    lines = ["| | |", "|---|---|"]
    for row in rows:
        parts = []
        for line in row.lines:
            value = float(line.values[frame]) - (line.base or 0.0)
            name = f"{line.label} " if len(row.lines) > 1 else ""
            parts.append(f"{name}{value:.2f}")
        lines.append(f"| {row.title} | {', '.join(parts)} {row.unit} |")
    return "\n".join(lines)
