"""Reading human motion files: BVH, ASF/AMC, DeepMimic JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from motions.errors import input_error
from motions.human import HumanMotion
from motions.readers.amc import read_amc
from motions.readers.assemble import assemble
from motions.readers.bvh import read_bvh
from motions.readers.deepmimic import read_deepmimic
from motions.readers.raw import RawClip, read_text
from motions.resample import check_fps

_READERS: dict[str, Callable[[Path, float | None], RawClip]] = {
    "bvh": read_bvh,
    "amc": read_amc,
    "deepmimic": read_deepmimic,
}
_EXTENSIONS = {".bvh": "bvh", ".amc": "amc", ".json": "deepmimic", ".txt": "deepmimic"}
EXTENSIONS: tuple[str, ...] = tuple(_EXTENSIONS)
"""File name endings that may hold a human motion."""


def read_human_motion(
    path: Path | str,
    *,
    unit: float | None = None,
    up: Literal["y", "z"] | None = None,
    skeleton_map: Mapping[str, str] | None = None,
    drop_first: int | None = None,
    fps: float | None = None,
) -> HumanMotion:
    """Read a human clip of any supported format into metres and a z-up world.

    What the file does not say is detected and written into `HumanMotion.report`; each detection
    has an override: `unit` in metres per file unit, `up` the file's vertical axis, `skeleton_map`
    from role to joint name (the roles not named are still recognised), `drop_first` the number of
    frames to leave out at the start (0 keeps all), `fps` the file's frame rate.

    Raises `InputError`, one line, for everything that makes the file unusable.
    """
    path = Path(path)
    if fps is not None:
        fps = check_fps(fps, f"{path}: fps")
    clip = _READERS[_format_of(path)](path, fps)
    return assemble(clip, unit=unit, up=up, skeleton_map=skeleton_map, drop_first=drop_first)


def _format_of(path: Path) -> str:
    """The format by content, then by extension: clips get renamed."""
    known = ", ".join(_EXTENSIONS)
    suffix = path.suffix.lower()
    if path.exists() and path.is_file() and suffix not in _EXTENSIONS:
        if suffix == ".asf":
            raise input_error(path, "this is a skeleton; give the .amc clip that uses it")
        try:
            found = _sniff(read_text(path))
        except ValueError:
            found = None
        if found is None:
            raise input_error(
                path,
                "unknown kind of motion file",
                found=f"extension {suffix or 'none'}",
                expected=known,
                fix="convert the clip to one of these",
            )
        return found
    found = _sniff(read_text(path))
    if found is None and suffix == ".txt":
        raise input_error(path, "this text file holds no motion", expected=f"one of {known}")
    return found or _EXTENSIONS[suffix]


def _sniff(text: str) -> str | None:
    start = text.lstrip()[:4096]
    if start[:9].upper() == "HIERARCHY":
        return "bvh"
    if start.startswith("{"):
        return "deepmimic"
    if ":FULLY-SPECIFIED" in start.upper() or start.upper().startswith(":DEGREES"):
        return "amc"
    return None
