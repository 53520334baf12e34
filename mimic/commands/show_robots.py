"""``mimic robots``: the robots there are, and adding one of your own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mimic.commands.output import make_console, say
from mimic_base.errors import RobotError

if TYPE_CHECKING:
    from robots.derive.write import Derived

UNSURE = 0.5
"""Guesses below it are named after the work."""


@dataclass(frozen=True, kw_only=True)
class ListRobots:
    """List robots, where their models come from, and how to get one that is absent."""

    def run(self) -> int:
        from rich.table import Table

        import robots

        console = make_console()
        table = Table()
        for heading in ("robot", "title", "model from", "joints", "bodies", "mass (kg)"):
            table.add_column(heading, justify="left" if len(table.columns) < 3 else "right")
        hints = []
        for info in robots.available():
            cells = ["-", "-", "-"]
            if info.path is None:
                hints.append(f"{info.name}: {info.hint}")
            else:
                joints, bodies, mass = robots.summary(info.name)
                cells = [str(joints), str(bodies), f"{mass:.1f}"]
            table.add_row(info.name, info.title, info.source, *cells)
        console.print(table)
        for hint in hints:
            say(console, hint, style="yellow")
        say(console, "a robot of your own: mimic robots add FILE (MJCF or URDF)")
        return 0


@dataclass(frozen=True)
class AddRobot:
    """Derive the description of a robot from its MJCF or URDF, with a picture to confirm it by.

    Every guess is written into the description with its confidence and reason. Use the result as
    ``--robot FILE.toml``.
    """

    file: tyro.conf.Positional[Path]
    """The robot's model: MJCF (.xml) or URDF (.urdf)."""
    out: Path | None = None
    """Description to write; NAME.toml in the current directory unless given."""
    name: str | None = None
    """Name of the robot; the model's own unless given."""
    picture: Path | None = None
    """PNG to write; beside the description unless given."""
    overwrite: bool = False
    """Replace files that exist."""
    confirm: bool = False
    """Take what the evidence is split about without being asked; the description says so."""

    def run(self) -> int:
        from rich.table import Table

        from robots.derive.add import add_robot

        added = add_robot(
            self.file,
            out=self.out,
            name=self.name,
            picture=self.picture,
            overwrite=self.overwrite,
            confirm=self._ask,
        )
        console = make_console()
        robot, derived = added.robot, added.derived
        if derived.dropped:
            some = ", ".join(derived.dropped[:3]) + (", ..." if len(derived.dropped) > 3 else "")
            say(
                console,
                f"{self.file}: {len(derived.dropped)} mesh files are absent or neither STL, OBJ "
                f"nor MSH ({some}); the robot is described without that geometry",
                style="yellow",
            )
        for remark in added.warnings:
            say(console, f"{self.file}: MuJoCo warns: {remark}", style="yellow")
        mass = float(robot.model.body_mass.sum())
        say(
            console,
            f"{robot.name}: {robot.num_joints} joints, {mass:.1f} kg, root '{robot.root_body}'",
        )
        table = Table()
        for heading in ("guess", "confidence", "reason"):
            table.add_column(heading)
        for what, guess in derived.guesses().items():
            style = "yellow" if guess.confidence < UNSURE else None
            table.add_row(what, f"{guess.confidence:.2f}", guess.reason, style=style)
        console.print(table)
        for doubt in derived.doubts():
            say(console, f"unsure: {doubt}", style="yellow")
        say(console, f"wrote {added.out} and {added.picture}: look at the picture, then use")
        say(console, f"  mimic retarget CLIP --robot {added.out} --out DIR")
        return 0

    def _ask(self, derived: Derived) -> None:
        """Ask whether split evidence is to be taken; where nobody can be asked, say what does."""
        split = list(derived.split())
        if not split or self.confirm:
            return
        if sys.stdin.isatty() and sys.stdout.isatty():
            for doubt in split:
                print(f"unsure: {doubt}")
            if input("write the description so? [y/N] ").strip().lower() in ("y", "yes"):
                return
            raise RobotError(f"{self.file}: not confirmed, nothing is written")
        more = f"; and {len(split) - 1} more" if len(split) > 1 else ""
        raise RobotError(
            f"{self.file}: the evidence is split: {split[0]}{more}; to take it so and check the "
            "picture, add --confirm"
        )
