"""``python -m retarget.dynamics MOTION... [--json FILE] [--out FILE]``."""

from __future__ import annotations

from mimic_base.command_line import exit_on_user_error
from retarget.projection.cli import main

if __name__ == "__main__":
    exit_on_user_error(main)
