"""``python -m motions.demo --out DIR [NAME...]``: write the demo clips as BVH files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from mimic_base.command_line import exit_on_user_error
from mimic_base.errors import InputError
from mimic_base.options import parse


@dataclass(frozen=True)
class Options:
    """Write the generated demo clips as BVH files."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Clips to write, such as walk; all of them unless given."""
    out: Path | None = None
    """Folder for the .bvh files. Without it the first word is that folder."""


def main(arguments: Sequence[str] | None = None, *, prog: str = "mimic motions demo") -> int:
    """Write the clips; 0 when all went well."""
    options = parse(Options, arguments, prog=prog)
    out, names = options.out, options.names
    if out is None:
        # As it was called before there was --out.
        if not names:
            raise InputError(f"no folder given; say which: {prog} --out DIR")
        out, names = Path(names[0]), names[1:]
    from motions.human import demo

    for name in names or demo.names():
        print(demo.write(name, out / f"{name}.bvh"))
    return 0


if __name__ == "__main__":
    exit_on_user_error(lambda: main(prog="python -m motions.demo"))
