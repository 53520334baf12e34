"""Control steps per second of mjlab's tracking environment (run by compare_mjlab.py).

Runs in mjlab's own Python environment and imports nothing of ours: mjlab and this project need
different releases of MuJoCo. Written for mjlab 1.6.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

ROUNDS = 5
TASK = "Mjlab-Tracking-Flat-Unitree-G1"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def main() -> None:
    own = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    own.add_argument("motion", help="a motion in mjlab's format")
    own.add_argument("--num-envs", type=int, required=True)
    own.add_argument("--steps", type=int, default=50, help="in each of five rounds")
    own.add_argument("--device", default="cuda:0")
    own.add_argument("--json", type=Path, required=True)
    args = own.parse_args()
    started = time.perf_counter()

    import mjlab.tasks  # type: ignore[import-not-found]  # noqa: F401
    import torch
    from mjlab.envs import ManagerBasedRlEnv  # type: ignore[import-not-found]
    from mjlab.tasks.registry import load_env_cfg  # type: ignore[import-not-found]

    config = load_env_cfg(TASK)
    config.scene.num_envs = args.num_envs
    config.commands["motion"].motion_file = args.motion
    env = ManagerBasedRlEnv(cfg=config, device=args.device)
    env.reset()
    size = env.single_action_space.shape[0]

    def now() -> float:
        if torch.device(args.device).type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def steps(count: int) -> float:
        """Seconds of control steps under the default pose with noise."""
        begin = now()
        for _ in range(count):
            env.step(0.3 * torch.randn(args.num_envs, size, device=args.device))
        return now() - begin

    def physics(count: int) -> float:
        begin = now()
        for _ in range(count * config.decimation):
            env.sim.step()
        return now() - begin

    with torch.no_grad():
        first_step_s = now() - started + steps(1)
        steps(5)
        rounds = [(steps(args.steps), physics(args.steps)) for _ in range(ROUNDS)]
    done = args.num_envs * args.steps
    result = {
        "program": f"mjlab {_version('mjlab')}, mujoco-warp {_version('mujoco-warp')}",
        "task": TASK,
        "num_envs": args.num_envs,
        "control_dt": env.step_dt,
        "decimation": config.decimation,
        "full": done / median(each[0] for each in rounds),
        "physics": done / median(each[1] for each in rounds),
        "start_s": first_step_s,
    }
    temporary = args.json.with_suffix(".part")
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    temporary.replace(args.json)


if __name__ == "__main__":
    main()
