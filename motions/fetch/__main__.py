"""``python -m motions.fetch``."""

import sys

from motions.cli import exit_on_user_error
from motions.fetch.cli import main

if __name__ == "__main__":
    exit_on_user_error(lambda: main(sys.argv[1:]))
