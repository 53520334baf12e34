"""The ``mimic`` command: what there is, how good and how fast it is, and export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import tyro
from tyro.conf import subcommand

from mimic.commands.benchmark import Benchmark
from mimic.commands.evaluate import Evaluate
from mimic.commands.export import Export
from mimic.commands.list_tasks import ListTasks
from mimic.commands.parity import Parity
from mimic.commands.show_motions import ShowMotions
from mimic.commands.show_robots import ShowRobots
from mimic_base.command_line import exit_on_user_error

Command = (
    Annotated[ListTasks, subcommand("list", prefix_name=False)]
    | Annotated[ShowMotions, subcommand("motions", prefix_name=False)]
    | Annotated[ShowRobots, subcommand("robots", prefix_name=False)]
    | Annotated[Evaluate, subcommand("evaluate", prefix_name=False)]
    | Annotated[Parity, subcommand("parity", prefix_name=False)]
    | Annotated[Export, subcommand("export", prefix_name=False)]
    | Annotated[Benchmark, subcommand("benchmark", prefix_name=False)]
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    command: Command = tyro.cli(
        Command,  # type: ignore[arg-type]
        args=sys.argv[1:] if arguments is None else arguments,
        prog="mimic",
        description="Humanoid motion imitation: what there is, how good and how fast it is.",
    )
    return command.run()


def main() -> NoReturn:
    """Entry point: a user's mistake is one line and exit code 2."""
    exit_on_user_error(run)


if __name__ == "__main__":
    main()
