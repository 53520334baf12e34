"""``python -m retarget.edit``: ``mimic motions edit``, whose robot is the G1 unless given."""

from __future__ import annotations

from collections.abc import Sequence

from mimic_base.command_line import exit_on_user_error
from motions.robot.editing import cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Edit one motion; 0 when all went well."""
    return cli.main(arguments, prog="python -m retarget.edit", robot="unitree_g1")


if __name__ == "__main__":
    exit_on_user_error(main)
