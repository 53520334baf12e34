"""Every method of motion imitation with the same budget, judged alike, in one table with curves.

    python scripts/gpu/methods.py --minutes 120 --motion clips/ --budget minutes=8 --seeds 0 1
    python scripts/gpu/methods.py --minutes 60 --methods ppo lcp fast-sac

It is `mimic compare methods` with the preset gpu, ended by the session's time limit with
checkpoints; the same command again goes on. `README.md`, `table.json` and `curves.png` lie in
`methods/`. It has never run on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path

from steps import Deadline, demo_motions, parser, run, toy_motions


def main() -> None:
    own = parser(__doc__ or "", minutes=120.0)
    own.add_argument("--engine", default="auto")
    own.add_argument("--device", default="auto")
    own.add_argument("--preset", default="gpu", choices=("cpu", "gpu"))
    own.add_argument("--num-envs", type=int, help="environments (default: each method's preset's)")
    own.add_argument("--motion", type=Path, help="robot motions (default: the demo clips)")
    own.add_argument("--methods", nargs="+", default=[], help="default: all of them")
    own.add_argument("--seeds", nargs="+", default=["0", "1"])
    own.add_argument("--budget", default="minutes=8", help="of each run: minutes=M or samples=N")
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    out = Path(args.out).resolve()
    folder = out / ("methods-toy" if args.toy else "methods")
    clips = args.motion or (toy_motions(out) if args.toy else demo_motions(out, deadline))
    command = [
        "-m", "mimic.cli", "compare", "methods", "--motion", str(Path(clips).resolve()),
        "--out", str(folder), "--preset", args.preset, "--engine", args.engine,
        "--device", "cpu" if args.toy else args.device,
    ]  # fmt: skip
    if args.methods:
        command += ["--methods", *args.methods]
    if args.toy:
        command += ["--seeds", "0", "--budget", "samples=16", "--num-envs", "2", "--episodes", "1"]
        command += ["--judge-episodes", "1", "--judgements", "1"]
        command += ["--train-options=--algorithm.steps 4"]
    else:
        command += ["--seeds", *args.seeds, "--budget", args.budget]
        if args.num_envs:
            command += ["--num-envs", str(args.num_envs)]
    log = folder / "methods.log"
    status = run(command, max(10.0, deadline.left_s), log)
    table = folder / "table.json"
    done = json.loads(table.read_text(encoding="utf-8"))["results"] if table.is_file() else []
    told = ", ".join(f"{each['method']} ({each['seed']})" for each in done) or "nothing"
    print(f"{told}: there (status {status}): {log}")
    if status in (124, 130):
        print("no time left; run the script again")


if __name__ == "__main__":
    main()
