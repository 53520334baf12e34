"""Scenes through Assimp (BSD-3-Clause): the library of the wheel ``cmeel-assimp`` or the system's.

It runs in a process apart (`motions.native.assimp` within `mimic_base.child`), so that a file on
which it crashes, hangs or fills the memory is an error like any other.
"""

from __future__ import annotations

import ctypes.util
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from mimic_base import child
from mimic_base.errors import input_error
from mimic_base.reading import real_path
from mimic_base.text import plain
from motions import native

_BYTES_A_SHARE = 5e6
"""A file of that size is read within the limit of time by far; a larger one is given more."""
CONVERT = (
    "convert it to BVH: in Blender File > Import > FBX, select the armature, "
    "File > Export > Motion Capture (.bvh)"
)


@cache
def library() -> str | None:
    """File name of Assimp: that of the wheel, else of the system, else None; it is not opened."""
    try:
        files = distribution("cmeel-assimp").files or []
        for file in files:
            place = Path(str(file.locate()))
            if file.name.startswith("libassimp.") and place.is_file():
                return str(place)
    except PackageNotFoundError:
        pass
    return ctypes.util.find_library("assimp")


def read_scene(path: Path) -> Mapping[str, Any]:
    """The scene of a file as Assimp's JSON has it. Raises `InputError`."""
    name = library()
    if name is None:
        raise input_error(
            path,
            "reading FBX needs Assimp",
            fix=f"pip install 'humanoid-mimic[fbx]', or {CONVERT}",
        )
    file = real_path(path)
    job = child.Job(
        target=native.FBX,
        arguments={"name": name, "file": str(file)},
        about=path,
        what="Assimp",
        # Assimp looks for what lies beside a scene; there is nothing for it.
        reads=[file, Path(name).parent],
        share=max(1.0, file.stat().st_size / _BYTES_A_SHARE),
    )
    try:
        found = child.call(job)
    except child.ChildError as error:
        raise input_error(
            path, "Assimp cannot read this FBX", found=plain(error, 200), fix=CONVERT
        ) from error
    if "refused" in found:
        reason = plain(found["refused"], 200)
        raise input_error(path, f"Assimp cannot read this FBX: {reason}", fix=CONVERT)
    text = found["json"].decode(errors="replace")
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
