"""Faithfulness that the evaluator of bench_retarget.py does not see, as Markdown tables.

    python scripts/bench_fidelity.py [--clips walk dance jumps] [--robots unitree_g1] [--out FILE]

Three tables: how far feet and hands are off (ours, frame by frame, and the motions of other tools
in ``MIMIC_BENCH/rivals``); what is left between a clip's result and the mirrored result of the
mirrored clip; and seams, by solving a clip in parts of other sizes and its first half alone.

Needs the corpus (``MIMIC_CORPUS``) with ``lafan1_bvh/*.bvh``; rivals are left out where
``MIMIC_BENCH`` is absent. Rivals that mirror the clip are compared with the mirrored person. What a
rival's path and ground are scaled by is its own choice: its errors in the world are left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.options import parse

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

import robots  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import RobotError  # noqa: E402
from mimic_base.files import atomic_write_text  # noqa: E402
from motions import HumanMotion, RobotMotion, read_human_motion  # noqa: E402
from motions.robot.editing import mirror_human  # noqa: E402
from retarget import retarget  # noqa: E402
from retarget.person.fidelity import asymmetry, end_effector_figures  # noqa: E402
from retarget.pipeline import prepare  # noqa: E402
from retarget.settings import RetargetSettings  # noqa: E402
from robots.kinematics import forward_kinematics  # noqa: E402
from robots.robot import Robot  # noqa: E402
from robots.symmetry import mirror_map  # noqa: E402
from scripts.fidelity_seams import seam_rows  # noqa: E402

# heading, figure of `end_effector_figures`, factor
COLUMNS = (
    ("foot °", "foot_deg", 1.0),
    ("foot p95 °", "foot_p95_deg", 1.0),
    ("hand °", "hand_deg", 1.0),
    ("hand p95 °", "hand_p95_deg", 1.0),
    ("foot, own lengths mm", "foot_own_m", 1e3),
    ("hand, own lengths mm", "hand_own_m", 1e3),
    ("foot to root mm", "foot_root_m", 1e3),
    ("hand to root mm", "hand_root_m", 1e3),
    ("foot in the world mm", "foot_world_m", 1e3),
    ("hand in the world mm", "hand_world_m", 1e3),
)


@dataclass(frozen=True)
class Options:
    """Measure feet, hands, symmetry and seams."""

    clips: tuple[str, ...] = ("walk", "dance", "jumps")
    robots: tuple[str, ...] = ("unitree_g1",)
    frames: int | None = None
    """Only so many frames of each clip."""
    per_frame: bool = True
    """Also solve frame by frame."""
    figures: bool = True
    """Orientation and position errors."""
    symmetry: bool = True
    seams: bool = True
    out: Path | None = None
    """Also write the tables here."""


def main() -> int:
    options = parse(Options, None, prog="scripts/bench_fidelity.py")
    tables = []
    for name in options.robots:
        robot = robots.load(name)
        if options.figures:
            tables.append(_table(figure_rows(robot, options)))
        if options.symmetry:
            tables.append(_table(symmetry_rows(robot, options)))
        if options.seams:
            tables.append(_table(seam_rows(robot, clips_of(options))))
    if options.out is not None:
        atomic_write_text(options.out, "\n".join(tables))
    return 0


def _table(rows: Iterator[list[str]]) -> str:
    lines = []
    for k, row in enumerate(rows):
        lines.append("| " + " | ".join(row) + " |")
        print(lines[-1], flush=True)
        if k == 0:
            lines.append("|" + "---|" * len(row))
            print(lines[-1], flush=True)
    print(flush=True)
    return "\n".join(lines) + "\n"


def clip_of(name: str, options: Options) -> HumanMotion:
    folder = Path(os.environ.get("MIMIC_CORPUS") or REPO.parent / "shared" / "corpus")
    human = read_human_motion(folder / "lafan1_bvh" / f"{name}.bvh")
    return human if options.frames is None else human.crop(0, options.frames)


def clips_of(options: Options) -> Iterator[tuple[str, HumanMotion]]:
    """All clips by name, read one after the other."""
    for name in options.clips:
        yield name, clip_of(name, options)


def figure_rows(robot: Robot, options: Options) -> Iterator[list[str]]:
    """One row per clip and method."""
    yield ["robot", "ankle + wrist joints", "clip", "method", *(head for head, _, _ in COLUMNS)]
    for clip, human in clips_of(options):
        rows = [("**ours**", retarget(human, robot).quality["fidelity"], True)]
        if options.per_frame:
            settings = RetargetSettings(method="per-frame")
            motion = retarget(human, robot, settings=settings)
            rows.append(("per-frame", motion.quality["fidelity"], True))
        rows += [(name, found, False) for name, found in rival_figures(robot, clip, human)]
        for method, found, ours in rows:
            joints = f"{found['ankle_hinges']} + {found['wrist_hinges']}"
            cells = [_cell(found, key, scale, ours) for _, key, scale in COLUMNS]
            yield [robot.name, joints, clip, method, *cells]


def _cell(found: dict[str, Any], key: str, scale: float, ours: bool) -> str:
    value = found[key]
    if value is None or (not ours and key.endswith("_world_m")):
        return "–"
    return f"{scale * value:.1f}"


def rival_figures(
    robot: Robot, clip: str, human: HumanMotion
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Figures of other tools' motions of this clip to this robot."""
    bench = Path(os.environ.get("MIMIC_BENCH") or REPO.parent / "shared" / "bench")
    for path in sorted((bench / "rivals").glob(f"*lafan_{clip}.npz")):
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["joint_names"]]
            root, turn, angles = (arrays[k] for k in ("root_pos", "root_rot", "dof_pos"))
        if set(names) != set(robot.joint_names):
            continue
        count = min(len(root), human.num_frames)
        person = human.crop(0, count)
        if "mirrored" in path.stem:
            person = mirror_human(person)
        angles = angles[:count, [names.index(name) for name in robot.joint_names]]
        pos, quat = forward_kinematics(robot, root[:count], turn[:count], angles)
        person, calibrated, contacts = prepare(person, person.fps, RetargetSettings())
        found = end_effector_figures(robot, person, calibrated, contacts.ground, pos, quat)
        yield path.stem.split("__")[0], found


def qpos_of(motion: RobotMotion) -> np.ndarray:
    return np.concatenate([motion.root_pos, motion.root_quat, motion.joint_pos], axis=1)


def symmetry_rows(robot: Robot, options: Options) -> Iterator[list[str]]:
    """What is left between a result and the mirrored result of the mirrored clip."""
    yield [
        "robot", "clip", "joints, mean rad", "joints, max rad", "of joint", "frames > 0.01 rad %",
        "root, mean mm", "root, max mm",
    ]  # fmt: skip
    try:
        pairs = mirror_map(robot)
    except RobotError as error:
        yield [robot.name, str(error), *["–"] * 6]
        return
    for clip, human in clips_of(options):
        here, there = (qpos_of(retarget(each, robot)) for each in (human, mirror_human(human)))
        left = asymmetry(here, there, pairs)
        worst = robot.joint_names[int(left.joint.max(axis=0).argmax())]
        yield [
            robot.name, clip, f"{left.joint.mean():.1e}", f"{left.joint.max():.4f}", worst,
            f"{100 * (left.joint.max(axis=1) > 0.01).mean():.1f}",
            f"{1e3 * left.root.mean():.4f}", f"{1e3 * left.root.max():.3f}",
        ]  # fmt: skip


if __name__ == "__main__":
    exit_on_user_error(main)
