"""The curves of a clip as one SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from mimic_base.vectors import Array
from retarget.page.curves import ClipCurves, Moment
from retarget.page.rows import RIGHT, Row, clip_rows


def clip_plots(curves: ClipCurves, moments: Sequence[Moment] = ()) -> str:
    """SVG text: the rows of `clip_rows` over time; frames that are not feasible are shaded."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows, time = clip_rows(curves), curves.time
    # Text stays text, and identifiers do not change from one run to the next.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "retarget", "font.size": 8}):
        figure = Figure(figsize=(11.0, 1.25 * len(rows)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(len(rows), 1, sharex=True))
        for axis, row in zip(axes, rows, strict=True):
            _draw(axis, row, time)
            if curves.dynamics is not None:
                bad = ~curves.dynamics.feasible
                axis.fill_between(
                    time, *row.range, where=bad, step="mid", color=RIGHT, alpha=0.12, linewidth=0
                )
            for moment in moments:
                axis.axvline(time[moment.frame], color="0.5", linewidth=0.8, linestyle=":")
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1].set_xlabel("s")
        axes[-1].set_xlim(time[0], time[-1])
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _draw(axis: Any, row: Row, time: Array) -> None:
    for line in row.lines:
        if line.base is not None:
            axis.fill_between(time, line.base, line.values, color=line.colour, linewidth=0)
        else:
            axis.plot(time, line.values, color=line.colour, linewidth=0.9)
    if row.limit is not None:
        axis.axhline(row.limit, color="0.7", linewidth=0.8)
    if row.ticks:
        axis.set_yticks([level for level, _ in row.ticks], [name for _, name in row.ticks])
    axis.set_ylabel("\n".join(part for part in (row.title, row.unit) if part))
    axis.set_ylim(*row.range)
