"""What a file format gives before anything is known about the person in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import InputError, input_error
from mimic_base.reading import opened, read_bounded
from mimic_base.resample import GREATEST_FPS, LEAST_FPS, check_fps
from mimic_base.rotations import norm, quat_conj, quat_log, quat_mul
from mimic_base.stretches import by_stretches
from mimic_base.text_files import decoded

Array = NDArray[Any]

LEAST_PERSON, GREATEST_PERSON = 0.3, 3.0
"""Standing heights that an option may ask for, m."""
LEAST_FOV, GREATEST_FOV = 5.0, 150.0
"""Angles of view that an option may ask for, degrees."""
_DIGITS = 18
SAY_FPS = "say it: --source-fps 30 (fps=30 in Python)"


@dataclass(frozen=True, kw_only=True)
class RawClip:
    """A joint tree and its poses in the file's own world: its unit, its axes, all its frames."""

    path: Path
    format: str
    fps: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    pos: Array  # [T, J, 3] file units
    quat: Array | None = None  # [T, J, 4] wxyz; None when the format has positions only
    rest_pos: Array | None = None  # [J, 3] file units, all rotations zero, root at the origin
    rest_up: str | None = None
    """The axis that points up in `rest_pos`, where that is not the clip's own."""
    end_sites: Mapping[int, Array] = field(default_factory=dict)
    """Tip of a joint without children, in the joint's frame, [3] file units."""
    unit: float | None = None
    """Metres per file unit, when the format says so."""
    up: str | None = None
    """The axis that points up, when the format says so."""
    sized: bool = False
    """Whether the reader made the person as tall as the caller says."""
    family: str | None = None
    """The skeleton's name, when the format or its layout says so."""
    licence: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)

    def local_angles(self) -> Array | None:
        """Angle of each joint's rotation against its parent, [T, J] rad; the root's is zero."""
        if self.quat is None:
            return None
        parents = np.array(self.parents)
        above = np.maximum(parents, 0)

        def angles(quat: Array) -> Array:
            local = quat_mul(quat_conj(quat[:, above]), quat)
            return np.where(parents < 0, 0.0, norm(quat_log(local)))

        return by_stretches(angles, self.quat)


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a caller may say about a file that the file itself does not."""

    fps: float | None = None
    layout: str | None = None
    """Name of a joint order, see `motions.human.skeletons.layouts`."""
    body_models: Path | None = None
    """Folder of licensed SMPL-family body models."""
    height: float | None = None
    """Standing height of the person, m."""
    fov: float | None = None
    """The camera's angle of view over the longer side of the picture, degrees."""


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a file (its first `most` bytes); `InputError` when there is none."""
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    if most is None:
        data = read_bounded(path)
    else:
        with opened(path) as stream:
            data = stream.read(most)
    if not data.strip():
        raise input_error(path, "the file is empty", fix="export or download the clip again")
    return data


def need_fps(
    path: Path, options: ReadOptions, stated: float | None = None, usual: str = ""
) -> float:
    """The caller's frame rate, else the file's; `InputError` when neither says one."""
    if options.fps is not None:
        return options.fps
    fix = SAY_FPS + (f" ({usual})" if usual else "")
    if stated is None:
        raise input_error(path, "the file has no frame rate", fix=fix)
    return check_fps(stated, str(path), fix)


def read_text(path: Path) -> str:
    """The text of a file; `InputError` when there is none to read."""
    return text_of(path, read_bytes(path))


def text_of(path: Path, data: bytes) -> str:
    """`data` as text of any usual encoding; `InputError` when it is binary."""
    return decoded(path, data)


def check_unique(path: Path, names: list[str]) -> None:
    """Refuse joint names that occur twice."""
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise input_error(
            path,
            "joint names must be unique",
            found=f"twice: {', '.join(twice)}",
            fix="rename the joints in the file",
        )


def number(path: Path, line: int, text: str) -> float:
    """`text` as a float, a comma for a point too, or an `InputError` that names the line."""
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        raise not_a_number(path, line, text) from None


def whole(text: str) -> int | None:
    """The whole number that `text` is; None for other texts and for absurdly long ones."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def not_a_number(path: Path, line: int, text: str) -> InputError:
    return input_error(f"{path}:{line}", "a number is expected", found=repr(text[:40]))


def rate_of(path: Path, frame_time: float, *, what: str = "the frame time") -> float:
    """Frames per second of a frame time written with few digits: 0.033333 s means 30, not 30.0003.

    Cut digits make a rate too high by up to 0.2 %; 29.97 is too low for 30 and stays. `InputError`
    for a time (which `what` names) that no recording has.
    """
    if not frame_time > 0 or not np.isfinite(frame_time):
        raise input_error(path, f"{what} must be positive", found=f"{frame_time:g} s", fix=SAY_FPS)
    fps = 1.0 / frame_time
    if not LEAST_FPS * (1 - 1e-3) <= fps <= GREATEST_FPS * (1 + 1e-3):
        # Who writes 30 there means frames per second.
        rate = 1 < frame_time <= GREATEST_FPS
        raise input_error(
            path,
            f"{what} must be {1 / GREATEST_FPS:g} to {1 / LEAST_FPS:g} s",
            found=f"{frame_time:g} s, which is {fps:.3g} frames per second",
            fix=f"it looks like a rate: --source-fps {frame_time:g}, or write {1 / frame_time:.6f}"
            if rate
            else SAY_FPS,
        )
    near = round(fps)
    return float(near) if near > 0 and -5e-4 < fps / near - 1 < 2e-3 else round(fps, 6)
