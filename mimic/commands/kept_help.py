"""Help that is dear to make, kept in the user's cache.

`mimic train TASK --help` lists every number of the task: the task is built for it, with torch, for
seconds. The text depends on the words, the terminal and the program alone, so it is kept under
their hash.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

KIND = "help"
FILES = ("--resume", "--config")
"""Options that name files which the help's defaults come from."""


class _Copied(io.StringIO):
    """What is printed, for a reader that sees whether it goes to a terminal."""

    def __init__(self, real: TextIO) -> None:
        super().__init__()
        self.real = real

    def isatty(self) -> bool:
        return self.real.isatty()


def kept_help(words: Sequence[str], prog: str, make: Callable[[], Any]) -> None:
    """Print help as ``make`` prints it before it raises ``SystemExit``, the second time from the
    cache.

    Args:
        words: the command line.
        prog: how the command is called.
        make: prints help and raises ``SystemExit``; whatever else it raises is passed on.

    Raises:
        SystemExit: help was printed.
    """
    import numpy as np

    from mimic.commands.list_tasks import program_hash
    from mimic_base.cache import load_arrays, save_arrays

    terminal = (shutil.get_terminal_size().columns, sys.stdout.isatty(), os.environ.get("TERM"))
    key = f"{program_hash()} {_tyro()} {terminal} {prog} {list(words)}"
    kept = load_arrays(KIND, prog, key)
    if kept is not None and "text" in kept:
        sys.stdout.write(kept["text"].tobytes().decode())
        raise SystemExit(0)
    copied = _Copied(sys.stdout)
    try:
        with contextlib.redirect_stdout(copied):
            make()
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            text = np.frombuffer(copied.getvalue().encode(), np.uint8)
            save_arrays(KIND, prog, key, {"text": text})
        raise
    finally:
        sys.stdout.write(copied.getvalue())


def can_be_kept(words: Sequence[str]) -> bool:
    """Whether help of these words depends on nothing outside of the program: neither a run's file
    nor a module of the user's own (``package.module:name``)."""
    if not any(word in ("-h", "--help") for word in words):
        return False
    return not any(":" in word or word.partition("=")[0] in FILES for word in words)


def _tyro() -> str:
    from importlib.metadata import version

    return version("tyro")
