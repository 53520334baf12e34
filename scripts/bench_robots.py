"""Retarget a handful of clips to several robots and print the quality figures as Markdown.

    python scripts/bench_robots.py [--robots unitree_h1 ...] [--clips CLIP...] [--seconds 8]

Without ``--clips`` the five generated demo clips are used, and five real ones of the corpus
(``MIMIC_CORPUS``) where it is present. Figures: `motions.robot.quality.metrics`; every clip is
cut to ``--seconds`` from ``--start``. With ``--pictures DIR`` a picture of each result is kept.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.options import parse

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

import robots  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.files import atomic_write_text  # noqa: E402
from motions import read_human_motion  # noqa: E402
from motions.human import demo  # noqa: E402
from retarget import retarget  # noqa: E402
from retarget.batch.work import crop_seconds  # noqa: E402

CORPUS_CLIPS = (
    "lafan1_bvh/walk.bvh",
    "lafan1_bvh/dance.bvh",
    "lafan1_bvh/jumps.bvh",
    "bandai_namco/dataset-1_kick_normal_001.bvh",
    "cmu_asf_amc/16_11.amc",
)
NAMES = ("unitree_h1", "booster_t1", "apptronik_apollo", "robotis_op3", "unitree_g1_23dof")
# heading, path in the quality figures, factor, digits
COLUMNS: tuple[tuple[str, tuple[str, ...], float, int], ...] = (
    ("> 1 cm under ground %", ("any_geom_ground_pen", "rate_1cm"), 100, 2),
    ("deepest mm", ("any_geom_ground_pen", "max_m"), 1000, 1),
    ("stance skate cm/s", ("source_contact", "skate_mean_mps"), 100, 2),
    ("stance float > 3 cm %", ("source_contact", "float_rate_3cm"), 100, 2),
    ("self-collision > 1 cm %", ("self_collision", "rate_deep"), 100, 2),
    ("joint speed max rad/s", ("velocity", "max"), 1, 1),
    ("over own speed limit %", ("velocity", "over_own_limit_rate"), 100, 2),
    ("jumps > 0.5 rad", ("jumps", "count"), 1, 0),
    ("joint jerk", ("smooth", "mean_abs_jerk"), 1, 0),
    ("at a limit %", ("near_limit_sample_rate",), 100, 2),
    ("limb error °", ("fidelity", "limb_dir_err_mean_deg"), 1, 2),
)
WORST = {"deepest mm", "joint speed max rad/s"}
SUMMED = {"jumps > 0.5 rad"}


@dataclass(frozen=True)
class Options:
    """Evaluate retargeting to several robots."""

    robots: tuple[str, ...] = NAMES
    clips: tuple[Path, ...] = ()
    """Human motion files; the demo clips and some of the corpus unless given."""
    start: float = 0.0
    """Second of the clips to begin at."""
    seconds: float = 8.0
    """Length to cut the clips to."""
    out: Path | None = None
    """Also write the tables here (Markdown)."""
    pictures: Path | None = None
    """Keep a picture of every result in this directory."""


def main() -> int:
    options = parse(Options, None, prog="scripts/bench_robots.py")
    with tempfile.TemporaryDirectory() as folder:
        clips = options.clips or default_clips(Path(folder))
        results: dict[str, dict[str, Mapping[str, Any]]] = {}
        lines = [header("robot", "clip"), rule(2)]
        rates: dict[str, float] = {}
        for name in options.robots:
            robot = robots.load(name)
            frames, cpu = 0, 0.0
            for clip in clips:
                human = read_human_motion(clip)
                start = min(options.start, max(0.0, human.duration - 2.0))
                human = crop_seconds(human, start, min(start + options.seconds, human.duration))
                began = time.process_time()
                motion = retarget(human, robot)
                cpu += time.process_time() - began
                frames += motion.num_frames
                label = (
                    clip.stem if clip.parent == Path(folder) else f"{clip.parent.name}/{clip.stem}"
                )
                results.setdefault(name, {})[label] = motion.quality
                lines.append(row(name, label, [cell(motion.quality, c) for c in COLUMNS]))
                print(lines[-1], file=sys.stderr, flush=True)
                if options.pictures is not None:
                    from retarget.page.picture import draw_clip

                    options.pictures.mkdir(parents=True, exist_ok=True)
                    picture = options.pictures / f"{name}_{label.replace('/', '_')}.png"
                    draw_clip(picture, human, motion, robot)
            rates[name] = frames / cpu
    means = [header("robot", "frames per CPU second"), rule(2)]
    for name, clips_of in results.items():
        cells = [average(list(clips_of.values()), column) for column in COLUMNS]
        means.append(row(name, f"{rates[name]:.0f}", cells))
    text = "\n".join(means) + "\n\n" + "\n".join(lines) + "\n"
    print(text)
    if options.out is not None:
        atomic_write_text(options.out, text)
    return 0


def default_clips(folder: Path) -> list[Path]:
    """The generated clips, written to `folder`, and those of the corpus that are present."""
    made = [demo.write(name, folder / f"{name}.bvh") for name in demo.names()]
    corpus = Path(os.environ.get("MIMIC_CORPUS") or REPO.parent / "shared" / "corpus")
    real = [corpus / clip for clip in CORPUS_CLIPS]
    return [Path(clip) for clip in made] + [clip for clip in real if clip.is_file()]


def figure(quality: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    value: Any = quality
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value is None else float(value)


def cell(quality: Mapping[str, Any], column: tuple[str, tuple[str, ...], float, int]) -> str:
    _, keys, factor, digits = column
    value = figure(quality, keys)
    return "–" if value is None else f"{factor * value:.{digits}f}"


def average(
    qualities: list[Mapping[str, Any]], column: tuple[str, tuple[str, ...], float, int]
) -> str:
    """Mean over clips; the worst of a maximum, the sum of a count."""
    heading, keys, factor, digits = column
    found = [figure(quality, keys) for quality in qualities]
    values = np.array([value for value in found if value is not None])
    if not len(values):
        return "–"
    how = np.max if heading in WORST else np.sum if heading in SUMMED else np.mean
    return f"{factor * float(how(values)):.{digits}f}"


def header(*first: str) -> str:
    return "| " + " | ".join([*first, *(c[0] for c in COLUMNS)]) + " |"


def rule(first: int) -> str:
    return "|" + "---|" * (first + len(COLUMNS))


def row(name: str, second: str, cells: list[str]) -> str:
    return "| " + " | ".join([name, second, *cells]) + " |"


if __name__ == "__main__":
    exit_on_user_error(main)
