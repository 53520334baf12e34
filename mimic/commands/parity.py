"""``mimic parity``: which boundary differs between engines under the same actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from mimic.commands.output import make_console, say


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Play the same actions through several engines and name the boundary where they differ."""

    older: ClassVar[Mapping[str, str]] = {"--reference": "--reference-engine"}

    policy: tyro.conf.Positional[Path]
    """An .onnx file, a run directory, or a checkpoint."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them; by default the clips the policy comes with."""
    engines: tuple[str, ...] = ("warp", "mjx")
    """Engines to compare with the reference; options follow a colon (warp:nconmax=64)."""
    reference: Annotated[str, tyro.conf.arg(name="reference-engine")] = "mujoco"
    """The engine the others are compared with."""
    device: str = "auto"
    """Where physics is computed, by engines that can choose: auto, cpu, cuda or cuda:N."""
    robot: str | None = None
    """Robot name, or a description file (.toml), when it is not the one the policy names."""
    episodes: int = 2
    """Episodes of each clip, or of a task without clips."""
    seconds: float = 3.0
    """How much of each episode is played."""
    threads: int = 0
    """Threads of the `mujoco` engine's physics; 0 is one per core."""
    seed: int = 0
    """Seed of starts."""
    json: Path | None = None
    """Also write everything into this file."""

    def run(self) -> int:
        from rich.table import Table

        from mimic.evaluation.parity import UNITS, parity
        from mimic_base.files import atomic_path

        console = make_console()
        with nullcontext() if self.json is None else atomic_path(self.json) as output:
            with console.status("comparing"):
                reports = parity(
                    self.policy, self.motion, robot=self.robot, reference=self.reference,
                    engines=self.engines, device=self.device, episodes=self.episodes,
                    seconds=self.seconds, threads=self.threads, seed=self.seed,
                )  # fmt: skip
            if output is not None:
                report = {
                    "schema": "humanoid-mimic/parity/1",
                    "policy": str(self.policy),
                    "reports": [each.to_dict() for each in reports],
                }
                output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        for report in reports:
            table = Table(title=f"{report.reference} and {report.engine}, one control step from "
                          "the same state", title_style="")  # fmt: skip
            table.add_column("boundary")
            for heading in ("usual", "largest", "bound"):
                table.add_column(heading, justify="right")
            table.add_column("where the largest is")
            for each in report.boundaries:
                table.add_row(
                    f"{each.name} ({UNITS[each.name]})" if UNITS[each.name] else each.name,
                    f"{each.median:.1e}", f"{each.worst:.1e}", f"{each.bound:g}",
                    f"{each.where}, {each.time_s:.2f} s", style="yellow" if each.differs else None,
                )  # fmt: skip
            console.print(table)
            say(console, report.verdict())
            say(console, report.growth())
        if self.json is not None:
            say(console, str(self.json))
        return 0
