"""Opening a file of robot motion: its arrays, lists and texts by name, nothing assumed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.extent import check_clip_size
from mimic_base.limits import check_limit, limit
from mimic_base.reading import check_ordinary
from mimic_base.text_files import encoding_of
from motions.robot.formats.raw import Array

_LEAST_COLUMNS = 8
_SNIFFED = 1 << 16
"""Bytes by which the encoding of a table is told."""
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_DECIMAL_COMMAS = re.compile(r"\s*(?:[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?\s+){7,}\S+\s*")
"""A line of eight numbers or more with spaces between them and commas for points."""
_LINES = 2048
"""Lines that are read at once."""


def read_csv_content(path: Path) -> dict[str, Any]:
    """The numbers of a csv as `table` [T, columns], and the names of a heading as `columns`."""
    heading: list[str] = []
    table = read_table(path, heading)
    return {"table": table, "columns": tuple(heading)} if heading else {"table": table}


def read_table(path: Path, heading: list[str] | None = None) -> Array:
    """The numbers of a csv, [T, columns], read some lines at a time.

    Args:
        heading: takes the names of the columns from a first line that is all names; without it
            such a line is refused.
    """
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    check_ordinary(path)
    check_limit(path, "bytes", path.stat().st_size, "the size of the file")
    parts: list[Array] = []
    columns = line = frames = size = 0
    semicolons: bool | None = None
    with path.open("rb") as stream:
        encoding = encoding_of(path, stream.read(_SNIFFED))
    try:
        with path.open(encoding=encoding) as stream:
            for block in iter(lambda: list(itertools.islice(stream, _LINES)), []):
                size += sum(map(len, block))
                # A file of the kernel says it is empty and may be without end.
                check_limit(path, "bytes", size, "the size of the file")
                check_limit(path, "text", max(map(len, block)), "the length of a line")
                if line == 0 and heading is not None and _is_heading(block[0]):
                    heading += _cells(block[0])
                    block, line = block[1:], 1
                    if not block:
                        continue
                part = _plain_rows(block, columns)
                if part is None:
                    semicolons = _one_separator(path, block, line, semicolons)
                    part = _rows(path, block, columns, line, first=not parts)
                line += len(block)
                if len(part) and semicolons is None:
                    semicolons = False
                if not len(part):
                    continue
                columns, frames = part.shape[1], frames + len(part)
                if frames > limit("frames"):
                    frames += sum(1 for _ in stream)  # so that what is told is enough
                check_clip_size(path, frames, columns)
                parts.append(part)
    except UnicodeDecodeError as error:
        raise input_error(path, "this is no text file", fix="is it really a .csv?") from error
    if not parts:
        raise input_error(path, "the file is empty")
    if columns < _LEAST_COLUMNS:
        raise input_error(
            path,
            "too few columns for a robot motion",
            found=columns,
            expected="3 of position, 4 of a quaternion and one per joint",
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _cells(line: str) -> list[str]:
    """What stands between the separators of a line: semicolons, tabs, or else commas."""
    for separator in ";\t":
        if separator in line:
            return [cell.strip(" \"'\r\n") for cell in line.split(separator)]
    return [cell.strip(" \"'\r\n") for cell in line.split(",")]


def _is_heading(line: str) -> bool:
    """Whether a line holds names alone, of as many columns as a motion has at least."""
    cells = _cells(line)
    return len(cells) >= _LEAST_COLUMNS and all(
        cell[:1].isalpha() and not _is_number(cell) for cell in cells
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers_apart(line: str) -> list[str]:
    """The numbers of a line as Python writes them.

    Between numbers stand commas, semicolons, tabs or spaces. Where something else than commas parts
    them, and every comma stands between two digits, a comma is a decimal point.
    """
    if ";" in line or ("," in line and _DECIMAL_COMMAS.fullmatch(line)):
        line = _DECIMAL_COMMA.sub(".", line).replace(";", " ")
    return line.replace(",", " ").split()


def _one_separator(path: Path, lines: list[str], before: int, semicolons: bool | None) -> bool:
    """Whether semicolons part the columns, as in the lines before; None: there are none.

    Lines of both kinds in one file are refused: a comma would be a point in some of them.
    """
    for number, line in enumerate(lines, start=before + 1):
        if not line.strip():
            continue
        here = ";" in line
        if semicolons is not None and here != semicolons:
            raise input_error(
                path,
                f"line {number} parts its columns in another way than the lines before",
                found="semicolons" if here else "no semicolons",
                fix="separate the columns by commas in all lines",
            )
        semicolons = here
    return bool(semicolons)


def _plain_rows(lines: list[str], columns: int) -> Array | None:
    """Rows of a number between every two commas and no spaces; None for lines of any other make."""
    columns = columns or lines[0].count(",") + 1
    text = "".join(lines)
    # As many pieces as lines, of which none is empty: there is no space within one.
    if columns < 2 or len(text.split()) != len(lines):
        return None
    if {line.count(",") for line in lines} != {columns - 1}:
        return None
    try:
        values = list(map(float, text.replace(",", " ").split()))
    except ValueError:
        return None
    # As many numbers as commas let be: there is one in every place.
    return None if len(values) != len(lines) * columns else np.array(values).reshape(-1, columns)


def _rows(path: Path, lines: list[str], columns: int, before: int, *, first: bool) -> Array:
    """Rows of numbers with commas or spaces between them, of as many columns as the first has.

    Args:
        columns: of the rows before; none where there are none. before: lines of the file before
            these. first: whether there is no row before them.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=before + 1):
        if not line.strip():
            continue
        try:
            rows.append([float(cell) for cell in _numbers_apart(line)])
        except ValueError as error:
            raise input_error(
                path,
                f"line {number} holds something that is no number",
                found=repr(line.rstrip("\r\n")[:40]),
                expected="root x y z, quaternion, joint angles",
                fix="take a header line out of the file"
                if first and not rows
                else "export it again",
            ) from error
        columns = columns or len(rows[0])
        if len(rows) == 1:
            check_clip_size(path, 1, columns)
        if len(rows[-1]) != columns:
            raise input_error(
                path,
                f"line {number} is shorter or longer than the first",
                found=f"{len(rows[-1])} columns",
                expected=columns,
                fix="the file may be cut off: copy it again",
            )
    return np.array(rows).reshape(-1, columns) if rows else np.empty((0, columns))
