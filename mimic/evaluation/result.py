"""The outcome of an evaluation: figures per clip and in total, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from mimic.evaluation.metrics import UNITS, Summary
from mimic.evaluation.protocols import Protocol
from mimic_base.files import atomic_write_text

SCHEMA = "humanoid-mimic/evaluation/1"

_HEADINGS = {
    "key_body_mm": "key body\n(mm)",
    "key_body_anchor_mm": "key body,\nanchor (mm)",
    "joint_rad": "joint\n(rad)",
    "joint_velocity_rad_s": "joint vel.\n(rad/s)",
    "velocity_m_s": "velocity\n(m/s)",
}


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What ``evaluate`` found; ``protocol`` holds the number of episodes that were played."""

    protocol: Protocol
    policy: str
    task: str
    robot: str
    robot_hash: str
    engine: str
    seed: int
    control_dt: float
    clips: tuple[Summary, ...]
    motion_hashes: tuple[str, ...]
    total: Summary
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers and texts."""
        clips = [
            {**clip.to_dict(), "hash": digest}
            for clip, digest in zip(self.clips, self.motion_hashes, strict=True)
        ]
        return {
            "schema": SCHEMA,
            "policy": self.policy,
            "task": self.task,
            "robot": {"name": self.robot, "hash": self.robot_hash},
            "engine": self.engine,
            "seed": self.seed,
            "control_dt": self.control_dt,
            "protocol": self.protocol.to_dict(),
            "units": dict(UNITS),
            "clips": clips,
            "total": self.total.to_dict(),
            "notes": list(self.notes),
            "details": dict(self.details),
        }

    def save_json(self, path: Path | str) -> None:
        """Write ``to_dict`` to a file, whole or not at all."""
        atomic_write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    def table(self) -> Table:
        """One row a clip, and the total where there are several."""
        table = Table(title=f"{self.protocol.name}: {self.protocol.description}", title_style="")
        table.add_column("clip", overflow="fold")
        for heading in ("episodes", "length\n(s)", "success", "survived\n(s)", "return"):
            table.add_column(heading, justify="right")
        for heading in _HEADINGS.values():
            table.add_column(heading, justify="right")
        table.add_column("failures")
        for clip in self.clips:
            table.add_row(*_cells(clip))
        if len(self.clips) > 1:
            table.add_section()
            table.add_row(*_cells(self.total))
        return table


def _cells(row: Summary) -> list[str]:
    errors = [row.errors[name] for name in _HEADINGS]
    digits = [0 if name.endswith("_mm") else 3 for name in _HEADINGS]
    return [
        row.name,
        str(row.episodes),
        f"{row.duration_s:.1f}",
        f"{100 * row.success:.4g} %",
        f"{row.survived_s:.1f}",
        f"{row.normalised_return:.3f}",
        *("-" if e is None else f"{e:.{d}f}" for e, d in zip(errors, digits, strict=True)),
        ", ".join(f"{name} {count}" for name, count in row.failures.items()),
    ]
