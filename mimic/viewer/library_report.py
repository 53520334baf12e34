"""The page about a policy on a whole library: splits, worst clips with videos, every clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimic.viewer.report import data_uri, page, tiles
from mimic_base.text import html

Data = Mapping[str, Any]
MOST_ROWS = 2000
"""Clips that the page lists; the JSON file beside it has all."""


def render_library(data: Data, headings: Mapping[str, str], videos: Sequence[Data] = ()) -> str:
    """The page.

    Args:
        data: as ``LibraryResult.to_dict``.
        headings: of the protocol's errors, in the order of the columns.
        videos: of the worst clips: ``name``, ``outcome`` and ``content`` (MP4).
    """
    total, protocol = data["total"], data["protocol"]
    failed = sum(row["success"] < 1.0 for row in data["clips"])
    first = next(iter(headings))
    body = [
        "<h1>Policy on a library of clips</h1>",
        f'<p class="soft">{html(data["policy"])} · task {html(data["task"])} · robot '
        f"{html(data['robot']['name'])} · engine {html(data['engine'])} · seed {data['seed']}</p>",
        tiles(
            [
                {
                    "value": f"{100 * total['success']:.4g} %",
                    "label": f"of {total['episodes']} episodes succeed",
                    "mood": "good" if total["success"] >= 0.95 else "bad",
                },
                {"value": str(len(data["clips"])), "label": "clips judged"},
                {
                    "value": str(failed),
                    "label": "clips with a failure",
                    "mood": "bad" if failed else "good",
                },
                {
                    "value": _cell(total.get(first)),
                    "label": f"{headings[first].replace(chr(10), ' ')}",
                },
                {
                    "value": str(len(data["bad"])),
                    "label": "clips that could not be judged",
                    "mood": "bad" if data["bad"] else "",
                },
            ]
        ),
        f'<p class="small soft">Protocol {html(protocol["name"])}: '
        f"{html(protocol['description'])}</p>",
        *(f"<p class='small soft'>{html(note)}</p>" for note in data["notes"]),
        "<h2>Splits</h2>",
        _table([*data["splits"], total], headings, "split"),
    ]
    if videos:
        body.append("<h2>Worst clips</h2>")
        body.append(
            '<p class="soft small">Played once without noise or disturbance; the reference is the '
            "blue ghost.</p>"
        )
        body += [
            f'<div class="card"><h3>{html(each["name"])}</h3><p class="small">'
            f'{html(each["outcome"])}</p><video controls loop muted playsinline preload="metadata" '
            f'src="{data_uri(each["content"], "video/mp4")}"></video></div>'
            for each in videos
        ]
    if data["bad"]:
        lines = "".join(f"<li>{html(line)}</li>" for line in data["bad"])
        body.append(f'<h2>Could not be judged</h2><ul class="small">{lines}</ul>')
    body.append("<h2>Clips, worst first</h2>")
    if len(data["clips"]) > MOST_ROWS:
        body.append(f'<p class="soft small">the worst {MOST_ROWS} of {len(data["clips"])}</p>')
    body.append(_table(data["clips"][:MOST_ROWS], headings, "clip"))
    return page("Policy on a library of clips", body)


def _table(rows: Sequence[Data], headings: Mapping[str, str], first: str) -> str:
    split = any("split" in row for row in rows) and any(row.get("split") for row in rows)
    head = [first, *(["split"] if split else []), "episodes", "length<br>(s)", "success"]
    head += ["survived<br>(s)", "return", *(t.replace("\n", "<br>") for t in headings.values())]
    head.append("failures")
    lines = []
    for row in rows:
        good = "good" if row["success"] >= 1.0 else "bad"
        failures = ", ".join(f"{name} {count}" for name, count in row["failures"].items())
        cells = [
            f"<td>{html(row['name'], 80)}</td>",
            *([f"<td>{html(row.get('split', ''))}</td>"] if split else []),
            f"<td>{row['episodes']}</td><td>{row['duration_s']:.1f}</td>",
            f'<td class="{good}">{100 * row["success"]:.4g} %</td>',
            f"<td>{row['survived_s']:.1f}</td><td>{row['normalised_return']:.3f}</td>",
            *(f"<td>{_cell(row.get(name))}</td>" for name in headings),
            f'<td class="text small soft">{html(failures)}</td>',
        ]
        kind = ' class="total"' if row["name"] == "total" else ""
        lines.append(f"<tr{kind}>{''.join(cells)}</tr>")
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<div class="card scroll"><table><tr>{titles}</tr>{"".join(lines)}</table></div>'


def _cell(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
