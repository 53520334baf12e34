"""The world-model trainer on LAFAN1-40 under appendix F: how many minutes until a return of 0.82.

One training with the `gpu` preset, at most `--train-minutes` of its own clock over all sessions,
with a checkpoint every `--every` iterations. Afterwards every checkpoint that is there is judged by
the protocol appendix-F (each clip once, whole, without noise), the oldest first, and `summary.json`
says at which of them the goal was first reached. Judging counts to the script's time, not to the
training's. It has never run on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steps import Deadline, parser, run, step, toy_motions

GOAL = 0.82
"""Normalised return that SuperMimic (arXiv 2610.28480) reports after 1.2 h of an H100."""
EVALUATION_S = 300.0


def main() -> None:
    own = parser(__doc__ or "", minutes=20.0)
    own.add_argument("--train-minutes", type=float, default=10.0, help="hard limit of the training")
    own.add_argument("--engine", default="auto")
    own.add_argument("--device", default="auto")
    own.add_argument("--num-envs", type=int, default=4096)
    own.add_argument("--iterations", type=int, default=5000)
    own.add_argument("--every", type=int, default=250, help="iterations between checkpoints")
    own.add_argument("--goal", type=float, default=GOAL, help="normalised return that is aimed at")
    own.add_argument("--motion", type=Path, help="robot motions, such as the 40 clips of LAFAN1")
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    name = args.engine.replace(":", "_")
    folder = Path(args.out).resolve() / ("world-model-toy" if args.toy else "world-model")
    folder = folder.with_name(f"{folder.name}_{name}")
    if args.motion is None and not args.toy:
        raise SystemExit("error: --motion is missing: a folder of the retargeted LAFAN1 clips")
    motions = (args.motion or toy_motions(Path(args.out))).resolve()
    every = 1 if args.toy else args.every
    numbers = ["--loop.iterations", str(3 if args.toy else args.iterations)]
    runs = finished(folder)
    if runs:
        command = ["train.py", "--resume", str(runs[-1]), *numbers]
    else:
        command = [
            "train.py", "tracking", "--algorithm", "world-model", "--preset", "gpu",
            "--motion", str(motions), "--engine", args.engine, "--device", args.device,
            "--loop.num-envs", "4" if args.toy else str(args.num_envs),
            "--loop.checkpoint-interval", str(every), "--loop.keep-checkpoints", "1000",
            "--out", str(folder / "runs"), "--name", name, *numbers,
        ]  # fmt: skip
        if args.toy:
            command += TOY
    trained = progress(runs[-1])[-1]["wall_s"] if runs else 0.0
    left_s = min(60.0 * args.train_minutes - trained, deadline.left_s)
    log = folder / "train.log"
    if left_s < 5.0:
        print(f"the training has had its {args.train_minutes:g} minutes ({trained:.0f} s)")
    else:
        status = run(command, left_s, log)
        print(f"training ended with status {status}: {log}")
    runs = finished(folder)
    if not runs:
        raise SystemExit(f"error: no checkpoint was written, see {log}")
    # Nothing is measured at toy size, however slow the machine.
    limit_s = 3600.0 if args.toy else EVALUATION_S
    for checkpoint in sorted((runs[-1] / "checkpoints").glob("[0-9]*.pt")):
        result = folder / f"evaluate_{checkpoint.stem}.json"
        command = [
            "-m", "mimic.cli", "evaluate", str(checkpoint), "--motion", str(motions),
            "--protocol", "appendix-f", "--engine", args.engine, "--device", args.device,
            "--json", str(result),
        ]  # fmt: skip
        if not step(result, command, deadline, limit_s, iteration=int(checkpoint.stem)):
            break
    summary = summarised(folder, runs[-1], args.goal, args.train_minutes)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(told(summary))


TOY = [
    "--algorithm.networks.actor-hidden", "16", "--algorithm.networks.critic-hidden", "16",
    "--algorithm.model-hidden", "16", "--algorithm.warmup-steps", "4",
    "--algorithm.replay-steps", "24", "--algorithm.horizon", "4", "--algorithm.rollouts", "8",
    "--algorithm.model-batch", "32", "--algorithm.model-warmup-updates", "2",
    "--algorithm.critic-batch", "32",
]  # fmt: skip
"""What makes the preset small enough for a CPU; what it measures means nothing."""


def finished(folder: Path) -> list[Path]:
    """Run directories that have a checkpoint, oldest first."""
    found = sorted(folder.glob("runs/tracking/*/checkpoints"))
    return [each.parent for each in found if list(each.glob("[0-9]*.pt"))]


def progress(run_dir: Path) -> list[dict[str, Any]]:
    """A run's record of its iterations."""
    lines = (run_dir / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def summarised(folder: Path, run_dir: Path, goal: float, minutes: float) -> dict[str, Any]:
    """The learning curve under appendix F, and where it reached the goal."""
    at = {each["iteration"]: each for each in progress(run_dir)}
    rows = []
    for path in sorted(folder.glob("evaluate_*.json")):
        iteration = int(path.stem.partition("_")[2])
        if iteration not in at:
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        total, seen = found["total"], at[iteration]
        rows.append(
            {
                "iteration": iteration, "training_s": seen["wall_s"], "samples": seen["samples"],
                "return": total["normalised_return"], "success": total["success"],
                "clips": len(found["clips"]),
                "clips_failed": sum(clip["success"] < 1.0 for clip in found["clips"]),
            }
        )  # fmt: skip
    reached = next((row for row in rows if row["return"] >= goal), None)
    return {
        "goal": goal, "limit_minutes": minutes, "run": str(run_dir), "curve": rows,
        "reached": reached, "best": max(rows, key=lambda row: row["return"], default=None),
    }  # fmt: skip


def told(summary: dict[str, Any]) -> str:
    """One line."""
    reached, best, goal = summary["reached"], summary["best"], summary["goal"]
    if reached is not None:
        return (
            f"return {goal:g} reached after {reached['training_s']:.0f} s of training and "
            f"{reached['samples']:,} samples ({reached['return']:.3f}, "
            f"{reached['clips_failed']} of {reached['clips']} clips failed)"
        )
    if best is None:
        return "no checkpoint has been judged yet; run the script again"
    return (
        f"return {goal:g} not reached within {summary['limit_minutes']:g} minutes; best "
        f"{best['return']:.3f} after {best['training_s']:.0f} s"
    )


if __name__ == "__main__":
    main()
