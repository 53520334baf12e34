"""Watch a policy track a motion: the same as ``mimic play``."""

from __future__ import annotations

import sys

from mimic.cli import run
from mimic_base.command_line import exit_on_user_error

if __name__ == "__main__":
    exit_on_user_error(lambda: run(["play", *sys.argv[1:]]))
