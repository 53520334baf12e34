"""``python -m retarget.convert``: ``mimic motions convert``, whose robot is the G1 unless given."""

from __future__ import annotations

from collections.abc import Sequence

from mimic_base.command_line import exit_on_user_error
from motions.robot.formats import cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert every file; 0 when all went well, 2 when one could not be used."""
    return cli.main(arguments, prog="python -m retarget.convert", robot="unitree_g1")


if __name__ == "__main__":
    exit_on_user_error(main)
