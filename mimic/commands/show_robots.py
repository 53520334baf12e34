"""``mimic robots``: the robots there are, and adding one of your own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mimic.commands.output import make_console, say

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

    def run(self) -> int:
        from rich.table import Table

        from robots.derive.add import add_robot

        added = add_robot(
            self.file,
            out=self.out,
            name=self.name,
            picture=self.picture,
            overwrite=self.overwrite,
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
        say(console, f"wrote {added.out} and {added.picture}: look at the picture, then use")
        say(console, f"  mimic retarget CLIP --robot {added.out} --out DIR")
        return 0
