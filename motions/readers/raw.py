"""What a file format gives before anything is known about the person in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.errors import InputError, input_error
from motions.rotations import quat_conj, quat_log, quat_mul

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class RawClip:
    """A joint tree and its poses in the file's own world: its unit, its axes, all its frames."""

    path: Path
    format: str
    fps: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    pos: Array  # [T, J, 3] file units
    quat: Array  # [T, J, 4] wxyz
    rest_pos: Array  # [J, 3] file units, all rotations zero, root at the origin
    end_sites: Mapping[int, Array] = field(default_factory=dict)
    """Tip of a joint without children, in the joint's frame, [3] file units."""
    unit: float | None = None
    """Metres per file unit, when the format says so."""
    up: str | None = None
    """The axis that points up, when the format says so."""
    report: Mapping[str, Any] = field(default_factory=dict)

    def local_angles(self) -> Array:
        """Angle of each joint's rotation against its parent, [T, J] rad; the root's is zero."""
        parents = np.array(self.parents)
        local = quat_mul(quat_conj(self.quat[:, np.maximum(parents, 0)]), self.quat)
        return np.where(parents < 0, 0.0, np.linalg.norm(quat_log(local), axis=-1))


def read_text(path: Path) -> str:
    """The text of a file; `InputError` when there is none to read."""
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    data = path.read_bytes()
    if not data.strip():
        raise input_error(path, "the file is empty", fix="export or download the clip again")
    if b"\0" in data[:4096]:
        raise input_error(path, "a text file is expected, this one is binary")
    return data.decode("utf-8-sig", errors="replace")


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
    """`text` as a float, or an `InputError` that names the line."""
    try:
        return float(text)
    except ValueError:
        raise not_a_number(path, line, text) from None


def not_a_number(path: Path, line: int, text: str) -> InputError:
    return input_error(f"{path}:{line}", "a number is expected", found=repr(text[:40]))


def rate_of(frame_time: float) -> float:
    """Frames per second of a frame time written with few digits: 0.033333 s means 30, not 30.0003.

    Cut digits make a rate too high by up to 0.2 %; 29.97 is too low for 30 and stays.
    """
    fps = 1.0 / frame_time
    near = round(fps)
    return float(near) if near > 0 and -5e-4 < fps / near - 1 < 2e-3 else round(fps, 6)
