"""``python -m motions convert | edit | info | fetch | curate | demo``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from mimic_base.command_line import USER_ERROR_EXIT_CODE, exit_on_user_error

COMMANDS = {
    "convert": ("motions.robot.formats.cli", "robot motions from one format into another"),
    "edit": ("motions.robot.editing.cli", "cut, mirror, blend and join robot motions"),
    "info": ("motions.robot.formats.info", "what a robot motion file holds"),
    "fetch": ("motions.human.fetch", "get human motion data"),
    "curate": ("motions.robot.curation.cli", "evaluate and repair robot motions"),
    "demo": ("motions.demo", "write the generated human clips"),
}
"""Sub-command: the module whose `main(arguments, prog=...)` runs it, and what it does."""


def usage() -> str:
    lines = [f"  {name:8} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: python -m motions COMMAND [--help | ...]", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else USER_ERROR_EXIT_CODE
    if words[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"error: no command {words[0]!r} (expected one of {known})", file=sys.stderr)
        return USER_ERROR_EXIT_CODE
    # Imported when asked for: what one command needs should not slow the others down.
    name = COMMANDS[words[0]][0]
    program = importlib.import_module(name)
    return program.main(words[1:], prog=f"python -m motions {words[0]}") or 0


if __name__ == "__main__":
    exit_on_user_error(main)
