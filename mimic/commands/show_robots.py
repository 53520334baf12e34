"""``mimic robots``: the robots there are and where their models come from."""

from __future__ import annotations

from dataclasses import dataclass

from mimic.commands.output import make_console, say


@dataclass(frozen=True, kw_only=True)
class ShowRobots:
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
                robot = robots.load(info.name)
                mass = float(robot.model.body_mass.sum())
                cells = [str(robot.num_joints), str(len(robot.body_names)), f"{mass:.1f}"]
            table.add_row(info.name, info.title, info.source, *cells)
        console.print(table)
        for hint in hints:
            say(console, hint, style="yellow")
        say(console, "a robot of your own: --robot PATH of a description (.toml) naming its MJCF")
        return 0
