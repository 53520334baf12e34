"""Reading human motion: text formats, joint positions, SMPL parameters, landmarks, C3D, FBX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from mimic_base.errors import InputError, input_error
from mimic_base.resample import check_fps
from motions.human.motion import HumanMotion
from motions.human.readers.amc import read_amc
from motions.human.readers.arrays import NPY_MAGIC, ROBOT_MOTION, ZIP_MAGIC
from motions.human.readers.assemble import assemble
from motions.human.readers.bvh import read_bvh
from motions.human.readers.c3d import read_c3d
from motions.human.readers.deepmimic import read_deepmimic
from motions.human.readers.fbx import FBX_MAGIC, read_fbx
from motions.human.readers.numeric import read_numeric
from motions.human.readers.raw import (
    GREATEST_PERSON,
    LEAST_PERSON,
    RawClip,
    ReadOptions,
    read_bytes,
    text_of,
)

_READERS: dict[str, Callable[[Path, ReadOptions], RawClip]] = {
    "bvh": lambda path, options: read_bvh(path, options.fps),
    "amc": lambda path, options: read_amc(path, options.fps),
    "deepmimic": lambda path, options: read_deepmimic(path, options.fps),
    "arrays": read_numeric,
    "c3d": read_c3d,
    "fbx": read_fbx,
}
_EXTENSIONS = {
    ".bvh": "bvh",
    ".amc": "amc",
    ".json": "deepmimic",
    ".txt": "deepmimic",
    ".npy": "arrays",
    ".npz": "arrays",
    ".pkl": "arrays",
    ".pt": "arrays",
    ".c3d": "c3d",
    ".fbx": "fbx",
}
EXTENSIONS: tuple[str, ...] = tuple(_EXTENSIONS)
"""File name endings that may hold a human motion; some may hold other things too, see
`is_human_clip`."""

_TEXTS = (".bvh", ".amc", ".json", ".txt")
_C3D_PARAMETERS = 0x50
_TABLE_COLUMNS = 12


def read_human_motion(
    path: Path | str,
    *,
    unit: float | None = None,
    up: Literal["x", "y", "z", "-y"] | None = None,
    skeleton_map: Mapping[str, str] | None = None,
    drop_first: int | None = None,
    fps: float | None = None,
    layout: str | None = None,
    body_models: Path | str | None = None,
    height: float | None = None,
) -> HumanMotion:
    """Read a human clip of any supported format into metres and a z-up world.

    What the file does not say is detected and written into `HumanMotion.report`; each detection
    has an override: `unit` in metres per file unit, `up` the file's vertical axis, `skeleton_map`
    from role to joint name (the roles not named are still recognised), `drop_first` the number of
    frames to leave out at the start (0 keeps all), `fps` the file's frame rate, `layout` the joint
    order of an array without names (see `motions.human.skeletons.layouts`). SMPL-family clips look
    for licensed body models in `body_models`; `height` m is the person's, for files that tell only
    the pose (SMPL parameters, video landmarks) and for those whose unit is unknown.

    Raises `InputError`, one line, for everything that makes the file unusable.
    """
    path = Path(path)
    if fps is not None:
        fps = check_fps(fps, f"{path}: --source-fps")
    if height is not None and not LEAST_PERSON <= height <= GREATEST_PERSON:
        raise input_error(None, "--height must be a person's, in metres", found=f"{height:g}")
    options = ReadOptions(
        fps=fps,
        layout=layout,
        body_models=None if body_models is None else Path(body_models),
        height=height,
    )
    clip = _READERS[_format_of(path)](path, options)
    return assemble(
        clip, unit=unit, up=up, skeleton_map=skeleton_map, drop_first=drop_first, height=height
    )


def is_human_clip(path: Path | str) -> bool:
    """Whether a file found in a folder surely is a human clip.

    Endings that other things share count only by their content: text must look like DeepMimic's,
    and arrays must be a person's (a robot's motion, a scene or a broken archive is left out).
    """
    path = Path(path)
    kind = _EXTENSIONS.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return False
    try:
        if kind in ("deepmimic", "arrays"):
            kind = _format_of(path)
        if kind == "deepmimic":
            head = read_bytes(path, 4096)
            return head.lstrip().startswith(b"{") and b'"Frames"' in head
        if kind == "arrays":
            read_numeric(path, ReadOptions(fps=30.0))  # the rate does not decide what it is
    except InputError:
        return False
    return True


def _format_of(path: Path) -> str:
    """The format by content, then by extension: clips get renamed."""
    known = ", ".join(_EXTENSIONS)
    suffix = path.suffix.lower()
    start = read_bytes(path, 4096)
    found = _sniff_binary(start)
    if found is None:
        try:
            text = text_of(path, start)
        except InputError:
            if suffix in _TEXTS:
                raise
            text = ""
        found = _sniff(path, text)
    if found is not None:
        return found
    if suffix == ".asf":
        raise input_error(path, "this is a skeleton; give the .amc clip that uses it")
    if suffix not in _EXTENSIONS:
        raise input_error(
            path,
            "unknown kind of motion file",
            found=f"extension {suffix or 'none'}",
            expected=known,
            fix="convert the clip to one of these",
        )
    if suffix == ".txt":
        raise input_error(path, "this text file holds no motion", expected=f"one of {known}")
    return _EXTENSIONS[suffix]


def _sniff_binary(start: bytes) -> str | None:
    if start.startswith(FBX_MAGIC):
        return "fbx"
    if start.startswith((NPY_MAGIC, ZIP_MAGIC)):
        return "arrays"
    # A pickle of protocol 2 to 5 begins with its version.
    if len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5:
        return "arrays"
    if len(start) > 1 and start[1] == _C3D_PARAMETERS and 0 < start[0] < 32:
        return "c3d"
    return None


def _sniff(path: Path, start: str) -> str | None:
    """The format of a text by its beginning; `InputError` for a table of numbers."""
    start = start.lstrip()
    if start[:9].upper() == "HIERARCHY":
        return "bvh"
    if start.startswith("{"):
        return "deepmimic"
    if ":FULLY-SPECIFIED" in start.upper() or start.upper().startswith(":DEGREES"):
        return "amc"
    if _is_table(start):
        raise input_error(
            path,
            "a table of numbers is no human motion: robots' motions come as such tables",
            found=repr(start.splitlines()[0][:40]),
            fix=ROBOT_MOTION,
        )
    return None


def _is_table(start: str) -> bool:
    """Whether the first lines hold many numbers and nothing else, below a heading perhaps."""
    for line in start.splitlines()[:3]:
        words = line.replace(",", " ").replace(";", " ").split()
        try:
            if len([float(word) for word in words]) >= _TABLE_COLUMNS:
                return True
        except ValueError:
            continue
    return False
