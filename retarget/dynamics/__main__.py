"""``python -m retarget.dynamics MOTION... [--json FILE] [--project OUT]``."""

from __future__ import annotations

from motions.cli import exit_on_user_error
from retarget.dynamics.cli import main

if __name__ == "__main__":
    exit_on_user_error(main)
