"""``mimic robustness``: what makes a policy fall, and what first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mimic.commands.output import make_console, progress_bar, say

if TYPE_CHECKING:
    from rich.table import Table

    from mimic.evaluation.robustness import RobustnessResult

JSON_FILE, PAGE = "robustness.json", "index.html"


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Sweep every disturbance, one at a time and all together: friction, masses, motors, joints,
    delays, noise, pushes, rough ground, other physics.

    Multiples are of published ranges. Names what breaks first: the smallest multiple at which
    success falls below 95 % and below 50 %. With --out what is finished is kept, and the same
    command goes on where it was interrupted.
    """

    policy: tyro.conf.Positional[Path]
    """An .onnx file, a run directory, or a checkpoint."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them, manifests, packs; by default the clips the policy
    comes with."""
    out: Path | None = None
    """Write robustness.json and index.html, with charts, into this folder."""
    disturbances: tuple[str, ...] = ()
    """friction, mass, com, motor_strength, gains, joint_offset, encoder_bias, action_delay,
    observation_delay, observation_noise, push, start, terrain; all that the task can have unless
    given."""
    multiples: tuple[float, ...] = ()
    """Of the published ranges; 0.5, 1, 1.5, 2, 3 and 4 unless given."""
    episodes: int | None = None
    """Episodes of each clip at each point; 20 unless given, 4 with --quick."""
    quick: bool = False
    """A look of a minute or so: multiples 1 and 2, 4 episodes, two other physics."""
    other_engines: tuple[str, ...] = ()
    """Other physics engines to play the clips on once: mjx, warp. On a CPU they take minutes."""
    workers: int | None = None
    """Processes; as many as there are processors unless given. Figures do not depend on it."""
    robot: str | None = None
    """Robot name, or a description file (.toml); by default the one that the policy names."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    device: str = "auto"
    """Where physics and environment are computed: auto, cpu, cuda or cuda:N."""
    seed: int = 0
    """Seed of everything that is drawn."""

    def run(self) -> int:
        from mimic.evaluation.jobs import processors
        from mimic.evaluation.robustness import DISTURBANCES, sweep_robustness
        from mimic.evaluation.robustness.sweep import (
            MULTIPLES,
            PHYSICS,
            QUICK_MULTIPLES,
            QUICK_PHYSICS,
            Physics,
        )
        from mimic.evaluation.smoothness import FIGURES
        from mimic_base.files import atomic_write_text, check_folder_writable

        console = make_console()
        if self.out is not None:
            check_folder_writable(self.out)
        others = [
            Physics(title=f"engine {name}", engine=name, episodes=1) for name in self.other_engines
        ]
        with progress_bar("points") as progress:
            result = sweep_robustness(
                self.policy, self.motion, disturbances=self.disturbances or tuple(DISTURBANCES),
                multiples=self.multiples or (QUICK_MULTIPLES if self.quick else MULTIPLES),
                physics=(*(QUICK_PHYSICS if self.quick else PHYSICS), *others),
                episodes=self.episodes if self.episodes is not None else 4 if self.quick else 20,
                workers=processors() if self.workers is None else self.workers, robot=self.robot,
                engine=self.engine, device=self.device, seed=self.seed, folder=self.out,
                progress=progress,
            )  # fmt: skip
        say(
            console,
            f"{result.policy}: task {result.task}, robot {result.robot}, engine {result.engine}, "
            f"seed {result.seed}, {result.episodes} episodes of each of {len(result.clips)} clips",
        )
        for note in result.notes:
            say(console, f"note: {note}", style="yellow")
        console.print(sweep_table(result))
        console.print(physics_table(result))
        console.print(smoothness_of(result))
        for line in result.verdict():
            say(console, line)
        if self.out is not None:
            from mimic.viewer.robustness_report import render_robustness

            data = result.to_dict()
            text = json.dumps(data, indent=1, allow_nan=False)
            atomic_write_text(self.out / JSON_FILE, text + "\n")
            figures = {name: (each.heading, each.unit) for name, each in FIGURES.items()}
            atomic_write_text(self.out / PAGE, render_robustness(data, figures))
            say(console, str(self.out / PAGE))
        return 0


def sweep_table(result: RobustnessResult) -> Table:
    """Success of every disturbance at every multiple."""
    from rich.table import Table

    from mimic.evaluation.robustness import DISTURBANCES

    table = Table(title="success over multiples of the published ranges", title_style="")
    table.add_column("disturbance")
    table.add_column("published range", overflow="fold")
    for point in result.together:
        table.add_column(f"{point.multiple:g}x", justify="right")
    for name, points in result.sweeps.items():
        each = DISTURBANCES[name]
        cells = [f"{100 * p.success:.3g} %" if p.played else "-" for p in points]
        table.add_row(name, f"{each.span(1.0)} ({each.source})", *cells)
    table.add_section()
    cells = [f"{100 * p.success:.3g} %" if p.played else "-" for p in result.together]
    table.add_row("all together", f"undisturbed {100 * result.nominal.success:.3g} %", *cells)
    return table


def physics_table(result: RobustnessResult) -> Table:
    """Success on other physics."""
    from rich.table import Table

    table = Table(title="other physics, without disturbances", title_style="")
    table.add_column("physics")
    for heading in ("success", "key body, anchor (mm)", "return"):
        table.add_column(heading, justify="right")
    for title, each in (("as it is judged", result.nominal.total), *result.physics.items()):
        if each is None:
            table.add_row(title, "-", "-", "-")
            continue
        error = each.errors.get("key_body_anchor_mm")
        table.add_row(
            title, f"{100 * each.success:.3g} %", "-" if error is None else f"{error:.0f}",
            f"{each.normalised_return:.3f}",
        )  # fmt: skip
    return table


def smoothness_of(result: RobustnessResult) -> Table:
    """Figures of smoothness, undisturbed and under all disturbances."""
    from dataclasses import replace

    from mimic.evaluation.result import smoothness_table

    rows = [replace(result.nominal.total, name="undisturbed")]
    rows += [replace(p.total, name=f"all {p.multiple:g}x") for p in result.together if p.played]
    return smoothness_table(rows)
