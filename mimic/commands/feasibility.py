"""``mimic motions feasibility``: how well references can be followed, by a learned model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mimic.commands.output import make_console, progress_bar, say

if TYPE_CHECKING:
    from rich.table import Table

    from mimic.evaluation.feasibility import ClipFeasibility


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """Score how well references can be followed, window by window, in the model of the robot that
    a run of `mimic train --algorithm world-model` has learnt.

    In each window the robot begins in the reference's own state and joint targets are sought that
    keep it there, by the gradient through the model, which physics corrects; what is left of the
    error is what it cannot help. 1 is followed, 0 is not.
    """

    motion: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motions (.npz), folders, manifests or packs of them."""
    model: Path
    """Run directory or checkpoint of the world-model trainer."""
    robot: str | None = None
    """Robot name, or a description file (.toml), when it is not the one the run names."""
    window: float = 0.5
    """Seconds of a window; a new one begins every half window."""
    gradient_steps: int = 60
    """Gradient steps on a window's joint targets."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64). What was
    found is played in it, which corrects the model; none: the model is believed."""
    json: Path | None = None
    """Also write everything into this file, for `mimic motions curate --feasibility`."""

    def run(self) -> int:
        from mimic.evaluation.feasibility import SCHEMA, ShootingConfig, feasibility
        from mimic.learning.learned_model import load_model
        from mimic_base.files import atomic_path
        from motions.robot.dataset import find_motion_files

        console = make_console()
        config = ShootingConfig(window_s=self.window, iterations=self.gradient_steps)
        engine = "" if self.engine == "none" else self.engine
        files = find_motion_files(self.motion)
        # The place of the result is tried before the work, not after.
        with nullcontext() if self.json is None else atomic_path(self.json) as output:
            model = load_model(self.model, self.robot)
            with progress_bar("shooting") as progress:
                found = feasibility(model, files, config, engine=engine, progress=progress)
            if output is not None:
                content = {
                    "schema": SCHEMA,
                    "model": model.about(),
                    "shooting": vars(config),
                    "engine": engine or None,
                    "clips": [each.to_dict() for each in found],
                }
                text = json.dumps(content, indent=1, allow_nan=False)
                output.write_text(text + "\n", encoding="utf-8")
        if model.familiarity is None:
            say(
                console,
                f"note: {model.source} holds no replayed transitions: that the model is asked "
                "about what it has not seen is not told",
                style="yellow",
            )
        console.print(table(found))
        for clip in found:
            moments = ", ".join(
                f"{each.time_s:.2f} s ({each.score:.2f}, {each.error_mm:.0f} mm)"
                for each in clip.worst
            )
            say(console, f"{clip.name}: hardest at {moments}")
        if self.json is not None:
            say(console, str(self.json))
        return 0


def table(clips: list[ClipFeasibility]) -> Table:
    """One line a clip."""
    from rich.table import Table

    from mimic_base.text import markup

    grid = Table()
    grid.add_column("clip", overflow="fold")
    for heading in ("length (s)", "score", "worst window", "at (s)", "error (mm)",
                    "anchor turned (rad)", "torque / limit", "unfamiliar"):  # fmt: skip
        grid.add_column(heading, justify="right")
    for clip in clips:
        windows = clip.windows
        worst = min(windows, key=lambda each: each.score)
        count = len(windows)
        known = [each.unfamiliar for each in windows if each.unfamiliar is not None]
        grid.add_row(
            markup(clip.name), f"{clip.seconds:.2f}", f"{clip.score:.2f}", f"{worst.score:.2f}",
            f"{worst.from_s:.2f}", f"{sum(each.error_mm for each in windows) / count:.0f}",
            f"{sum(each.turn_rad for each in windows) / count:.3f}",
            f"{max(each.torque for each in windows):.2f}",
            f"{sum(known) / len(known):.2f}" if known else "-",
        )  # fmt: skip
    return grid
