"""``mimic refine``: references as the robot physically does them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from mimic.commands.output import make_console, progress_bar, say

REPORT = "refined.json"


@dataclass(frozen=True, kw_only=True)
class Refine:
    """Have a tracker play clips, and write what the robot physically did as new motions, with the
    contacts that there were; refined.json beside them says what failed, and how far off it was."""

    policy: tyro.conf.Positional[Path]
    """An .onnx file, a run directory, or a checkpoint of a policy that tracks clips."""
    motion: tuple[Path, ...] = ()
    """Robot motions (.npz) or folders of them."""
    out: Path
    """Folder the motions go into; files of the same names are replaced."""
    failed: Literal["leave-out", "cut", "keep"] = "leave-out"
    """What becomes of a clip the tracker fails in: no file, what it did before, or all of it."""
    robot: str | None = None
    """Robot name, or a description file (.toml); by default the one that the policy names."""
    engine: str = "auto"
    """Physics engine: auto, mujoco, mjx or warp; options follow a colon (warp:nconmax=64)."""
    device: str = "auto"
    """Where physics and environment are computed: auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """Threads of the `mujoco` engine's physics; 0 is one per core."""
    seed: int = 0
    """Seed of everything random."""

    def run(self) -> int:
        from rich.table import Table

        from mimic.evaluation.refine import SCHEMA, refine, write_refined
        from mimic_base.errors import MimicError
        from mimic_base.files import atomic_write_text, check_folder_writable
        from mimic_base.text import markup

        if not self.motion:
            raise MimicError("no motion given; name files or folders with --motion")
        check_folder_writable(self.out)
        with progress_bar("refining") as progress:
            found = refine(
                self.policy, self.motion, robot=self.robot, failed=self.failed,
                engine=self.engine, device=self.device, seed=self.seed, threads=self.threads,
                progress=progress,
            )  # fmt: skip
            clips = write_refined(found, self.out)
        report = {
            "schema": SCHEMA,
            "policy": str(self.policy),
            "failed": self.failed,
            "clips": [each.to_dict() for each in clips],
        }
        text = json.dumps(report, indent=2, allow_nan=False)
        atomic_write_text(self.out / REPORT, text + "\n")
        table = Table()
        for heading in ("clip", "length (s)", "failed", "key body (mm)", "anchor (mm)", "file"):
            table.add_column(heading, justify="right" if "(" in heading else "left")
        for each in clips:
            failed = f"{each.failure} at {each.failed_at_s:.2f} s" if each.failure else ""
            table.add_row(
                markup(each.name), f"{each.duration_s:.1f}", failed,
                f"{each.errors['key_body_mm']:.0f}", f"{each.errors['key_body_anchor_mm']:.0f}",
                markup(each.file),
            )  # fmt: skip
        console = make_console()
        console.print(table)
        good = sum(each.success for each in clips)
        say(console, f"{good} of {len(clips)} clips to their end; {self.out}")
        return 0
