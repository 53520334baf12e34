"""Control steps per second of every engine at 1k to 16k environments.

Each pair of engine and count is a program of its own (`mimic benchmark`), so that one that runs
out of memory does not end the others, and what is measured once stays measured.
"""

from __future__ import annotations

from pathlib import Path

from steps import Deadline, parser, step

ENGINES = ("warp", "mjx", "mjx:impl=jax", "mujoco")
"""On NVIDIA `mjx` is its Warp implementation; the C engine shares the machine's cores."""
COUNTS = (4096, 8192, 1024, 2048, 16384)
"""The sizes that people train with first: a session may end before the others."""
LIMIT_S = 420.0


def main() -> None:
    own = parser(__doc__ or "", minutes=60.0)
    own.add_argument("--engines", nargs="+", default=list(ENGINES))
    own.add_argument("--num-envs", nargs="+", type=int, default=list(COUNTS))
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    counts, seconds, extra = args.num_envs, "2", []
    if args.toy:
        counts, seconds, extra = [2], "0.05", ["--device", "cpu", "--no-ppo", "--threads", "1"]
    folder = Path(args.out) / ("throughput-toy" if args.toy else "throughput")
    # All engines at one count before the next: a session cut short still compares them.
    for count in counts:
        for engine in args.engines:
            result = (folder / f"{engine.replace(':', '_')}_{count}.json").resolve()
            # What the environment costs without torch.compile, and with it.
            compiled = ["off", "on"] if engine.partition(":")[0] != "mujoco" else ["off"]
            if args.toy:
                compiled = ["off"]
            command = [
                "-m", "mimic.cli", "benchmark", "--engine", engine, "--num-envs", str(count),
                "--seconds", seconds, "--json", str(result), "--compile", *compiled, *extra,
            ]  # fmt: skip
            if not step(result, command, deadline, LIMIT_S, engine=engine, num_envs=count):
                return


if __name__ == "__main__":
    main()
