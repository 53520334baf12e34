"""Short trainings with a fixed seed, in two checkouts: are they the same to the last bit?

    python scripts/same_training.py --against DIR [--only TEXT] [--iterations 3]

For a change that moves code and must not change what it computes. Each case trains the shipped
walk a few iterations with one thread; compared are every number of the last checkpoint (weights,
normalisers, optimisers, replay, random numbers) and of progress.jsonl but those that tell time.
Exit code 1 where a case differs or fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.options import parse  # noqa: E402

SMALL = (
    "--num-envs", "6", "--workers", "1", "--actor-hidden", "32", "--critic-hidden", "32",
    "--device", "cpu", "--seed", "5",
)  # fmt: skip
PPO = ("--algorithm", "ppo", "--steps-per-iteration", "8")
WORLD_MODEL = (
    "--algorithm", "world-model", "--algorithm.steps", "6", "--algorithm.warmup-steps", "12",
    "--algorithm.replay-steps", "32", "--algorithm.model-hidden", "32", "--algorithm.horizon", "4",
    "--algorithm.rollouts", "8", "--algorithm.model-batch", "32",
    "--algorithm.model-warmup-updates", "20", "--algorithm.diagnose-every", "1",
)  # fmt: skip
CASES: Mapping[str, tuple[str, ...]] = {
    "ppo": ("tracking", *PPO),
    "ppo-symmetry-threads": ("tracking", *PPO, "--algorithm.symmetry", "--workers", "2",
                             "--num-envs", "128"),
    "ppo-losses": ("tracking", *PPO, "--algorithm.lipschitz", "1e-3",
                   "--algorithm.symmetry-loss", "0.5", "--algorithm.clipped-value-loss"),
    "world-model": ("tracking", *WORLD_MODEL),
    "world-model-context": ("tracking", *WORLD_MODEL, "--algorithm.model-history", "3",
                            "--algorithm.model-context", "--algorithm.ensemble", "2"),
    **{
        f"ppo-{name}": ("tracking-student", *PPO, "--randomisation", name)
        for name in ("beyondmimic", "holosoma", "omnih2o", "twist", "pbhc", "hard")
    },
}  # fmt: skip
TIME = ("_s", "per_second", "wall", "time", "memory")
"""Ends of names of figures that differ from run to run."""


@dataclass(frozen=True)
class Options:
    """Compare short trainings in this checkout with those in another."""

    against: Path
    """The other checkout."""
    only: str = ""
    """Cases whose names contain this."""
    iterations: int = 3


def outcome(checkout: Path, words: tuple[str, ...], iterations: int) -> dict[str, str]:
    """Digests of a training in a checkout; ``error`` instead where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        motion = REPO / "mimic" / "assets" / "walk_g1_demo.npz"
        program = "import sys; from mimic.cli import main; sys.exit(main())"
        command = [
            sys.executable, "-c", program, "train", words[0], "--motion", str(motion), *SMALL,
            *words[1:], "--loop.iterations", str(iterations), "--out", folder,
        ]  # fmt: skip
        # Not found beside the checkout's own packages: the ones that are installed.
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return {"error": (done.stderr or done.stdout).strip()[-300:]}
        (run,) = Path(folder).glob("*/*/checkpoints/last.pt")
        return {**of_checkpoint(run), **of_progress(run.parents[1] / "progress.jsonl")}


def of_checkpoint(path: Path) -> dict[str, str]:
    """A digest of every tensor and number of a checkpoint, by its place."""
    import torch

    saved = torch.load(path, map_location="cpu", weights_only=True)
    kept = {
        key: saved[key] for key in ("algorithm", "environment", "env", "random") if key in saved
    }
    return {place: digest for place, digest in _leaves(kept, "") if not place.endswith(TIME)}


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    import torch

    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{place}/{key}")
    elif isinstance(value, list | tuple):
        for key, each in enumerate(value):
            yield from _leaves(each, f"{place}/{key}")
    elif isinstance(value, torch.Tensor):
        data = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        yield place, hashlib.sha256(data).hexdigest()[:16]
    else:
        yield place, repr(value)


def of_progress(path: Path) -> dict[str, str]:
    """Every figure of every iteration but those of time."""
    return {
        f"{number}/{name}": repr(value)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines())
        for name, value in json.loads(line).items()
        if not name.endswith(TIME)
    }


def main(arguments: list[str] | None = None) -> int:
    options = parse(Options, arguments, prog="same_training.py", description=__doc__)
    apart = 0
    for name, words in CASES.items():
        if options.only not in name:
            continue
        here, there = (
            outcome(each, words, options.iterations) for each in (REPO, options.against.resolve())
        )
        different = [key for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
        if "error" in here or "error" in there:
            apart += 1
            print(f"{name}: failed: {here.get('error') or there.get('error')}", flush=True)
        elif different:
            apart += 1
            some = ", ".join(different[:4])
            print(f"{name}: {len(different)} of {len(here)} values differ: {some}", flush=True)
        else:
            print(f"{name}: the same, {len(here)} values", flush=True)
    return 1 if apart else 0


if __name__ == "__main__":
    exit_on_user_error(main)
