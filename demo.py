"""The whole road once: the same as ``mimic demo``."""

from __future__ import annotations

import sys

from mimic.cli import run
from mimic_base.command_line import exit_on_user_error

if __name__ == "__main__":
    exit_on_user_error(lambda: run(["demo", *sys.argv[1:]]))
