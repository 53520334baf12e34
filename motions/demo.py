"""``python -m motions.demo DIR [NAME...]``: write the demo clips as BVH files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from mimic_base.command_line import exit_on_user_error


@dataclass(frozen=True)
class Options:
    """Write the generated demo clips as BVH files."""

    directory: tyro.conf.Positional[Path]
    """Where the .bvh files go."""
    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Clips to write, such as walk; all of them unless given."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions demo") -> int:
    """Write the clips; 0 when all went well."""
    options = tyro.cli(Options, args=arguments, prog=prog)
    from motions.human import demo

    for name in options.names or demo.names():
        print(demo.write(name, options.directory / f"{name}.bvh"))
    return 0


if __name__ == "__main__":
    exit_on_user_error(lambda: main(prog="python -m motions.demo"))
