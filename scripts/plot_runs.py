"""Draw the learning curve of one run, or of runs that continue each other.

python scripts/plot_runs.py runs/tracking/RUN [NEXT_RUN...] --out docs/images/learning_curve.png
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib

from mimic_base.options import parse

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import tyro

from mimic.evaluation.judge import JUDGEMENTS
from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import MimicError
from mimic_base.files import atomic_path


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Draw reward and episode length against samples."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories, in the order they were trained."""
    out: Path = Path("learning_curve.png")
    """PNG to write."""


def read_progress(run: Path) -> list[dict[str, Any]]:
    """One entry an iteration, as the runner wrote them."""
    path = run / "progress.jsonl"
    if not path.is_file():
        raise MimicError(f"{run}: no progress.jsonl; this is not a run directory of train.py")
    return read_lines(path)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def main() -> int:
    args = parse(Arguments, None, prog="scripts/plot_runs.py", description=__doc__)
    samples_before, seconds_before = 0.0, 0.0
    judged = any((run / JUDGEMENTS).is_file() for run in args.runs)
    rows_of_plots = 3 if judged else 2
    figure, axes = plt.subplots(rows_of_plots, 1, figsize=(8, 3 * rows_of_plots), sharex=True)
    for index, run in enumerate(args.runs):
        rows = read_progress(run)
        x = [(samples_before + row["samples"]) / 1e6 for row in rows]
        axes[0].plot(x, [row["reward"] for row in rows], color=f"C{index}", label=run.name)
        axes[1].plot(x, [row["episode_length_s"] for row in rows], color=f"C{index}")
        if (run / JUDGEMENTS).is_file():
            marks = read_lines(run / JUDGEMENTS)
            x = [(samples_before + mark["samples"]) / 1e6 for mark in marks]
            for name, style in (("success", "o-"), ("survived_share", ".--")):
                values = [100 * mark[name] for mark in marks]
                label = name.replace("_", " ") if index == 0 else None
                axes[2].plot(x, values, style, color=f"C{index}", label=label)
        samples_before += rows[-1]["samples"]
        seconds_before += rows[-1]["wall_s"]
    axes[0].set_ylabel("reward per step (of 5)")
    axes[0].set_title(f"{samples_before / 1e6:.1f} M samples, {seconds_before / 60:.0f} min")
    axes[0].legend(fontsize=8)
    axes[1].set_ylabel("mean episode (s), training noise")
    if judged:
        axes[2].set_ylabel("evaluated from the first frame (%)")
        axes[2].legend(fontsize=8)
    axes[-1].set_xlabel("samples (millions)")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    with atomic_path(args.out) as path:
        figure.savefig(path, dpi=110, format="png")
    plt.close(figure)
    print(f"{samples_before:.0f} samples, {seconds_before:.0f} s; wrote {args.out}")
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
