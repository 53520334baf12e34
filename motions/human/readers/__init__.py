"""Reading human motion: text formats, joint positions, SMPL parameters, landmarks, C3D, FBX."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mimic_base.errors import InputError, about, input_error
from mimic_base.plugins import found_in, load_object
from mimic_base.reading import guarded
from mimic_base.resample import check_fps
from motions.human.motion import HumanMotion
from motions.human.readers.arrays import ROBOT_MOTION
from motions.human.readers.assemble import assemble
from motions.human.readers.raw import (
    GREATEST_FOV,
    GREATEST_PERSON,
    LEAST_FOV,
    LEAST_PERSON,
    ReadOptions,
    read_bytes,
    text_of,
)
from motions.human.readers.reader import Reader

READERS: Mapping[str, Reader] = {
    reader.name: reader for reader in found_in(sys.modules[__name__], "READER").values()
}
"""Every reader by its name: those that modules of this folder call `READER`."""
EXTENSIONS: tuple[str, ...] = tuple(
    dict.fromkeys(ending for reader in READERS.values() for ending in reader.extensions)
)
"""File name endings that may hold a human motion; some may hold other things too, see
`is_human_clip`."""

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
    fov: float | None = None,
    reader: str | None = None,
) -> HumanMotion:
    """Read a human clip of any supported format into metres and a z-up world.

    What the file does not say is detected and written into `HumanMotion.report`; each detection
    has an override: `unit` in metres per file unit, `up` the file's vertical axis, `skeleton_map`
    from role to joint name (the roles not named are still recognised), `drop_first` the number of
    frames to leave out at the start (0 keeps all), `fps` the file's frame rate, `layout` the joint
    order of an array without names (see `motions.human.skeletons.layouts`). SMPL-family clips look
    for licensed body models in `body_models`; `height` m is the person's, for files that tell only
    the pose (SMPL parameters, video landmarks) and for those whose unit is unknown; `fov` is the
    camera's angle of view over the picture's longer side, degrees, for landmarks with pixels.
    `reader` names the reader, one of `READERS` or a `Reader` of one's own as
    ``package.module:NAME``.

    Raises `InputError`, one line, for everything that makes the file unusable.
    """
    path = Path(path)
    if fps is not None:
        fps = check_fps(fps, f"{path}: --source-fps")
    if height is not None and not LEAST_PERSON <= height <= GREATEST_PERSON:
        raise input_error(None, "--height must be a person's, in metres", found=f"{height:g}")
    if fov is not None and not LEAST_FOV <= fov <= GREATEST_FOV:
        raise input_error(
            None,
            "fov must be a camera's angle of view, in degrees",
            found=f"{fov:g}",
            expected=f"{LEAST_FOV:g} to {GREATEST_FOV:g}",
        )
    options = ReadOptions(
        fps=fps,
        layout=layout,
        body_models=None if body_models is None else Path(body_models),
        height=height,
        fov=fov,
    )
    with about(path), guarded(path, "motion"):
        # The clip as read gets no name here: once `assemble` has made something of it, it may go.
        return assemble(
            find_reader(path, reader).read(path, options),
            unit=unit, up=up, skeleton_map=skeleton_map, drop_first=drop_first, height=height,
        )  # fmt: skip


def is_human_clip(path: Path | str) -> bool:
    """Whether a file found in a folder surely is a human clip.

    Endings that other things share count only by their content: text must look like DeepMimic's,
    and arrays must be a person's (a robot's motion, a scene or a broken archive is left out).
    """
    path = Path(path)
    endings = [r for r in READERS.values() if path.suffix.lower() in r.extensions]
    if not endings or not path.is_file():
        return False
    try:
        # Endings that nothing else has need no look inside.
        reader = endings[0]
        if reader.is_clip is None:
            return True
        reader = find_reader(path)
        return reader.is_clip is None or reader.is_clip(path)
    except InputError:
        return False


def find_reader(path: Path, name: str | None = None) -> Reader:
    """The reader of a file: the one asked for, else by content, then by ending.

    Raises `InputError` for an unknown name, and for a file that no reader knows.
    """
    if name is not None:
        if name in READERS:
            return READERS[name]
        if ":" in name:
            return load_object(name, Reader, "--reader")
        raise input_error(
            None, "--reader is unknown", found=repr(name),
            expected=f"{', '.join(READERS)}, or package.module:NAME",
        )  # fmt: skip
    known = ", ".join(EXTENSIONS)
    suffix = path.suffix.lower()
    by_ending = [reader for reader in READERS.values() if suffix in reader.extensions]
    start = read_bytes(path, 4096)
    sure = _recognised(start, "")
    if not sure:
        try:
            text = text_of(path, start).lstrip()
        except InputError:
            if any(reader.text for reader in by_ending):
                raise
            text = ""
        sure = _recognised(start, text)
        if not sure and _is_table(text):
            raise input_error(
                path,
                "a table of numbers is no human motion: robots' motions come as such tables",
                found=repr(text.splitlines()[0][:40]),
                fix=ROBOT_MOTION,
            )
    if sure:
        return next((reader for reader in sure if reader in by_ending), sure[0])
    if suffix == ".asf":
        raise input_error(path, "this is a skeleton; give the .amc clip that uses it")
    if not by_ending:
        raise input_error(
            path,
            "unknown kind of motion file",
            found=f"extension {suffix or 'none'}",
            expected=known,
            fix="convert the clip to one of these",
        )
    if suffix == ".txt":
        raise input_error(path, "this text file holds no motion", expected=f"one of {known}")
    return by_ending[0]


def _recognised(start: bytes, text: str) -> list[Reader]:
    """The readers that know the content, generic ones last."""
    readers = sorted(READERS.values(), key=lambda reader: reader.generic)
    return [r for r in readers if r.recognise is not None and r.recognise(start, text)]


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
