"""Train a policy: the same as ``mimic train``."""

from __future__ import annotations

from mimic.commands.train import TrainArguments, main, parse, train
from mimic_base.command_line import exit_on_user_error

__all__ = ["TrainArguments", "main", "parse", "train"]

if __name__ == "__main__":
    exit_on_user_error(main)
