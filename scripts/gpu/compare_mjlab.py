"""Our environment beside mjlab's tracking environment: same motion, same GPU, one run.

mjlab pins another release of MuJoCo, so it lives in a Python environment of its own:

    python3 -m venv out/mjlab && out/mjlab/bin/pip install mjlab==1.6.0
    python scripts/gpu/compare_mjlab.py --mjlab-python out/mjlab/bin/python

Without it our half is measured alone, and the script says so.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from steps import REPO, Deadline, demo_motions, parser, run, step

LIMIT_S = 300.0
COUNTS = (4096, 8192)


def has_mjlab(python: str) -> bool:
    """Whether a Python environment has mjlab, without loading it."""
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('mjlab') is None)"
    try:
        return subprocess.run([python, "-c", code], check=False, cwd=REPO).returncode == 0
    except OSError:
        return False


def main() -> None:
    own = parser(__doc__ or "", minutes=15.0)
    own.add_argument("--mjlab-python", default=sys.executable, help="Python that has mjlab")
    own.add_argument("--engine", default="warp", help="our engine")
    own.add_argument("--num-envs", nargs="+", type=int, default=list(COUNTS))
    own.add_argument("--motion", type=Path, help="one robot motion (default: the first demo clip)")
    args = own.parse_args()
    deadline = Deadline.after(args.minutes)
    folder = (Path(args.out) / ("mjlab-toy" if args.toy else "mjlab")).resolve()
    motion = args.motion or sorted(demo_motions(Path(args.out), deadline).glob("*.npz"))[0]
    there = has_mjlab(args.mjlab_python)
    theirs = folder / "motion" / f"{motion.stem}.npz"
    if there and not theirs.is_file():
        command = ["-m", "motions", "convert", str(motion.resolve()), "--to", "mjlab", "--out-fps",
                   "50", "--out", str(theirs.parent)]  # fmt: skip
        if run(command, deadline.left_s, folder / "convert.log"):
            raise SystemExit(f"error: {motion} could not be converted, see {folder}/convert.log")
    counts = [2] if args.toy else args.num_envs
    for count in counts:
        result = folder / f"ours_{count}.json"
        command = [
            "-m", "mimic.cli", "benchmark", "--engine", args.engine, "--num-envs", str(count),
            "--motion", str(motion.resolve()), "--no-ppo", "--compile", "auto",
            "--json", str(result),
        ]  # fmt: skip
        toy = ["--device", "cpu", "--seconds", "0.05", "--threads", "1"] if args.toy else []
        if not step(result, [*command, *toy], deadline, LIMIT_S, engine="ours", num_envs=count):
            return
        if not there:
            continue
        result = folder / f"mjlab_{count}.json"
        command = [
            str(Path(__file__).with_name("mjlab_steps.py")), str(theirs), "--num-envs", str(count),
            "--json", str(result),
        ]  # fmt: skip
        toy = ["--device", "cpu", "--steps", "2"] if args.toy else []
        if not step(
            result, [*command, *toy], deadline, LIMIT_S, python=args.mjlab_python,
            engine="mjlab", num_envs=count,
        ):  # fmt: skip
            return
    if not there:
        print(f"{args.mjlab_python} has no mjlab: measured without it (--mjlab-python, see --help)")


if __name__ == "__main__":
    main()
