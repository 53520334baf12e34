"""``python -m retarget.streaming CLIP|- --robot unitree_g1 --out FILE.npz``."""

from __future__ import annotations

from mimic_base.command_line import exit_on_user_error
from retarget.streaming.cli import main

if __name__ == "__main__":
    exit_on_user_error(main)
