"""Small line charts and timelines as SVG text, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
MAX_POINTS = 400
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 26


@dataclass(frozen=True)
class Line:
    """A curve ``y`` [T] over the chart's ``x`` [T]."""

    label: str
    y: ArrayLike
    colour: str
    dashed: bool = False
    area: bool = False


def line_chart(
    title: str,
    x: ArrayLike,
    lines: Sequence[Line],
    *,
    unit: str,
    width: int = 380,
    height: int = 190,
    from_zero: bool = False,
    mark_at: float | None = None,
) -> str:
    """An SVG chart over time (s). ``mark_at`` draws a vertical line, where a clip failed."""
    time = np.asarray(x, dtype=np.float64)
    curves = [np.asarray(line.y, dtype=np.float64) for line in lines]
    finite = np.concatenate([c[np.isfinite(c)] for c in curves])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if from_zero:
        low = min(low, 0.0)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    end = float(time[-1]) if len(time) and time[-1] > 0 else 1.0
    across, up = width - LEFT - RIGHT, height - TOP - BOTTOM

    def px(t: Array | float) -> Any:
        return LEFT + across * np.asarray(t) / end

    def py(value: Array | float) -> Any:
        return TOP + up * (1.0 - (np.asarray(value) - low) / (high - low))

    heading = f'{escape(title)} <tspan class="u">({escape(unit)})</tspan>'
    parts = [_open(width, height, title), _text(LEFT, 14, heading, "t")]
    for tick in ticks:
        y = float(py(tick))
        parts.append(f'<path d="M{LEFT} {y:.1f}H{width - RIGHT}" class="g"/>')
        parts.append(_text(LEFT - 6, y + 3.5, _number(tick, ticks), "a e"))
    parts += _time_axis(end, height, px)
    if mark_at is not None:
        at = float(px(min(mark_at, end)))
        parts.append(f'<path d="M{at:.1f} {TOP}V{height - BOTTOM}" class="fail"/>')
    for line, curve in zip(lines, curves, strict=True):
        keep = _thin(len(curve))
        points = [
            f"{a:.1f} {b:.1f}"
            for a, b in zip(px(time[: len(curve)][keep]), py(curve[keep]), strict=True)
            if math.isfinite(b)
        ]
        if not points:
            continue
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        path = "L".join(points)
        if line.area:
            floor = float(py(max(low, 0.0)))
            first, last = points[0].split()[0], points[-1].split()[0]
            parts.append(
                f'<path d="M{first} {floor:.1f}L{path}L{last} {floor:.1f}Z" '
                f'fill="{line.colour}" opacity="0.14"/>'
            )
        parts.append(f'<path d="M{path}" class="l" stroke="{line.colour}"{dash}/>')
    parts += _legend(lines, width)
    parts.append("</svg>")
    return "".join(parts)


def timeline(
    title: str,
    x: ArrayLike,
    rows: Sequence[tuple[str, ArrayLike, str]],
    *,
    width: int = 380,
    row_height: int = 30,
) -> str:
    """Bars of the times (s) at which something holds: rows of (label, bool [T], colour)."""
    time = np.asarray(x, dtype=np.float64)
    end = float(time[-1]) if len(time) and time[-1] > 0 else 1.0
    across = width - LEFT - RIGHT
    height = TOP + len(rows) * row_height + BOTTOM

    def px(t: Array | float) -> Any:
        return LEFT + across * np.asarray(t) / end

    parts = [_open(width, height, title), _text(LEFT, 14, escape(title), "t")]
    for row, (label, holds, colour) in enumerate(rows):
        y = TOP + row * row_height
        parts.append(_text(LEFT - 6, y + row_height / 2 + 3, escape(label), "a e"))
        parts.append(_bar(LEFT, y + 5, across, row_height - 10, 'class="r"'))
        for start, stop in spans(np.asarray(holds, dtype=bool)):
            a, b = float(px(time[start])), float(px(time[min(stop, len(time) - 1)]))
            parts.append(_bar(a, y + 5, max(b - a, 0.8), row_height - 10, f'fill="{colour}"'))
    parts += _time_axis(end, height, px)
    parts.append("</svg>")
    return "".join(parts)


def spans(holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches [start, stop) in which ``holds`` [T] is true."""
    edges = np.diff(np.concatenate([[0], holds.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(),
                    strict=True))  # fmt: skip


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that cover [low, high], about ``count`` steps."""
    if not high > low:
        high = low + max(abs(low) * 0.1, 1e-3)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [step * k for k in range(first, last + 1)]


def _open(width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title, quote=True)}">'
    )


def _text(x: float, y: float, content: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{content}</text>'


def _bar(x: float, y: float, width: float, height: float, look: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" {look}/>'


def _time_axis(end: float, height: int, px: Any) -> list[str]:
    # The last round number may lie beyond the end: it is left out.
    ticks = [tick for tick in nice_ticks(0.0, end, 5) if tick <= end * 1.001]
    labels = [f"{tick:g}" for tick in ticks]
    labels[-1] += " s"
    return [
        _text(float(px(tick)), height - 9, label, "a m")
        for tick, label in zip(ticks, labels, strict=True)
    ]


def _legend(lines: Sequence[Line], width: int) -> list[str]:
    if len(lines) < 2:
        return []
    parts = []
    x = float(width - RIGHT)
    for line in reversed(lines):
        x -= 6.1 * len(line.label)
        parts.append(_text(x, 14, escape(line.label), "a"))
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path d="M{x - 20:.0f} 10.5h16" class="l" stroke="{line.colour}"{dash}/>')
        x -= 30
    return parts


def _thin(count: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).astype(np.intp))


def _number(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    # Steps of 0.25 need one digit more than their power of ten.
    if step > 0 and abs(round(step, digits) - step) > 1e-9:
        digits += 1
    return f"{value + 0.0:.{digits}f}"
