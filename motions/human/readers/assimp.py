"""Scenes through Assimp (BSD-3-Clause): the library of the wheel ``cmeel-assimp`` or the system's.

It runs in a process of its own (`assimp_json`), so that a file on which it crashes is an error
like any other.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from mimic_base.errors import input_error
from motions.human.readers import assimp_json

CONVERT = (
    "convert it to BVH: in Blender File > Import > FBX, select the armature, "
    "File > Export > Motion Capture (.bvh)"
)


@cache
def library() -> str | None:
    """File name of Assimp: that of the wheel, else of the system, else None."""
    found: list[str] = []
    try:
        files = distribution("cmeel-assimp").files or []
        found += [str(file.locate()) for file in files if file.name.startswith("libassimp.")]
    except PackageNotFoundError:
        pass
    system = ctypes.util.find_library("assimp")
    for name in [*found, *([system] if system else [])]:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return None


def read_scene(path: Path) -> Mapping[str, Any]:
    """The scene of a file as Assimp's JSON has it. Raises `InputError`."""
    name = library()
    if name is None:
        raise input_error(
            path,
            "reading FBX needs Assimp",
            fix=f"pip install 'humanoid-mimic[fbx]', or {CONVERT}",
        )
    command = [sys.executable, "-I", "-S", assimp_json.__file__, name, str(path)]
    run = subprocess.run(command, capture_output=True, check=False)
    text = run.stdout.decode(errors="replace")
    if run.returncode == assimp_json.REFUSED:
        raise input_error(path, f"Assimp cannot read this FBX: {text}", fix=CONVERT)
    if run.returncode != 0:
        raise input_error(
            path,
            "Assimp cannot read this FBX: it crashed",
            found=f"exit code {run.returncode}",
            fix=CONVERT,
        )
    try:
        return json.loads(text)
    except RecursionError:
        raise input_error(
            path,
            "the scene's nodes are nested too deep for a skeleton",
            expected="some hundred levels at most",
            fix="export the armature alone",
        ) from None
    except ValueError as error:
        raise input_error(path, f"Assimp wrote no JSON: {error}", fix=CONVERT) from error
