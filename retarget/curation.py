"""``python -m retarget.curation FILE|DIR... [--out DIR] [--json FILE]``."""

from __future__ import annotations

from mimic_base.command_line import exit_on_user_error
from motions.robot.curation.cli import main

if __name__ == "__main__":
    exit_on_user_error(lambda: main(prog="python -m retarget.curation"))
