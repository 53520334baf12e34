"""What code a result came from: a batch made by another solver is not finished work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

SOLVER_SCHEMA = 1
"""Raised by hand where results change though no file below does (another default of a library)."""
REPO = Path(__file__).resolve().parents[2]
PARTS = (
    "mimic_base",
    "robots",
    "motions/human",
    "motions/robot/motion.py",
    "motions/robot/quality",
    "retarget/pipeline.py",
    "retarget/settings.py",
    "retarget/objectives",
    "retarget/person",
    "retarget/feet",
    "retarget/solvers",
)
"""Files and folders whose Python code shapes a result, from reading a clip to its figures."""


@cache
def solver_version() -> str:
    """Schema number and hash of the code that shapes results; computed once in a process."""
    return f"{SOLVER_SCHEMA}:{code_hash(REPO, PARTS)}"


def code_hash(root: Path, parts: Iterable[str]) -> str:
    """Hash of the names and contents of the Python files of `parts` below `root`."""
    digest = hashlib.sha256()
    for part in parts:
        path = root / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            content = file.read_bytes()
            digest.update(f"|{file.relative_to(root).as_posix()}|{len(content)}|".encode())
            digest.update(content)
    return digest.hexdigest()
