"""What is printed of checks and projections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from mimic_base.text import markup
from motions.robot.dynamics.feasibility import Feasibility
from retarget.projection.acceptance import State
from retarget.projection.projection import Projection
from robots.robot import Robot


def check_table() -> Table:
    """An empty table of checks, to be filled by `add_check`."""
    table = Table(pad_edge=False, box=None)
    table.add_column("motion")
    for heading in ("feasible", "missing force", "torque", "ZMP outside", "flight"):
        table.add_column(heading, justify="right")
    return table


def add_check(table: Table, path: Path, found: dict[str, Any]) -> None:
    """A row of the figures of `Feasibility.summary`."""
    outside, worst = found["zmp_outside_rate"], found["zmp_worst_m"]
    table.add_row(
        markup(path.name),
        f"{100 * found['feasible_rate']:.0f} %",
        f"{100 * found['residual_mean']:.1f} %",
        f"{100 * found['torque_max']:.0f} %",
        "–" if outside is None else f"{100 * outside:.0f} % ({max(0.0, -100 * worst):.0f} cm)",
        f"{100 * found['flight_rate']:.0f} %",
    )


def check_record(result: Feasibility, robot: Robot) -> dict[str, Any]:
    """Figures and curves for a JSON file; what is not a number becomes null."""
    curves = ("residual", "moment", "torque", "zmp_margin", "friction", "feasible")
    return {
        "fps": result.fps,
        **result.summary(robot.joint_names),
        "curves": {
            name: [None if v != v else round(float(v), 5) for v in getattr(result, name)]
            for name in curves
        },
    }


def projection_table(result: Projection, robot: Robot) -> Table:
    """Before and after, line by line."""
    table = Table(pad_edge=False, box=None)
    table.add_column("measure")
    for heading in ("before", "after", ""):
        table.add_column(heading, justify="right")
    columns = [_figures(state, robot) for state in (result.before, result.after)]
    for (name, unit, digits), old, new in zip(_LINES, *columns, strict=True):
        texts = ["–" if value is None else f"{value:.{digits}f}" for value in (old, new)]
        table.add_row(name, *texts, unit)
    table.add_row("largest shift of the base", "", f"{100 * result.shift.max():.1f}", "cm")
    table.add_row("largest change of a joint", "", f"{result.joint_change:.2f}", "rad")
    return table


_LINES = (
    ("feasible frames", "%", 1),
    ("violation, mean", "% weight", 2),
    ("missing force, mean", "% weight", 2),
    ("missing torque, mean", "% weight m", 2),
    ("ZMP outside the polygon", "% frames", 1),
    ("ZMP outside at worst", "cm", 1),
    ("largest joint torque", "% limit", 0),
    ("duration", "s", 2),
    ("skate, mean", "cm/s", 2),
    ("deepest point under ground", "mm", 1),
    ("self-collision > 1 cm", "% frames", 1),
    ("joint jerk, mean", "rad/s^3", 0),
)


def _figures(state: State, robot: Robot) -> list[float | None]:
    found, quality = state.dynamics.summary(robot.joint_names), state.quality
    outside, worst = found["zmp_outside_rate"], found["zmp_worst_m"]
    stands = quality.get("source_contact", quality["foot"])
    skate, jerk = stands.get("skate_mean_mps"), quality["smooth"]["mean_abs_jerk"]
    return [
        100 * found["feasible_rate"],
        100 * state.violation,
        100 * found["residual_mean"],
        100 * float(state.dynamics.moment.mean()),
        None if outside is None else 100 * outside,
        None if worst is None else max(0.0, -100 * worst),
        100 * found["torque_max"],
        state.motion.duration,
        None if skate is None else 100 * skate,
        1000 * quality["any_geom_ground_pen"]["max_m"],
        100 * quality["self_collision"]["rate_deep"],
        jerk,
    ]
