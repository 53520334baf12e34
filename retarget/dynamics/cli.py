"""Check the dynamics of robot motions from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import robots
from motions import RobotMotion
from motions.errors import InputError
from motions.files import atomic_write_text
from retarget.dynamics.feasibility import DynamicsSettings, check_dynamics


@dataclass(frozen=True)
class Options:
    """Say which frames of a reference a robot could follow: torques, contacts, balance."""

    motions: tyro.conf.Positional[tuple[Path, ...]]
    """Robot motions (.npz)."""
    robot: str = ""
    """Robot name or description file; by default the one that a motion names."""
    friction: float = 0.8
    """Coefficient of friction between robot and ground."""
    json: Path | None = None
    """Also write figures and curves into this file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per motion: frames that are feasible, force that contacts cannot provide over
    the weight, the largest joint torque over its limit, frames whose zero-moment point lies outside
    the support polygon (and by how much at worst), frames without contact."""
    options = tyro.cli(Options, args=arguments, prog="python -m retarget.dynamics")
    if not options.motions:
        raise InputError("no motions given; say which: python -m retarget.dynamics MOTION.npz")
    if not options.friction > 0.0:
        raise InputError(f"--friction must be above zero (found {options.friction:g})")
    settings = DynamicsSettings(friction=options.friction)
    table = Table(pad_edge=False, box=None)
    table.add_column("motion")
    for heading in ("feasible", "missing force", "torque", "ZMP outside", "flight"):
        table.add_column(heading, justify="right")
    written = {}
    for path in options.motions:
        motion = RobotMotion.load(path)
        robot = robots.load(options.robot or motion.robot)
        result = check_dynamics(motion, robot, settings)
        found = result.summary(robot.joint_names)
        outside, worst = found["zmp_outside_rate"], found["zmp_worst_m"]
        table.add_row(
            escape(path.name),
            f"{100 * found['feasible_rate']:.0f} %",
            f"{100 * found['residual_mean']:.1f} %",
            f"{100 * found['torque_max']:.0f} %",
            "–" if outside is None else f"{100 * outside:.0f} % ({-100 * worst:.0f} cm)",
            f"{100 * found['flight_rate']:.0f} %",
        )
        curves = ("residual", "moment", "torque", "zmp_margin", "friction", "feasible")
        written[str(path)] = {
            "fps": result.fps,
            **found,
            "curves": {
                name: [None if v != v else round(float(v), 5) for v in getattr(result, name)]
                for name in curves
            },
        }
    Console(soft_wrap=True).print(table)
    if options.json is not None:
        atomic_write_text(options.json, json.dumps(written, allow_nan=False) + "\n")
        print(options.json)
    return 0
