"""``python -m motions.fetch``."""

from mimic_base.command_line import exit_on_user_error
from motions.human.fetch.cli import main

if __name__ == "__main__":
    exit_on_user_error(lambda: main(prog="python -m motions.fetch"))
