"""The page about what makes a policy fall: verdict, a chart for each disturbance, smoothness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimic.viewer.report import page, tiles
from mimic_base.text import html

Data = Mapping[str, Any]
WIDTH, HEIGHT = 340, 170
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 26, 26


def render_robustness(data: Data, figures: Mapping[str, tuple[str, str]]) -> str:
    """The page.

    Args:
        data: as ``RobustnessResult.to_dict``.
        figures: of smoothness: name -> heading and unit.
    """
    nominal = data["nominal"]["success"]
    start = [(0.0, nominal)]
    charts = [
        sweep_chart(
            each["title"],
            start + [(p["multiple"], p["success"]) for p in each["points"]],
            f"1 = {each['published_range']} ({each['source']})",
        )
        for each in data["sweeps"].values()
    ]
    together = start + [(p["multiple"], p["success"]) for p in data["together"]]
    charts.append(sweep_chart("all together", together, "each at this multiple of its range"))
    body = [
        "<h1>What makes this policy fall</h1>",
        f'<p class="soft">{html(data["policy"])} · task {html(data["task"])} · robot '
        f"{html(data['robot']['name'])} · engine {html(data['engine'])} · seed {data['seed']} · "
        f"{data['episodes_per_clip']} episodes of each clip: {html(', '.join(data['clips']), 200)}"
        "</p>",
        _tiles(data),
        *(f"<p>{html(line[0].upper() + line[1:])}.</p>" for line in data["verdict"]),
        *(f'<p class="small soft">{html(note)}</p>' for note in data["notes"]),
        "<h2>Success against each disturbance</h2>",
        '<p class="soft small">Over multiples of the published range; everything is drawn '
        "uniformly within it, anew for each episode. Dashed: 95 % and 50 %. Where less than 5 % "
        "succeed, larger multiples are not played and count as 0.</p>",
        f'<div class="card"><div class="charts">{"".join(charts)}</div></div>',
        _sweep_table(data),
        "<h2>Other physics, without disturbances</h2>",
        _physics(data),
        "<h2>Smoothness</h2>",
        _smoothness(data, figures),
        "<h2>By clip, all together</h2>",
        _clips(data),
    ]
    if data["left_out"]:
        body.append(
            f'<p class="soft small">This task cannot have: {html(", ".join(data["left_out"]))}.</p>'
        )
    return page("What makes this policy fall", body)


def sweep_chart(title: str, points: Sequence[tuple[float, float]], about: str) -> str:
    """An SVG chart of success (0..1) over multiples of a range."""
    end = max(x for x, _ in points) or 1.0

    def px(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * x / end

    def py(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - y)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 14}" role="img" aria-label="{html(title)}">'
        f'<text x="{LEFT}" y="14" class="t">{html(title)}</text>'
    ]
    for share, kind in ((0.0, "g"), (0.5, "fail"), (0.95, "fail"), (1.0, "g")):
        parts.append(f'<path d="M{LEFT} {py(share):.1f}H{WIDTH - RIGHT}" class="{kind}"/>')
    for share, label in ((0.0, "0"), (0.5, "50"), (1.0, "100 %")):
        parts.append(f'<text x="{LEFT - 5}" y="{py(share) + 4:.1f}" class="a e">{label}</text>')
    for x, _ in points:
        label = f"{x:g}×" if x else "none"
        parts.append(f'<text x="{px(x):.1f}" y="{HEIGHT - 8}" class="a m">{label}</text>')
    line = "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in points)
    parts.append(f'<path d="M{line}" class="l" stroke="var(--blue)"/>')
    for x, y in points:
        colour = "var(--good)" if y >= 0.95 else "var(--warn)" if y >= 0.5 else "var(--bad)"
        parts.append(f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3.5" fill="{colour}"/>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT + 8}" class="a">{html(about)}</text></svg>')
    return "".join(parts)


def _tiles(data: Data) -> str:
    nominal = data["nominal"]
    shown = [
        {
            "value": _percent(nominal["success"]),
            "label": "undisturbed",
            "mood": "good" if nominal["success"] >= 0.95 else "bad",
        }
    ]
    at_one = {n: _at(each["points"], 1.0) for n, each in data["sweeps"].items()}
    known = {n: value for n, value in at_one.items() if value is not None}
    if known:
        worst = min(known, key=lambda name: known[name])
        shown.append(
            {
                "value": _percent(known[worst]),
                "label": f"at the published range of {data['sweeps'][worst]['title']}, the worst",
                "mood": "good" if known[worst] >= 0.95 else "bad",
            }
        )
    together = _at(data["together"], 1.0)
    if together is not None:
        shown.append(
            {
                "value": _percent(together),
                "label": "under all published ranges together",
                "mood": "good" if together >= 0.95 else "bad",
            }
        )
    return tiles(shown)


def _at(points: Sequence[Data], multiple: float) -> float | None:
    return next((p["success"] for p in points if p["multiple"] == multiple), None)


def _sweep_table(data: Data) -> str:
    multiples = [p["multiple"] for p in data["together"]]
    head = ["disturbance", "published range", *(f"{m:g}×" for m in multiples), "breaks<br>95 %",
            "breaks<br>50 %"]  # fmt: skip
    rows = []
    for each in data["sweeps"].values():
        cells = [_success(p) for p in each["points"]]
        broken = [each["breaks_at"][limit] for limit in ("0.95", "0.5")]
        rows.append(
            f'<tr><td>{html(each["title"])}</td><td class="text small soft">'
            f"{html(each['published_range'])} ({html(each['source'])})</td>{''.join(cells)}"
            + "".join(f"<td>{'–' if b is None else f'{b:g}×'}</td>" for b in broken)
            + "</tr>"
        )
    cells = [_success(p) for p in data["together"]]
    rows.append(
        f'<tr class="total"><td>all together</td><td></td>{"".join(cells)}<td></td><td></td></tr>'
    )
    return _table(head, rows)


def _success(point: Data) -> str:
    if not point["played"]:
        return '<td class="soft">not played</td>'
    share = point["success"]
    kind = "good" if share >= 0.95 else "bad" if share < 0.5 else ""
    return f'<td class="{kind}">{_percent(share)}</td>'


def _physics(data: Data) -> str:
    nominal = data["nominal"]["total"]
    rows = []
    for title, each in (("as it is judged", nominal), *data["physics"].items()):
        if each is None:
            rows.append(f'<tr><td>{html(title)}</td><td class="soft">cannot be played</td></tr>')
            continue
        error = each.get("key_body_anchor_mm")
        rows.append(
            f"<tr><td>{html(title)}</td>{_success({'played': True, 'success': each['success']})}"
            f"<td>{'–' if error is None else f'{error:.0f}'}</td>"
            f"<td>{each['normalised_return']:.3f}</td></tr>"
        )
    return _table(["physics", "success", "key body, anchor<br>(mm)", "return"], rows)


def _smoothness(data: Data, figures: Mapping[str, tuple[str, str]]) -> str:
    columns = [("undisturbed", data["nominal"])]
    columns += [(f"all {p['multiple']:g}×", p) for p in data["together"] if p["played"]]
    head = ["means over episodes", *(html(title) for title, _ in columns), "unit"]
    rows = []
    for name, (heading, unit) in figures.items():
        values = [p["total"].get("smoothness", {}).get(name) for _, p in columns]
        cells = "".join(f"<td>{'–' if v is None else f'{v:.3g}'}</td>" for v in values)
        rows.append(
            f'<tr><td>{html(heading)}</td>{cells}<td class="text soft">{html(unit)}</td></tr>'
        )
    return _table(head, rows)


def _clips(data: Data) -> str:
    points = [data["nominal"], *(p for p in data["together"] if p["played"])]
    head = ["clip", "undisturbed", *(f"all {p['multiple']:g}×" for p in points[1:])]
    rows = []
    for number, name in enumerate(data["clips"]):
        cells = "".join(
            _success({"played": True, "success": p["clips"][number]["success"]}) for p in points
        )
        rows.append(f"<tr><td>{html(name, 60)}</td>{cells}</tr>")
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f'<div class="card scroll"><table><tr>{titles}</tr>{"".join(rows)}</table></div>'


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
