"""Submit a training to Slurm: the same as ``mimic slurm``."""

from __future__ import annotations

from mimic.commands.slurm import main
from mimic_base.command_line import exit_on_user_error

if __name__ == "__main__":
    exit_on_user_error(main)
