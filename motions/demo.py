"""``python -m motions.demo DIR [NAME...]``: write the demo clips as BVH files."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimic_base.command_line import exit_on_user_error
from motions.human import demo


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m motions.demo", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the .bvh files go")
    parser.add_argument("names", nargs="*", help=f"clips to write (default: all of {demo.names()})")
    options = parser.parse_args()
    for name in options.names or demo.names():
        print(demo.write(name, options.directory / f"{name}.bvh"))
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
