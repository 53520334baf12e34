"""From an engine's start to its first control step: for the first time, and again.

    python scripts/bench_startup.py [--engines warp mjx] [--num-envs 16] [--json FILE]

Every start is a process of its own. Caches lie in an empty folder of their own (`--cache DIR` keeps
it), so that the first start compiles everything and the next ones show what is found again. On a
busy machine the processor time is the figure to compare; it counts compilers that were started as
well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
OWN_CACHES = ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
"""A user's settings that would lead past the empty folder."""


def start(engine: str, num_envs: int, robot: str, compile: str) -> dict[str, float]:
    """Make an environment here and take two steps; wall and processor seconds of each part."""
    marks = [_clocks()]
    import torch

    import robots
    from mimic.benchmark.motion import default_motions
    from mimic.tasks import make_env

    body = robots.load(robot)
    marks.append(_clocks())
    env = make_env(
        "tracking", default_motions(body), num_envs=num_envs, robot=body, engine=engine,
        threads=1, compile=compile,
    )  # fmt: skip
    marks.append(_clocks())
    for _ in range(2):
        env.step(torch.zeros(num_envs, env.num_actions))
        marks.append(_clocks())
    names = ("load", "setup", "first_step", "second_step")
    found: dict[str, float] = {}
    for name, before, after in zip(names, marks[:-1], marks[1:], strict=True):
        found[f"{name}_s"] = after[0] - before[0]
        found[f"{name}_cpu_s"] = after[1] - before[1]
    found["total_s"] = marks[-1][0] - marks[0][0]
    found["total_cpu_s"] = marks[-1][1] - marks[0][1]
    return found


def _clocks() -> tuple[float, float]:
    spent = os.times()
    return time.perf_counter(), sum(spent[:4])


def main() -> None:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument("--engines", nargs="+", default=["mujoco", "warp", "mjx"])
    own.add_argument("--num-envs", type=int, default=16)
    own.add_argument("--robot", default="unitree_g1")
    own.add_argument("--starts", type=int, default=2, help="starts of each engine")
    own.add_argument("--compile", default="off", choices=["on", "off"], help="torch.compile too")
    own.add_argument("--cache", type=Path, help="folder of the caches (default: a temporary one)")
    own.add_argument("--json", type=Path)
    own.add_argument("--child", help=argparse.SUPPRESS)
    args = own.parse_args()
    if args.child:
        print(json.dumps(start(args.child, args.num_envs, args.robot, args.compile)))
        return
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mimic-cache-") as temporary:
        cache = (args.cache or Path(temporary)).resolve()
        print(f"{'engine':10} start   set-up   first step   all (s)   of that processor time (s)")
        for engine in args.engines:
            for number in range(1, args.starts + 1):
                found = _in_a_process(engine, args, cache)
                results.append({"engine": engine, "start": number, **found})
                print(
                    f"{engine:10} {number:5} {found['setup_s']:8.1f} {found['first_step_s']:12.1f} "
                    f"{found['total_s']:9.1f} {found['total_cpu_s']:12.1f}",
                    flush=True,
                )
    if args.json is not None:
        settings = {"num_envs": args.num_envs, "robot": args.robot, "compile": args.compile}
        from mimic_base.files import atomic_write_text

        atomic_write_text(args.json, json.dumps({**settings, "starts": results}, indent=2) + "\n")


def _in_a_process(engine: str, args: argparse.Namespace, cache: Path) -> dict[str, float]:
    environment = {k: v for k, v in os.environ.items() if k not in OWN_CACHES}
    environment |= {
        "MIMIC_CACHE": str(cache),
        "WARP_CACHE_PATH": str(cache / "warp"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")])),
    }
    command = [
        sys.executable, __file__, "--child", engine, "--num-envs", str(args.num_envs),
        "--robot", args.robot, "--compile", args.compile,
    ]  # fmt: skip
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"error: engine {engine} did not start (status {run.returncode})")
    return json.loads(run.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
