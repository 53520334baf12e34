"""Retarget the benchmark's LAFAN1 clips and print them beside other tools' results.

    python scripts/bench_retarget.py [--clips walk dance jumps] [--out table.md]

Needs the corpus (``MIMIC_CORPUS``) with ``lafan1_bvh/*.bvh`` and the benchmark folder
(``MIMIC_BENCH``) with the evaluator, the source joints with stance masks and the rivals' motions;
both default to folders beside the repository. The evaluator is a program of its own and looks at
every motion alike, at the source's frame rate. Rivals of another length than the source are
evaluated on the frames they have; those that mirror the clip are mirrored back first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.options import parse

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

import robots  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import input_error  # noqa: E402
from mimic_base.files import atomic_write_text  # noqa: E402
from motions import HumanMotion, RobotMotion, read_human_motion  # noqa: E402
from retarget import retarget  # noqa: E402
from retarget.feet.plan import plan_feet  # noqa: E402
from retarget.person.fidelity import mirror_qpos  # noqa: E402
from retarget.pipeline import prepare  # noqa: E402
from retarget.settings import RetargetSettings  # noqa: E402
from retarget.solvers.whole_clip.clip import solve_whole_clip  # noqa: E402
from robots.frames import robot_frames  # noqa: E402
from robots.robot import Robot  # noqa: E402
from robots.symmetry import mirror_map  # noqa: E402

SKETCH = "sketch_whole_clip.py"


def _folder(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or REPO.parent / "shared" / name)


@dataclass(frozen=True)
class Options:
    """Evaluate our retargeting of the benchmark clips beside the rivals'."""

    clips: tuple[str, ...] = ("walk", "dance", "jumps")
    out: Path | None = None
    """Also write the table here (Markdown)."""
    keep: Path | None = None
    """Keep our motions in this directory."""
    robot: str = "unitree_g1"


Figure = Callable[[dict[str, Any]], str]


def _at(*keys: str, scale: float = 1.0, digits: int = 1) -> Figure:
    def text(evaluated: dict[str, Any]) -> str:
        value: Any = evaluated
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return "–" if value is None else f"{scale * value:.{digits}f}"

    return text


COLUMNS: tuple[tuple[str, Figure], ...] = (
    ("> 1 cm under ground %", _at("any_geom_ground_pen", "rate_1cm", scale=100, digits=2)),
    ("deepest mm", _at("any_geom_ground_pen", "max_m", scale=1000)),
    ("stance skate cm/s", _at("source_contact", "skate_mean_mps", scale=100, digits=2)),
    ("stance float > 3 cm %", _at("source_contact", "float_rate_3cm", scale=100, digits=2)),
    ("self-collision > 1 cm %", _at("self_collision", "rate_deep", scale=100, digits=2)),
    ("joint speed max rad/s", _at("velocity", "max")),
    ("over own speed limit %", _at("velocity", "over_own_limit_rate", scale=100, digits=2)),
    ("jumps > 0.5 rad", _at("jumps", "count", digits=0)),
    ("joint jerk", _at("smooth", "mean_abs_jerk", digits=0)),
    ("root jerk", _at("smooth", "root_jerk", digits=0)),
    ("at a limit %", _at("near_limit_sample_rate", scale=100, digits=2)),
    ("limb error °", _at("fidelity", "limb_dir_err_mean_deg", digits=2)),
)


def timed(human: HumanMotion, robot: Robot) -> tuple[RobotMotion, str]:
    """The motion, and the speed of making it: without the quality figures, and with them.

    The best of three, after a first run that compiles the solver on a new machine.
    """
    settings = RetargetSettings()

    def solve() -> None:
        _, person, contacts = prepare(human, human.fps, settings)
        plan, frames = plan_feet(person, contacts), robot_frames(robot)
        solve_whole_clip(person, contacts, plan, robot, frames, settings.clip, settings.root)

    motion = retarget(human, robot)
    texts = []
    for work in (solve, lambda: retarget(human, robot)):
        walls, cpus = [], []
        for _ in range(3):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        texts.append(f"{human.num_frames / min(walls):.0f}, {human.num_frames / min(cpus):.0f}")
    return motion, f"{texts[0]} (with the figures {texts[1]})"


def main() -> int:
    options = parse(Options, None, prog="scripts/bench_retarget.py")
    bench, corpus = _folder("MIMIC_BENCH", "bench"), _folder("MIMIC_CORPUS", "corpus")
    evaluator = bench / "retarget_metrics.py"
    if not evaluator.exists():
        raise input_error(evaluator, "the evaluator is absent", fix="set MIMIC_BENCH to its folder")
    robot = robots.load(options.robot)
    head = ["clip", "method", *(name for name, _ in COLUMNS), "frames/s, and per CPU second"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        limits = work / "limits.json"
        pairs = zip(robot.joint_names, robot.velocity_limit.tolist(), strict=True)
        limits.write_text(json.dumps(dict(pairs)))
        for clip in options.clips:
            source = bench / "source" / f"lafan_{clip}.npz"
            human = read_human_motion(corpus / "lafan1_bvh" / f"{clip}.bvh")
            motion, speed = timed(human, robot)
            if options.keep is not None:
                motion.save(options.keep / f"{clip}.npz")
            ours = work / f"{clip}.npz"
            save_for_evaluator(ours, motion)
            rows = [("**ours**", ours, speed)]
            if (bench / SKETCH).exists():
                rows.append(run_sketch(bench / SKETCH, source, work / f"sketch_{clip}.npz"))
            for rival in sorted((bench / "rivals").glob(f"*lafan_{clip}.npz")):
                name, path = rival.stem.split("__")[0], rival
                if "mirrored" in name:
                    name, path = name.replace("_mirrored", ""), work / f"back_{rival.name}"
                    mirror_back(rival, path, robot)
                rows.append((name, path, ""))
            for name, path, rate in rows:
                evaluated = run_evaluator(evaluator, path, robot, source, limits)
                cells = [clip, name, *(figure(evaluated) for _, figure in COLUMNS), rate]
                lines.append("| " + " | ".join(cells) + " |")
                print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    if options.out is not None:
        atomic_write_text(options.out, table)
    print("\n" + table)
    return 0


def run_sketch(sketch: Path, source: Path, out: Path) -> tuple[str, Path, str]:
    """The row of the benchmark's own sketch, run beside ours on the same machine in the same
    minute: speeds of a shared machine are compared as ratios."""
    command = [sys.executable, str(sketch), str(source), str(out), "0", "0.08", "9"]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | threads
    )
    if run.returncode != 0:
        raise input_error(sketch, "the sketch failed", found=run.stderr.strip().splitlines()[-1:])
    return "150-line sketch", out, run.stdout.split()[-1]


def mirror_back(mirrored: Path, out: Path, robot: Robot) -> None:
    """A mirrored motion as it would be of the clip itself, so that it can be compared with it."""
    with np.load(mirrored) as data:
        arrays = dict(data)
    names = [str(name) for name in arrays["joint_names"]]
    order = [names.index(name) for name in robot.joint_names]
    qpos = np.concatenate(
        [arrays["root_pos"], arrays["root_rot"], arrays["dof_pos"][:, order]], axis=1
    )
    qpos = mirror_qpos(qpos, mirror_map(robot))
    np.savez(
        out,
        root_pos=qpos[:, :3],
        root_rot=qpos[:, 3:7],
        dof_pos=qpos[:, 7:],
        fps=arrays["fps"],
        joint_names=np.array(robot.joint_names),
    )


def save_for_evaluator(path: Path, motion: RobotMotion) -> None:
    """The motion under the array names that the evaluator reads."""
    np.savez(
        path,
        root_pos=motion.root_pos,
        root_rot=motion.root_quat,
        dof_pos=motion.joint_pos,
        fps=np.array(motion.fps),
        joint_names=np.array(motion.joint_names),
    )


def run_evaluator(
    evaluator: Path, motion: Path, robot: Robot, source: Path, limits: Path
) -> dict[str, Any]:
    """The evaluator's figures of one motion."""
    command = [sys.executable, str(evaluator), "--motion", str(motion), "--vel-limits-json"]
    command += [str(limits), "--robot", str(robot.vendor_xml), "--contacts", str(source)]
    command += ["--source", str(source)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        last = run.stderr.strip().splitlines()[-1:]
        raise input_error(motion, "the evaluator failed", found=last)
    return json.loads(run.stdout)


if __name__ == "__main__":
    exit_on_user_error(main)
