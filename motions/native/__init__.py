"""What runs in a process apart (`mimic_base.child`): calls of libraries in C and C++.

These modules are imported by a Python that has loaded nothing else, so that a child starts fast:
they import the library they call and, at most, numpy.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mimic_base import child

C3D, FBX = "motions.native.c3d:read", "motions.native.assimp:read"
"""What a child runs for the two formats."""


def warm(files: Iterable[Path]) -> None:
    """Start what will be needed for these files, without waiting for it."""
    endings = {file.suffix.lower() for file in files}
    for ending, target in ((".c3d", C3D), (".fbx", FBX)):
        if ending in endings:
            child.warm(target)
