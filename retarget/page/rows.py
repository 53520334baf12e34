"""The curves of a clip as rows of lines: what the report draws on paper and the viewer live."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array
from retarget.page.curves import ClipCurves
from retarget.projection import DynamicsSettings, Feasibility

LEFT, RIGHT, OTHER = "#3569cc", "#d24d40", "#4b5563"
MOST_OUTSIDE = 0.3
"""m of the zero-moment point that are drawn."""


@dataclass(frozen=True)
class Line:
    """Values [T] in the row's unit; ``base`` is where a filled line's area begins."""

    label: str
    colour: str
    values: Array
    base: float | None = None


@dataclass(frozen=True)
class Row:
    """One set of axes over time.

    Attributes:
        title, unit: what is drawn. least: the range is not less than this, or nothing would be
            drawn large. limit: a level to draw. ticks: (level, name) where levels are not numbers.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    least: tuple[float, float]
    limit: float | None = None
    ticks: tuple[tuple[float, str], ...] = ()

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest level to show, with a little air."""
        values = np.concatenate([line.values for line in self.lines])
        low, high = float(values.min()), float(values.max())
        air = 0.05 * (high - low)
        return min(low - air, self.least[0]), max(high + air, self.least[1])


def clip_rows(curves: ClipCurves) -> list[Row]:
    """Contacts, soles, joint speeds, the root, limb errors (with the source) and the dynamics."""
    sides = (("left", LEFT), ("right", RIGHT))

    def both(values: Array) -> tuple[Line, ...]:
        return tuple(Line(name, colour, values[:, k]) for k, (name, colour) in enumerate(sides))

    contact = tuple(
        Line(name, colour, level + curves.contact[:, k], base=level)
        for k, ((name, colour), level) in enumerate(zip(sides, (1.1, 0.0), strict=True))
    )
    rows = [
        Row("source stands", "", contact, (0.0, 2.1), ticks=((0.5, "right"), (1.6, "left"))),
        Row("sole height", "cm", both(100 * curves.sole_height), (-1.0, 5.0)),
        Row("sole speed", "m/s", both(curves.sole_speed), (0.0, 0.5)),
        Row(
            "fastest joint",
            "% of limit",
            (Line("joint", OTHER, 100 * curves.joint_speed),),
            (0.0, 105.0),
            limit=100.0,
        ),
        Row("base height", "m", (Line("base", OTHER, curves.root[:, 2]),), (0.0, 0.2)),
    ]
    if curves.limb_error is not None:
        limbs = Line("limbs", OTHER, curves.limb_error)
        rows.append(Row("limb error", "deg", (limbs,), (0.0, 2.0)))
    if curves.dynamics is not None:
        rows += dynamic_rows(curves.dynamics)
    return rows


def dynamic_rows(found: Feasibility) -> list[Row]:
    """Missing force and torque, joint torque, zero-moment point (0 inside and in flight)."""
    limit = 100 * DynamicsSettings().residual
    # A third of a metre's torque counts as much as the force, as in the check.
    missing = (
        Line("force", OTHER, 100 * found.residual),
        Line("torque, x 3 / m", RIGHT, 300 * found.moment),
    )
    torque = (Line("joint", OTHER, 100 * found.torque),)
    # A vertical force near zero has its zero-moment point anywhere.
    outside = 100 * np.clip(np.nan_to_num(-found.zmp_margin, nan=0.0), 0.0, MOST_OUTSIDE)
    return [
        Row("missing", "% of weight", missing, (0.0, 1.5 * limit), limit=limit),
        Row("joint torque", "% of limit", torque, (0.0, 105.0), limit=100.0),
        Row("ZMP outside", "cm", (Line("ZMP", OTHER, outside),), (0.0, 5.0)),
    ]
