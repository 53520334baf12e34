"""Opening a file of robot motion: its arrays, lists and texts by name, nothing assumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mimic_base.errors import input_error
from mimic_base.extent import check_clip_size
from mimic_base.reading import read_bounded
from motions.robot.formats.raw import Array


def read_table(path: Path) -> Array:
    """The numbers of a headerless csv, [T, columns]."""
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    try:
        data = read_bounded(path)
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise input_error(path, "this is no text file", fix="is it really a .csv?") from error
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append([float(cell) for cell in line.replace(",", " ").split()])
        except ValueError as error:
            raise input_error(
                path,
                f"line {number} holds something that is no number",
                found=repr(line[:40]),
                expected="root x y z, quaternion, joint angles",
                fix="separate the columns by commas"
                if ";" in line
                else "take a header line out of the file"
                if not rows
                else "export it again",
            ) from error
        if len(rows) == 1:
            check_clip_size(path, len(lines), len(rows[0]))
        if len(rows[-1]) != len(rows[0]):
            raise input_error(
                path,
                f"line {number} is shorter or longer than the first",
                found=f"{len(rows[-1])} columns",
                expected=len(rows[0]),
                fix="the file may be cut off: copy it again",
            )
    if not rows:
        raise input_error(path, "the file is empty")
    if len(rows[0]) < 8:
        raise input_error(
            path,
            "too few columns for a robot motion",
            found=len(rows[0]),
            expected="3 of position, 4 of a quaternion and one per joint",
        )
    return np.array(rows)
