"""Draw the learning curve of one run, or of runs that continue each other.

python scripts/plot_runs.py runs/tracking/RUN [NEXT_RUN...] --out docs/images/learning_curve.png
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import tyro

from mimic.errors import MimicError
from motions.cli import exit_on_user_error
from motions.files import atomic_path


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
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def main() -> int:
    args = tyro.cli(Arguments, description=__doc__)
    samples_before, seconds_before = 0.0, 0.0
    figure, axes = plt.subplots(2, 1, figsize=(8, 6), sharex=True)
    for index, run in enumerate(args.runs):
        rows = read_progress(run)
        x = [(samples_before + row["samples"]) / 1e6 for row in rows]
        axes[0].plot(x, [row["reward"] for row in rows], color=f"C{index}", label=run.name)
        axes[1].plot(x, [row["episode_length_s"] for row in rows], color=f"C{index}")
        samples_before += rows[-1]["samples"]
        seconds_before += rows[-1]["wall_s"]
    axes[0].set_ylabel("reward per step (of 5)")
    axes[0].set_title(f"{samples_before / 1e6:.1f} M samples, {seconds_before / 60:.0f} min")
    axes[0].legend(fontsize=8)
    axes[1].set_ylabel("mean episode (s), training noise")
    axes[1].set_xlabel("samples (millions)")
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
