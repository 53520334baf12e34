"""The comparison of methods as a table, as Markdown, as JSON and as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimic.benchmark.methods import METHODS

COLUMNS = (
    ("success %", "success", 100.0, 0), ("return", "normalised_return", 1.0, 3),
    ("MPJPE-L mm", "mpjpe_l_mm", 1.0, 0), ("survived s", "survived_s", 1.0, 1),
    ("jerk rad/s³", "joint_jerk_rms", 1.0, 0), ("torque rate N m/s", "torque_rate_rms", 1.0, 0),
    ("gait distance", "gait_distance", 1.0, 2), ("samples M", "samples", 1e-6, 2),
    ("minutes", "minutes", 1.0, 1),
    ("M to 99 %", "samples_to_99", 1e-6, 2), ("minutes to 99 %", "minutes_to_99", 1.0, 1),
)  # fmt: skip
"""Heading, key of a result, factor, digits."""


def rows_of(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Cells of the table: one row a run, in the order of the results."""
    rows = []
    for each in results:
        cells = [str(each["method"]), str(each["seed"])]
        for _, key, factor, digits in COLUMNS:
            value = each.get(key)
            cells.append("–" if value is None else f"{factor * value:.{digits}f}")
        rows.append(cells)
    return rows


def markdown(settings: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """The whole comparison as a page."""
    heads = ["method", "seed", *(heading for heading, *_ in COLUMNS)]
    text = [
        "# Methods of motion imitation, compared",
        "",
        f"Budget of each run: {settings['budget']}; preset {settings['preset']}; clips: "
        f"{', '.join(settings['clips'])}. Judged by noisy starts from the first frame, "
        f"{settings['episodes']} episodes a clip, deterministic; the return counts the six kernels "
        "of task tracking, whatever was trained on. Gait distance: of tasks whose clips are a "
        "style, to the nearest window of ten control steps, in units of how much the clips' "
        "frames vary (mimic.evaluation.gait). Minutes are of CPU time (of the clock on a "
        "GPU), without judgements.",
        "",
        "| " + " | ".join(heads) + " |",
        "|---|---:|" + "---:|" * len(COLUMNS),
        *("| " + " | ".join(cells) + " |" for cells in rows_of(results)),
        "",
        "![Learning curves](curves.png)",
        "",
        *(
            f"- `{name}`: {METHODS[name].about}" if name in METHODS else f"- `{name}`"
            for name in dict.fromkeys(each["method"] for each in results)
        ),
    ]
    return "\n".join(text) + "\n"


def draw(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Success and survived share over samples and minutes, a colour a method, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 7), sharey="row", sharex="col")
    colours: dict[str, str] = {}
    for each in results:
        method = each["method"]
        label = None if method in colours else method
        colour = colours.setdefault(method, f"C{len(colours) % 10}")
        style = "-" if len(colours) <= 10 else "--"
        for row, key in enumerate(("success", "survived_share")):
            for column, (along, factor) in enumerate((("samples", 1e-6), ("minutes", 1.0))):
                x = [factor * mark[along] for mark in each["curve"]]
                y = [100.0 * mark[key] for mark in each["curve"]]
                axes[row][column].plot(
                    x,
                    y,
                    style,
                    marker=".",
                    color=colour,
                    label=label if row + column == 0 else None,
                )
    axes[0][0].set_ylabel("episodes that finish (%)")
    axes[1][0].set_ylabel("survived share of the clips (%)")
    axes[1][0].set_xlabel("samples (millions)")
    axes[1][1].set_xlabel("minutes of CPU time")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    if results:
        axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)
