"""``python -m retarget CLIP... --robot unitree_g1 --out DIR|FILE.npz --out-fps source|50``."""

from __future__ import annotations

from mimic_base.command_line import exit_on_user_error
from retarget.command.cli import main

if __name__ == "__main__":
    exit_on_user_error(main)
