"""What MuJoCo and the libraries inside it would print, as lines of ours.

MuJoCo warns through a function of its own, which by default prints and also writes
``MUJOCO_LOG.TXT`` into the current directory; its compiler warns through Python; Qhull, which finds
the hulls of meshes, writes to the process's standard error.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco

MOST = 5
"""Lines that are told; of more, their number."""
LENGTH = 160
"""Characters of a line, which ends after its first sentence."""
_STARTS = re.compile(r"^(?=QH\d+|WARNING:|Warning:|qhull )", re.MULTILINE)


@contextmanager
def warnings_of_mujoco() -> Iterator[list[str]]:
    """MuJoCo's own warnings in the block, as texts, in place of a line on the terminal and a log
    in the current directory. Whoever listened before hears them too."""
    before = mujoco.get_mju_user_warning()
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        if before is not None:
            before(text)

    mujoco.set_mju_user_warning(hear)
    try:
        yield told
    finally:
        mujoco.set_mju_user_warning(before)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Keep warnings off the terminal while a robot is read; afterwards the list holds them.

    The process's standard error and Python's warnings are kept for the time of the block, which
    should do nothing else. The list is filled when the block ends, however it ends.
    """
    lines: list[str] = []
    told: list[str] = []
    mujoco.set_mju_user_warning(told.append)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                file.seek(0)
                printed = file.read().decode("utf-8", "replace")
                told += [str(each.message) for each in caught]
                told += _STARTS.split(printed)
                lines += _lines(told)
    finally:
        os.close(kept)
        mujoco.set_mju_user_warning(None)


def _lines(texts: list[str]) -> list[str]:
    """Each text in one line, its first sentence, none twice."""
    found = []
    for text in texts:
        line = " ".join(text.split())
        line = re.sub(r"^(?:QH\d+ |WARNING: |Warning: )+", "", line)
        line = re.split(r"(?<=[a-z)])\. ", line, maxsplit=1)[0].removesuffix(".")
        if line:
            found.append(line if len(line) <= LENGTH else line[: LENGTH - 3] + "...")
    found = list(dict.fromkeys(found))
    more = len(found) - MOST
    return [*found[:MOST], *([f"and {more} more"] if more > 0 else [])]
