"""Which reference is easier to track: the same training, with the same budget, on each of them.

python scripts/bench_trackability.py ours.npz gmr.npz --samples 1500000 --seeds 0 1 --out runs/track

Each reference gets a policy of its own, trained from nothing by `train.py tracking` with the CPU
preset and evaluated on that reference: how long it stays up, what reward it collects and how far it
is off. A reference that floats, slides or asks for forces the robot does not have shows here.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from mimic.evaluation.judge import JUDGEMENTS
from mimic.learning import PRESETS
from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import MimicError
from mimic_base.files import atomic_write_text
from mimic_base.options import parse

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train on each reference with the same budget and compare."""

    references: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Robot motions (.npz) of the same movement."""
    samples: int = 1_500_000
    """Budget of each training."""
    seeds: tuple[int, ...] = (0,)
    """A training of each reference with each seed."""
    episodes: int = 100
    """Episodes of the evaluation at the end."""
    out: Path = Path("runs/trackability")
    """Runs and the results are kept here; a run that is complete is not repeated."""
    workers: int = 0
    """Threads of the gradient steps; 0 is one per core."""


def train(reference: Path, seed: int, args: Arguments) -> Path:
    """The folder of a finished run on `reference`, made unless it is there."""
    preset = PRESETS["cpu"]
    iterations = max(1, args.samples // (preset.loop.num_envs * preset.algorithm.steps))
    # Another file of the same name, or another judgement, is another run.
    content = hashlib.sha256(reference.read_bytes()).hexdigest()[:8]
    out = args.out / f"{reference.stem}-{content}-seed{seed}-{iterations}-{args.episodes}"
    done = sorted(out.glob(f"tracking/*/{JUDGEMENTS}"))
    if done:
        return done[-1].parent
    command = [
        sys.executable, str(REPOSITORY / "train.py"), "tracking", "--algorithm", "ppo",
        "--motion", str(reference),
        "--iterations", str(iterations), "--judge-every", str(iterations), "--judge-episodes",
        str(args.episodes), "--seed", str(seed), "--workers", str(args.workers), "--out", str(out),
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode != 0:
        raise MimicError(f"{reference}: its training failed; see above")
    return sorted(out.glob(f"tracking/*/{JUDGEMENTS}"))[-1].parent


def figures(run: Path) -> dict[str, Any]:
    """The judgement of a run, and the means of its last twenty iterations: reward per step, and how
    long an episode lasts that begins anywhere in the clip, under the training's own noise.

    A policy half learnt falls at one hard moment or gets past it, so that judgements from the first
    frame differ much from seed to seed; episodes from everywhere do not.
    """
    judgement = json.loads((run / JUDGEMENTS).read_text().splitlines()[-1])
    rows = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    last = rows[-20:]
    means = {
        key: sum(row[key] for row in last) / len(last) for key in ("reward", "episode_length_s")
    }
    return judgement | means


def table(results: dict[str, dict[str, Any]]) -> Table:
    """A row for each training."""
    shown = Table(title="The same training on each reference")
    shown.add_column("reference, seed")
    columns = (
        ("samples (M)", "samples", 1e-6, 2), ("reward per step (of 5)", "reward", 1.0, 2),
        ("episode from anywhere (s)", "episode_length_s", 1.0, 2),
        ("survived (s)", "survived_s", 1.0, 2), ("success (%)", "success", 100.0, 0),
        ("return", "normalised_return", 1.0, 3),
        ("key bodies, anchor (mm)", "key_body_anchor_mm", 1.0, 0),
        ("joints (rad)", "joint_rad", 1.0, 3),
    )  # fmt: skip
    for heading, *_ in columns:
        shown.add_column(heading, justify="right")
    for name, values in results.items():
        cells = [f"{scale * values[key]:.{digits}f}" for _, key, scale, digits in columns]
        shown.add_row(name, *cells)
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse(Arguments, arguments, prog="scripts/bench_trackability.py", description=__doc__)
    for path in args.references:
        if not path.is_file():
            raise MimicError(f"{path}: no such file; give robot motions (.npz)")
    names = [path.stem for path in args.references]
    if len(set(names)) < len(names):
        raise MimicError(f"references must differ in name, got {', '.join(names)}; rename one")
    results = {
        f"{path.stem}, {seed}": figures(train(path, seed, args))
        for seed in args.seeds
        for path in args.references
    }
    atomic_write_text(args.out / "trackability.json", json.dumps(results, indent=2) + "\n")
    Console(width=160).print(table(results))
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
