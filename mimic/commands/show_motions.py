"""``mimic motions``: look into motion files, or write the demo clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from mimic.commands.output import make_console, say

if TYPE_CHECKING:
    from rich.console import Console

    from motions import RobotMotion


QUALITY = (
    ("stance skate\n(cm/s)", "source_contact.skate_mean_mps", 100.0),
    ("under ground\n(mm)", "any_geom_ground_pen.max_m", 1000.0),
    ("limb error\n(deg)", "fidelity.limb_dir_err_mean_deg", 1.0),
)
"""Figures of the retargeting shown for every clip: heading, key, factor."""


@dataclass(frozen=True, kw_only=True)
class ShowMotions:
    """Inspect robot motion files (.npz); without a path, the clips that come with the program."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Motion files, or folders of them. A single file is shown with its quality figures."""
    demo: Path | None = None
    """Write the generated human demo clips as BVH files into this folder instead."""

    def run(self) -> int:
        console = make_console()
        if self.demo is not None:
            from motions.human import demo

            for path in demo.write_all(self.demo):
                say(console, str(path))
            return 0
        from motions import RobotMotion

        files = find_files(self.paths)
        if not files:
            text = "no clips come with this installation; make one with 'mimic retarget CLIP'"
            say(console, text)
            return 0
        clips = [RobotMotion.load(path) for path in files]
        _table(console, files, clips)
        if len(clips) == 1:
            _details(console, clips[0])
        return 0


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The .npz files meant by files and folders; the bundled clips when nothing is named."""
    if not paths:
        from importlib import resources

        return sorted(Path(str(resources.files("mimic"))).glob("assets/motions/*.npz"))
    from mimic_base.errors import MimicError
    from mimic_base.files import is_hidden

    files: list[Path] = []
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.glob("*.npz") if not is_hidden(file))
        if not found:
            raise MimicError(f"motion folder '{path}' holds no .npz file; retarget clips first")
        files += found
    return files


def _table(console: Console, files: Sequence[Path], clips: Sequence[RobotMotion]) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("file", overflow="fold")
    for heading in ("name", "robot"):
        table.add_column(heading)
    for heading in ("fps", "frames", "length (s)", *(heading for heading, _, _ in QUALITY)):
        table.add_column(heading, justify="right")
    for path, clip in zip(files, clips, strict=True):
        quality = flatten(clip.quality)
        figures = [(quality.get(key), scale) for _, key, scale in QUALITY]
        table.add_row(
            str(path), clip.name, clip.robot, f"{clip.fps:g}", str(clip.num_frames),
            f"{clip.duration:.2f}", *("-" if v is None else f"{v * s:.1f}" for v, s in figures),
        )  # fmt: skip
    console.print(table)


def _details(console: Console, clip: RobotMotion) -> None:
    import numpy as np
    from rich.table import Table

    table = Table(show_header=False)
    step = np.linalg.norm(np.diff(clip.root_pos[:, :2], axis=0), axis=1)
    rows: dict[str, Any] = {
        "source": clip.source or "-",
        "licence": clip.licence or "-",
        "joints, bodies": f"{len(clip.joint_names)}, {len(clip.body_names)}",
        "path of the base (m)": float(step.sum()),
        "height of the base (m)": f"{clip.root_pos[:, 2].min():.3f} to "
        f"{clip.root_pos[:, 2].max():.3f}",
        "fastest joint (rad/s)": float(np.abs(clip.joint_vel).max()),
        **flatten(clip.quality),
    }
    for name, value in rows.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
