"""Check the dynamics of robot motions from the command line, and project one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

import robots
from mimic_base.errors import InputError, input_error
from mimic_base.files import atomic_write_text, check_writable
from mimic_base.options import parse
from motions import RobotMotion
from retarget.choices import Means
from retarget.projection.acceptance import ProjectionSettings

if TYPE_CHECKING:
    from motions.robot.dynamics.feasibility import DynamicsSettings
    from robots.robot import Robot


OLDER = {"--project": "--out"}
"""Older spelling of an option -> its name."""


@dataclass(frozen=True)
class Options:
    """Say which frames of a reference a robot could follow: torques, contacts, balance."""

    motions: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motions (.npz)."""
    robot: str = ""
    """Robot name, or a description file (.toml); by default the one that a motion names."""
    friction: float = 0.8
    """Coefficient of friction between robot and ground."""
    json: Path | None = None
    """Also write everything into this file: figures and curves."""
    out: Path | None = None
    """Write the motion, changed so that more of its frames are feasible, into this file (.npz)."""
    max_shift: float = ProjectionSettings.max_shift
    """With --out: m by which the base may leave its path."""
    max_slow_down: float = ProjectionSettings.max_slow_down
    """With --out: factor by which any part may take longer."""
    max_joint_change: float = ProjectionSettings.max_joint_change
    """With --out: rad by which a leg joint may leave its angle."""
    means: Means = "both"
    """With --out: move the base, slow down, or both."""


def main(
    arguments: Sequence[str] | None = None, *, prog: str = "python -m retarget.dynamics"
) -> int:
    """Print a line per motion: frames that are feasible, force that contacts cannot provide over
    the weight, the largest joint torque over its limit, frames whose zero-moment point lies outside
    the support polygon (and by how much at worst), frames without contact. With --out, a table
    of one motion before and after."""
    options = parse(Options, arguments, prog=prog, renamed=OLDER)
    if not options.motions:
        raise InputError("no motions given; say which: mimic motions check MOTION.npz")
    if not 0.0 < options.friction < float("inf"):
        raise InputError(f"--friction must be a number above zero (found {options.friction:g})")
    from rich.console import Console

    from motions.robot.dynamics.feasibility import DynamicsSettings, check_dynamics
    from retarget.projection.tables import add_check, check_record, check_table

    dynamics = DynamicsSettings(friction=options.friction)
    if options.json is not None:
        check_writable(options.json)
    if options.out is not None:
        return _project(options, options.out, dynamics)
    table, written = check_table(), {}
    for path in options.motions:
        motion, robot = _load(path, options.robot)
        result = check_dynamics(motion, robot, dynamics)
        add_check(table, path, result.summary(robot.joint_names))
        written[str(path)] = check_record(result, robot)
    Console(soft_wrap=True).print(table)
    _write(options.json, written)
    return 0


def _load(path: Path, robot: str) -> tuple[RobotMotion, Robot]:
    motion = RobotMotion.load(path)
    if not (robot or motion.robot):
        raise input_error(
            path, "the motion names no robot", fix="say which it is for: --robot NAME"
        )
    return motion, robots.load(robot or motion.robot)


def _project(options: Options, out: Path, dynamics: DynamicsSettings) -> int:
    from rich.console import Console

    from mimic_base.text import markup
    from retarget.projection.projection import project
    from retarget.projection.tables import check_record, projection_table

    settings = ProjectionSettings(
        max_shift=options.max_shift,
        max_slow_down=options.max_slow_down,
        max_joint_change=options.max_joint_change,
        means=options.means,
    )
    settings.check()
    if len(options.motions) != 1:
        raise InputError(f"--out takes one motion (found {len(options.motions)})")
    if out.suffix.lower() != ".npz":
        raise input_error(out, "--out writes a robot motion, expected a name in .npz")
    check_writable(out)
    path = options.motions[0]
    motion, robot = _load(path, options.robot)
    console = Console(soft_wrap=True)

    def say(text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    result = project(motion, robot, settings, dynamics, say)
    result.motion.save(out)
    console.print(projection_table(result, robot))
    for note in result.notes:
        console.print(markup(note))
    unchanged = "" if result.changed else " (unchanged)"
    console.print(f"wrote {markup(str(out))}{unchanged}")
    states = {str(path): result.before, str(out): result.after}
    _write(options.json, {name: check_record(x.dynamics, robot) for name, x in states.items()})
    return 0


def _write(path: Path | None, record: dict[str, object]) -> None:
    if path is not None:
        atomic_write_text(path, json.dumps(record, allow_nan=False) + "\n")
        print(path)
