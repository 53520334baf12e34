"""From figures, curves and pictures to HTML text; everything a page needs is inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from retarget.page.curves import ClipCurves, Moment
from retarget.page.plots import clip_plots
from retarget.page.table import DYNAMIC_GOALS, GOALS, Goal, figure, meanings


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a report.

    Attributes:
        detected: the line about what was found out of the source. picture: PNG. moments: worst
            frames. error: why there is no result; nothing else is set then.
    """

    name: str
    quality: Mapping[str, Any] = field(default_factory=dict)
    detected: str = ""
    curves: ClipCurves | None = None
    moments: Sequence[Moment] = ()
    picture: bytes | None = None
    error: str = ""


def clip_page(clips: Sequence[ClipEntry], robot: str) -> str:
    """The page of a few clips, each with its curves and pictures."""
    title = clips[0].name if len(clips) == 1 else f"{len(clips)} clips"
    parts = [f"<h1>{escape(title)} on {escape(robot)}</h1>"]
    if len(clips) > 1:
        parts.append(_overview(clips, linked=True))
    parts += [_section(clip) for clip in clips]
    return _page(f"{title} on {robot}", parts)


def dataset_page(clips: Sequence[ClipEntry], robot: str) -> str:
    """The page of many clips: figures only, worst first."""
    good = [clip for clip in clips if not clip.error]
    bad = [clip for clip in clips if clip.error]
    title = f"{len(good)} of {len(clips)} clips on {robot}"
    parts = [f"<h1>{escape(title)}</h1>", _goals(good)]
    if bad:
        cells = '<td class="text">{}</td><td class="text">{}</td>'
        rows = "".join(
            f"<tr>{cells.format(escape(clip.name), escape(clip.error))}</tr>" for clip in bad
        )
        parts.append(f"<h2>Not retargeted</h2><table>{rows}</table>")
    parts += [
        "<h2>Clips, those that miss most goals first</h2>",
        _overview(sorted(good, key=lambda c: (-missed(c.quality), c.name)), linked=False),
    ]
    return _page(title, parts)


def missed(quality: Mapping[str, Any]) -> int:
    """Number of goals that a clip's figures do not meet."""
    return sum(_verdict(goal, figure(quality, goal)) == "bad" for goal in GOALS)


def _goals_of(clips: Sequence[ClipEntry]) -> tuple[Goal, ...]:
    """Those of the dynamics too where they were checked."""
    checked = any("dynamics" in clip.quality for clip in clips)
    return (*GOALS, *DYNAMIC_GOALS) if checked else GOALS


def _verdict(goal: Goal, value: float | None) -> str:
    if value is None or goal.most is None:
        return ""
    return "good" if goal.met(value) else "bad"


def _cell(goal: Goal, value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    return f'<td class="{_verdict(goal, value)}">{value:.{goal.digits}f}</td>'


def _overview(clips: Sequence[ClipEntry], *, linked: bool) -> str:
    goals = _goals_of(clips)
    heads = "".join(f"<th>{escape(g.title)}<br><i>{escape(g.unit)}</i></th>" for g in goals)
    rows = []
    for clip in clips:
        name = escape(clip.name)
        name = f'<a href="#{_anchor(clip.name)}">{name}</a>' if linked else name
        if clip.error:
            cells = f'<td class="text" colspan="{len(goals)}">{escape(clip.error)}</td>'
        else:
            cells = "".join(_cell(goal, figure(clip.quality, goal)) for goal in goals)
        rows.append(f"<tr><td>{name}</td>{cells}</tr>")
    head = f"<tr><th>clip</th>{heads}</tr>"
    return f'<div class="scroll"><table class="wide">{head}{"".join(rows)}</table></div>'


def _goals(clips: Sequence[ClipEntry]) -> str:
    rows = []
    for goal in GOALS:
        values = [v for v in (figure(c.quality, goal) for c in clips) if v is not None]
        if not values:
            continue
        met = "–" if goal.most is None else f"{sum(map(goal.met, values))} of {len(values)}"
        rows.append(
            f"<tr><td>{escape(goal.title)}</td><td>{goal.at_most} {escape(goal.unit)}</td>"
            f"<td>{met}</td>{_cell(goal, float(np.median(values)))}"
            f"{_cell(goal, max(values))}</tr>"
        )
    head = "<tr><th>measure</th><th>goal</th><th>met by</th><th>median</th><th>worst</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>{_meanings()}"


def _meanings() -> str:
    rows = "".join(f"<li><b>{escape(title)}</b>: {escape(text)}</li>" for title, text in meanings())
    return f'<ul class="soft">{rows}</ul>'


def _section(clip: ClipEntry) -> str:
    parts = [f'<section id="{_anchor(clip.name)}"><h2>{escape(clip.name)}</h2>']
    if clip.error:
        return f'{parts[0]}<p class="bad">{escape(clip.error)}</p></section>'
    parts.append(f'<p class="soft">{escape(clip.detected)}</p>')
    rows = "".join(
        f"<tr><td>{escape(goal.title)}</td>{_cell(goal, figure(clip.quality, goal))}"
        f"<td>{goal.at_most}</td><td>{escape(goal.unit)}</td></tr>"
        for goal in _goals_of([clip])
    )
    head = "<tr><th>measure</th><th>value</th><th>goal</th><th></th></tr>"
    parts.append(f"<table>{head}{rows}</table>{_meanings()}")
    if clip.curves is not None:
        parts.append(f"<figure>{clip_plots(clip.curves, clip.moments)}</figure>")
        links = "".join(
            f"<li><b>{clip.curves.time[m.frame]:.2f} s</b> (frame {m.frame}): {escape(m.what)}</li>"
            for m in clip.moments
        )
        parts.append(f"<p>Worst moments, dotted in the curves and drawn below:</p><ul>{links}</ul>")
    if clip.picture is not None:
        data = base64.b64encode(clip.picture).decode()
        parts.append(f'<img alt="{escape(clip.name)}" src="data:image/png;base64,{data}">')
    return "".join(parts) + "</section>"


def _anchor(name: str) -> str:
    return "clip-" + "".join(c if c.isalnum() else "-" for c in name)


def _page(title: str, parts: Sequence[str]) -> str:
    style = resources.files("retarget.page").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>\n{chr(10).join(parts)}\n</main></body></html>\n"
    )
