"""What is printed for a clip: what was detected, and the quality table against its goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from motions import HumanMotion


@dataclass(frozen=True)
class Goal:
    """One line of the table: where the figure is, how it is shown, and its upper goal."""

    title: str
    keys: tuple[str, ...]
    scale: float
    unit: str
    most: float | None
    """None: the figure is told, not judged."""
    digits: int = 1
    meaning: str = ""
    """What exactly is measured, where the title leaves a doubt."""

    @property
    def at_most(self) -> str:
        """The goal in words."""
        if self.most is None:
            return "–"
        return f"≤ {self.most:g}" if self.most else "0"

    def met(self, value: float) -> bool:
        """Whether a printed value meets the goal; without a goal it does."""
        return self.most is None or value <= self.most + 0.5 * 10.0**-self.digits


GOALS: tuple[Goal, ...] = (
    Goal(
        "any geometry > 1 cm under ground", ("any_geom_ground_pen", "rate_1cm"), 100, "% frames", 0
    ),
    Goal("deepest point under ground", ("any_geom_ground_pen", "max_m"), 1000, "mm", 3),
    Goal(
        "skate of planted feet, mean",
        ("source_planted", "skate_mean_mps"),
        100,
        "cm/s",
        1.5,
        2,
        "Foot sliding: horizontal speed of the sole's lowest point, over frames in which the "
        "person's foot stands with its ball at rest (slower than 0.3 m/s for a leg of 1 m). These "
        "are nearly the stance masks of the benchmark's evaluator.",
    ),
    Goal(
        "stance skate, mean",
        ("source_contact", "skate_mean_mps"),
        100,
        "cm/s",
        1.5,
        2,
        "The same over all frames in which any part of the person's foot touches the ground: feet "
        "that roll, pivot or are dragged count too, and slide as the person's own do.",
    ),
    Goal(
        "person's own skate, same frames",
        ("source_contact", "source_skate_mean_mps"),
        100,
        "cm/s",
        None,
        2,
        "Horizontal speed of the balls of the person's feet, at the robot's size, over the frames "
        "of the stance skate.",
    ),
    Goal("stance float > 3 cm", ("source_contact", "float_rate_3cm"), 100, "% samples", 0.3, 2),
    Goal(
        "no foot near the ground", ("foot", "float_rate"), 100, "% frames", None, 1,
        "Frames in which both of the robot's feet are more than 3 cm up: jumps, runs, lying, but "
        "also a capture that hovers.",
    ),  # fmt: skip
    Goal("self-collision > 1 cm", ("self_collision", "rate_deep"), 100, "% frames", 0),
    Goal("joint jumps > 0.5 rad per frame", ("jumps", "count"), 1, "", 0, 0),
    Goal(
        "over a joint's own speed limit",
        ("velocity", "over_own_limit_rate"),
        100,
        "% samples",
        0,
        2,
    ),
    Goal("at a joint limit", ("near_limit_sample_rate",), 100, "% samples", 0.3, 2),
    Goal("limb direction error, mean", ("fidelity", "limb_dir_err_mean_deg"), 1, "deg", 1.2, 2),
    # Where the robot's build decides as much as the retargeting does, a goal would say little.
    Goal("foot orientation error, mean", ("fidelity", "foot_deg"), 1, "deg", None),
    Goal("hand orientation error, mean", ("fidelity", "hand_deg"), 1, "deg", None),
    Goal(
        "feet off the scaled person's, to the root", ("fidelity", "foot_root_m"), 1000, "mm", None
    ),
    Goal(
        "hands off the scaled person's, to the root", ("fidelity", "hand_root_m"), 1000, "mm", None
    ),
    Goal("joint speed, max", ("velocity", "max"), 1, "rad/s", 20),
    Goal("joint jerk, mean", ("smooth", "mean_abs_jerk"), 1, "rad/s^3", 250, 0),
    Goal("root jerk, mean", ("smooth", "root_jerk"), 1, "m/s^3", 120, 0),
)

DYNAMIC_GOALS: tuple[Goal, ...] = (
    Goal("infeasible: contacts or torques", ("dynamics", "infeasible_rate"), 100, "% frames", 5),
    Goal("missing contact force, mean", ("dynamics", "residual_mean"), 100, "% weight", 3, 2),
    Goal("largest joint torque", ("dynamics", "torque_max"), 100, "% limit", 100, 0),
    Goal("ZMP > 5 cm outside the polygon", ("dynamics", "zmp_far_rate"), 100, "% frames", 5),
)
"""Goals of a report's pages, which check the dynamics; see `retarget.projection`."""


def figure(quality: Mapping[str, Any], goal: Goal) -> float | None:
    """The figure of a goal in its printed unit; None when it was not measured."""
    value: Any = quality
    for key in goal.keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value is None else float(value) * goal.scale


def quality_table(quality: Mapping[str, Any], title: str = "") -> Table:
    """Compact table of the figures against their goals."""
    table = Table(title=title or None, title_justify="left", pad_edge=False, box=None)
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("")
    for goal in GOALS:
        value = figure(quality, goal)
        if value is None:
            table.add_row(goal.title, "–", goal.at_most, goal.unit)
            continue
        text = f"{value:.{goal.digits}f}"
        text = text if goal.met(value) else f"[yellow]{text} ![/yellow]"
        table.add_row(goal.title, text, goal.at_most, goal.unit)
    if figure(quality, GOALS[2]) is not None:
        table.caption = "planted: stands with its ball at rest; stance: any part of it touches"
        table.caption_justify = "left"
    return table


def meanings(goals: Sequence[Goal] = GOALS) -> list[tuple[str, str]]:
    """(title, definition) of the figures whose titles leave a doubt."""
    return [(goal.title, goal.meaning) for goal in goals if goal.meaning]


def detection_line(human: HumanMotion) -> str:
    """One line of what was found out about the source."""
    report = human.report
    parts = [f"{human.num_frames} frames at {human.fps:g} fps"]
    if "skeleton" in report:
        parts.append(f"{report['skeleton']} skeleton ({report.get('format', '?')})")
    if "unit" in report:
        name = report.get("unit_name")
        parts.append(f"unit {report['unit']:.5g} m" + (f" ({name})" if name else ""))
    for key, text in (("up", "up {}"), ("facing_deg", "facing {:.0f} deg")):
        if report.get(key) is not None:
            parts.append(text.format(report[key]))
    parts.append(f"height {human.height:.2f} m")
    dropped = report.get("dropped_frames")
    if dropped:
        parts.append(f"{dropped} frames dropped ({report.get('dropped_why') or 'as told'})")
    return ", ".join(parts)
