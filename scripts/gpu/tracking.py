"""PPO on the demo clips until they are tracked, on one engine; stops and goes on where it was.

A session ends by its time limit with a checkpoint; the next one resumes it. At the end of every
session the policy is judged (noisy-start), so that the folder holds a learning curve over sessions.
"""

from __future__ import annotations

from pathlib import Path

from steps import Deadline, demo_motions, parser, run, step

EVALUATION_S = 300.0
"""Time for the evaluation at the end, or a quarter of the session where that is less."""


def main() -> None:
    own = parser(__doc__ or "", minutes=25.0)
    own.add_argument("--engine", default="auto")
    own.add_argument("--num-envs", type=int, default=4096)
    own.add_argument("--iterations", type=int, default=3000)
    own.add_argument("--motion", type=Path, help="robot motions (default: the demo clips)")
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    evaluation_s = min(EVALUATION_S, 15.0 * args.minutes)
    name = args.engine.replace(":", "_")
    folder = Path(args.out).resolve() / (f"tracking-toy_{name}" if args.toy else f"tracking_{name}")
    motions = (args.motion or demo_motions(Path(args.out), deadline)).resolve()
    runs = [path.parent for path in sorted(folder.glob("runs/tracking/*/checkpoints"))]
    numbers = ["--iterations", str(args.iterations)]
    if args.toy:
        numbers = ["--iterations", "1" if not runs else "2"]
    if runs:
        command = ["train.py", "--resume", str(runs[-1]), *numbers]
    else:
        size = "2" if args.toy else str(args.num_envs)
        command = [
            "train.py", "tracking", "--motion", str(motions), "--engine", args.engine,
            "--preset", "gpu", "--num-envs", size,
            "--checkpoint-interval", "100", "--out", str(folder / "runs"), "--name", name, *numbers,
        ]  # fmt: skip
        if args.toy:
            command += ["--device", "cpu", "--steps-per-iteration", "4", "--minibatches", "1"]
    status = run(command, max(10.0, deadline.left_s - evaluation_s), folder / "train.log")
    runs = [path.parent for path in sorted(folder.glob("runs/tracking/*/checkpoints"))]
    print(f"training ended with status {status}: {folder / 'train.log'}")
    if not runs:
        raise SystemExit(f"error: no checkpoint was written, see {folder / 'train.log'}")
    done = sorted((runs[-1] / "checkpoints").glob("[0-9]*.pt"))[-1].stem
    result = folder / f"evaluate_{done}.json"
    command = [
        "-m", "mimic.cli", "evaluate", str(runs[-1] / "policy.onnx"), "--motion", str(motions),
        "--engine", args.engine, "--json", str(result),
    ]  # fmt: skip
    if args.toy:
        command += ["--episodes", "1", "--device", "cpu"]
    # The evaluation has time of its own: the training was told to stop early enough for it.
    step(result, command, Deadline.after(evaluation_s / 60.0), evaluation_s, iteration=int(done))


if __name__ == "__main__":
    main()
