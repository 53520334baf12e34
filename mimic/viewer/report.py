"""One self-contained HTML page about a run of the whole road: pure functions from data to text."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from mimic.viewer.figures import rollout_charts

SCHEMA = "humanoid-mimic/demo-report/1"
_STRIPS = {
    "human": "the human clip",
    "reference": "the robot reference it was retargeted to",
    "policy": "the policy in simulation; where it departs from the reference, the blue ghost shows",
}
_ERRORS = (
    ("key_body_mm", "key-body error<br>world (mm)", 0),
    ("key_body_anchor_mm", "key-body error<br>to anchor (mm)", 0),
    ("joint_rad", "joint error<br>(rad)", 3),
    ("velocity_m_s", "velocity error<br>(m/s)", 2),
)

Data = Mapping[str, Any]
Assets = Mapping[str, bytes]


def render_report(data: Data, assets: Assets) -> str:
    """The page.

    Args:
        data: what ``report.json`` holds: ``title``, ``summary``, ``tiles``, ``steps``,
            ``evaluations`` (as ``EvaluationResult.to_dict``), ``clips``, ``policy``, ``machine``.
        assets: pictures (JPEG) named ``<clip>/<human|reference|policy>`` and videos (MP4) named
            ``video/<name>``, which go into the page itself.
    """
    body = [
        f"<h1>{escape(data['title'])}</h1>",
        f'<p class="soft">{escape(data["summary"])}</p>',
        tiles(data["tiles"]),
        *(_video(name[6:], blob) for name, blob in assets.items() if name.startswith("video/")),
        "<h2>Evaluation of the policy</h2>",
        *(evaluation_table(each) for each in data["evaluations"]),
        "<h2>Quality of the retargeted references</h2>",
        quality_table(data["clips"]),
        "<h2>Clips</h2>",
        *(clip_section(clip, assets) for clip in data["clips"]),
        "<h2>What was done</h2>",
        _steps(data["steps"]),
        _policy(data["policy"]),
        f'<p class="soft small">{escape(_machine_line(data["machine"]))}</p>',
    ]
    return page(data["title"], body)


def page(title: str, body: Sequence[str]) -> str:
    """A self-contained page in the style of all reports, from the elements of its body."""
    style = resources.files("mimic.viewer").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


def evaluation_table(result: Data) -> str:
    """A protocol's figures per clip, from ``EvaluationResult.to_dict()``."""
    protocol = result["protocol"]
    head = ["clip", "episodes", "length<br>(s)", "without<br>failure", "normalised<br>return"]
    head += [title for _, title, _ in _ERRORS]
    rows = [_evaluation_row(row) for row in result["clips"]]
    if len(result["clips"]) > 1:
        rows.append(_evaluation_row(result["total"], "total"))
    notes = "".join(f"<p class='small soft'>{escape(note)}</p>" for note in result["notes"])
    return (
        f'<div class="card"><h3>{escape(protocol["name"])}</h3>'
        f'<p class="soft small">{escape(protocol["description"])}; '
        f"{escape(_failures(protocol['failures']))}</p>"
        f'<div class="scroll"><table><tr>{"".join(f"<th>{h}</th>" for h in head)}</tr>'
        f"{''.join(rows)}</table></div>{notes}</div>"
    )


def _evaluation_row(row: Data, kind: str = "") -> str:
    good = row["success"] >= 1.0
    cells = [
        f"<td>{escape(row['name'])}</td>",
        f"<td>{row['episodes']}</td>",
        f"<td>{row['duration_s']:.1f}</td>",
        f'<td class="{"good" if good else "bad"}">{100 * row["success"]:.4g} %</td>',
        f"<td>{row['normalised_return']:.3f}</td>",
    ]
    for key, _, digits in _ERRORS:
        cells.append(f"<td>{number(row.get(key), digits)}</td>")
    return f'<tr class="{kind}">{"".join(cells)}</tr>'


def _failures(failures: Data) -> str:
    words = []
    for name, rule in failures.items():
        unit = " m" if "height" in name else ""
        words.append(f"the {name.replace('_', ' ')} is off by more than {rule['threshold']}{unit}")
    return "an episode fails where " + " or ".join(words)


def clip_section(clip: Data, assets: Assets) -> str:
    """Pictures, curves and quality figures of one clip."""
    name = clip["name"]
    parts = [f'<div class="card"><h3>{escape(name)}</h3>']
    parts.append(f'<p class="soft small">{escape(clip["about"])}</p>')
    for kind, caption in _STRIPS.items():
        blob = assets.get(f"{name}/{kind}")
        if blob:
            picture = data_uri(blob, "image/jpeg")
            parts.append(
                f"<figure><figcaption>{escape(caption)}</figcaption><img "
                f'alt="{escape(f"{name}: {caption}")}" src="{picture}"></figure>'
            )
    outcome = clip["outcome"]
    colour = "" if clip["success"] else ' style="color:var(--bad)"'
    parts.append(f'<p class="small"{colour}>{escape(outcome)}</p>')
    charts = "".join(rollout_charts(clip["series"], clip.get("failed_s")))
    parts.append(f'<div class="charts">{charts}</div>')
    parts.append("</div>")
    return "\n".join(parts)


def quality_table(clips: Sequence[Data]) -> str:
    """Retargeting quality, a measure a row and a clip a column.

    Each clip's ``quality`` has rows of ``title``, ``value`` (None: not measured), ``goal`` (the
    most it should be, None where it is only told), ``unit``, ``digits`` and ``met``.
    """
    cells = [row for clip in clips for row in clip["quality"] if row["met"] is not None]
    met = sum(row["met"] for row in cells)
    head = "".join(f"<th>{escape(clip['name'])}</th>" for clip in clips)
    lines = []
    for rows in zip(*(clip["quality"] for clip in clips), strict=True):
        first = rows[0]
        values = "".join(
            f'<td class="{ {True: "good", False: "bad", None: ""}[row["met"]] }">'
            f"{number(row['value'], row['digits'])}</td>"
            for row in rows
        )
        goal = at_most(first["goal"])
        lines.append(
            f"<tr><td>{escape(first['title'])}</td>{values}"
            f'<td>{goal}</td><td class="text soft">{_unit(first["unit"])}</td></tr>'
        )
    return (
        f'<div class="card"><p class="soft small">{met} of {len(cells)} goals met</p>'
        f'<div class="scroll"><table><tr><th>measure</th>{head}<th>goal</th>'
        f'<th class="text">unit</th></tr>{"".join(lines)}</table></div></div>'
    )


def at_most(most: float | None) -> str:
    """An upper goal in words."""
    if most is None:
        return "–"
    return f"≤ {most:g}" if most else "0"


def number(value: float | None, digits: int) -> str:
    """A figure for a table; an en dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _unit(text: str) -> str:
    return escape(text.replace("^3", "³").replace("^2", "²"))


def tiles(tiles: Sequence[Data]) -> str:
    """Large figures side by side: ``value``, ``label`` and ``mood`` (good, bad or nothing) each."""
    cells = [
        f'<div class="tile {escape(tile.get("mood", ""))}"><b>{escape(tile["value"])}</b>'
        f"<span>{escape(tile['label'])}</span></div>"
        for tile in tiles
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def _video(name: str, blob: bytes) -> str:
    return (
        f"<figure><figcaption>{escape(name)}: the policy in simulation, its reference as a blue "
        f"ghost</figcaption><video controls loop muted playsinline autoplay "
        f'src="{data_uri(blob, "video/mp4")}"></video></figure>'
    )


def _steps(steps: Sequence[Data]) -> str:
    rows = [
        f"<tr><td>{escape(step['name'])}</td><td>{step['seconds']:.1f}</td>"
        f'<td class="text soft">{escape(step["note"])}</td></tr>'
        for step in steps
    ]
    total = sum(step["seconds"] for step in steps)
    rows.append(f'<tr class="total"><td>total</td><td>{total:.1f}</td><td></td></tr>')
    return (
        '<div class="card"><table><tr><th>step</th><th>seconds</th><th class="text">what</th></tr>'
        f"{''.join(rows)}</table></div>"
    )


def _policy(policy: Data) -> str:
    rows = [
        f'<tr><td>{escape(name)}</td><td class="text">{escape(str(value))}</td></tr>'
        for name, value in policy.items()
    ]
    return f'<h2>The policy file</h2><div class="card"><table>{"".join(rows)}</table></div>'


def _machine_line(machine: Data) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items() if v)
    return f"{machine['created']} · {machine['system']} · {machine['processor']} · {versions}"


def data_uri(blob: bytes, kind: str) -> str:
    """Bytes of a media type as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(blob).decode()}"
