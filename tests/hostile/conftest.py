"""Commands on files from strangers, in a child process with little memory and time."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEMORY = 3 << 30
"""Bytes of address space; the libraries alone take one."""
SECONDS = 60

Refused = Callable[..., str]


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Run ``python -m MODULE WORD...`` in a child process; the one line with which it refuses."""

    def run(module: str, *words: object, files: bool = False) -> str:
        before = sorted(tmp_path.rglob("*"))
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            capture_output=True, text=True, timeout=SECONDS, preexec_fn=_limit_memory,
        )  # fmt: skip
        told = done.stderr.strip()
        assert done.returncode == 2, f"exit code {done.returncode}: {told[-2000:]}"
        assert "Traceback" not in told, told[-2000:]
        lines = [line for line in told.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, told[-2000:]
        assert len(lines[0]) < 1000, lines[0]
        if not files:
            assert sorted(tmp_path.rglob("*")) == before, "something was left behind"
        return lines[0]

    return run
