"""BVH: a joint tree with offsets, then one line of channel values a frame."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.extent import check_clip_size, check_magnitude
from mimic_base.limits import check_limit
from mimic_base.rotations import quat_exp, quat_mul
from mimic_base.stretches import stretches
from motions.human.motion import chain_poses
from motions.human.readers.raw import (
    SAY_FPS,
    RawClip,
    ReadOptions,
    check_unique,
    not_a_number,
    number,
    rate_of,
    read_bytes,
    read_text,
    whole,
)
from motions.human.readers.reader import Reader

Array = NDArray[Any]

_AXES = {"x": 0, "y": 1, "z": 2}
_LONGEST_HEAD, _LINES = 100_000, 4096
"""Lines of a hierarchy at most, and lines of the motion that are read at once."""
_PLAIN = re.compile(rb"[\t -~]*\r?\n?")
_FRAMES = re.compile(r"\s*frames:\s*(\d{1,9})\s*", re.IGNORECASE)
_FRAME_TIME = re.compile(r"\s*frame time:\s*([0-9.eE+-]{1,40})\s*", re.IGNORECASE)
_SAYS = re.compile(
    r"\s*frames?(?P<time>\s*_?time)?\s*(?:\([^)]*\))?\s*[:=]?\s*(?P<value>\S*?)\s*", re.IGNORECASE
)
"""The two lines before the frames, however spelled: ``Frames:30``, ``FrameTime = 0.01``."""
_MOST_CHANNELS = 9
"""Channels of a joint; some exporters repeat its rotations."""
_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)


@dataclass
class _Tree:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    end_sites: dict[int, Array] = field(default_factory=dict)

    def columns(self) -> list[tuple[int, str]]:
        """Joint and channel (lower case) of every value of a frame line."""
        return [(j, c) for j, channels in enumerate(self.channels) for c in channels]


def read_bvh(path: Path, fps: float | None = None) -> RawClip:
    """Read a BVH file; `fps` replaces the file's frame time.

    Rotation channels apply in the order in which they are listed (each in the frame turned by
    those before it); position channels replace the offset. Errors name file and line.
    """
    tree, values, file_fps, notes = _parse(path, fps)
    check_clip_size(path, len(values), len(tree.names), path.stat().st_size)
    check_magnitude(path, "the channel values", values, _column_names(tree))
    placed = any("position" in channel for joint, channel in tree.columns() if joint > 0)
    if placed and len(values) and not values.any():
        raise input_error(
            path,
            "all channel values are zero",
            found=f"{len(values)} frames of zeros; position channels replace the offsets, so all "
            "joints fall onto one point",
            fix="export the clip again, with its values",
        )
    frames, joints = len(values), len(tree.names)
    pos, quat = np.empty((frames, joints, 3)), np.empty((frames, joints, 4))
    for part in stretches(frames):
        pos[part], quat[part] = _poses(tree, values[part])
    rest = np.zeros((len(tree.names), 3))
    for joint, parent in enumerate(tree.parents):
        if parent >= 0:
            rest[joint] = rest[parent] + tree.offsets[joint]
    return RawClip(
        path=path,
        format="bvh",
        fps=file_fps,
        joint_names=tuple(tree.names),
        parents=tuple(tree.parents),
        pos=pos,
        quat=quat,
        rest_pos=rest,
        end_sites=tree.end_sites,
        report=notes,
    )


def read_channels(path: Path) -> Array:
    """The channel values [T, C] of a BVH file as they stand there, degrees and file units."""
    return _parse(path, None)[1]


def _parse(path: Path, fps: float | None) -> tuple[_Tree, Array, float, dict[str, Any]]:
    """The joint tree, channel values [T, C], the frame rate, and notes for the report."""
    plain = _parse_plain(path, fps)
    if plain is not None:
        return *plain, {}
    # What is odd about the file is found out with all its lines at hand.
    lines = read_text(path).splitlines()
    tree, motion_line = _parse_hierarchy(path, lines)
    check_unique(path, tree.names)
    return tree, *_parse_motion(path, lines, motion_line, tree, fps)


def _parse_plain(path: Path, fps: float | None) -> tuple[_Tree, Array, float] | None:
    """A file that is as it should be, read some lines at a time; None for any other."""
    read_bytes(path, 1)  # refuses what is no file
    check_limit(path, "bytes", path.stat().st_size, "the size of the file")
    with path.open("rb") as stream:
        head: list[str] = []
        for line in itertools.islice(stream, _LONGEST_HEAD):
            text = _plain_line(line)
            if text is None:
                return None
            head.append(text)
            if text.strip().upper() == "MOTION":
                break
        says = [_plain_line(stream.readline()) or "" for _ in range(2)]
        count, time = _FRAMES.fullmatch(says[0]), _FRAME_TIME.fullmatch(says[1])
        if count is None or time is None:
            return None
        tree, _ = _parse_hierarchy(path, head)
        check_unique(path, tree.names)
        declared, columns = int(count[1]), len(tree.columns())
        # A value and what parts it from the next are two characters at least: what is made here
        # is no larger than four times the file.
        if not 0 < 2 * declared * columns <= path.stat().st_size:
            return None
        check_limit(path, "frames", declared, "the number of frames")
        values, done = np.empty((declared, columns)), 0
        for block in iter(lambda: list(itertools.islice(stream, _LINES)), []):
            lines = [line for line in map(_plain_line, block) if line is not None]
            filled = [line for line in lines if not line.isspace()]
            part = None
            if len(lines) == len(block) and filled:
                part = _plain_table(filled, len(filled), columns)
            elif len(lines) == len(block):
                continue
            if part is None or done + len(part) > declared:
                return None
            values[done : done + len(part)] = part
            done += len(part)
    if done != declared:
        return None
    if fps is None:
        fps = rate_of(path, number(path, len(head) + 2, time[1]))
    return tree, values, fps


def _plain_line(line: bytes) -> str | None:
    """A line of plain text; None where it holds more than that, or would be several."""
    if not line.isascii() or not _PLAIN.fullmatch(line):
        return None
    return line.decode("ascii")


def _parse_hierarchy(path: Path, lines: list[str]) -> tuple[_Tree, int]:
    """The joint tree and the index of the line with MOTION."""
    tree = _Tree()
    stack: list[int] = []  # open joints; -2 stands for an End Site
    opening: int | None = None  # a joint that was named and waits for its brace
    begun = False
    for index, words in _statements(lines):
        where, key = f"{path}:{index + 1}", words[0].upper()
        if opening is not None and key != "{":
            name = tree.names[opening] if opening >= 0 else "End Site"
            raise input_error(where, f"a brace is expected after {name}", found=words[0])
        if key == "MOTION":
            if stack:
                raise input_error(where, "MOTION begins before all braces are closed")
            if not tree.names:
                raise input_error(where, "there is no ROOT before MOTION")
            return tree, index
        if not begun:
            if key != "HIERARCHY":
                raise input_error(
                    where, "a BVH file begins with HIERARCHY", found=repr(" ".join(words)[:40])
                )
            begun = True
        elif key in ("ROOT", "JOINT"):
            if key == "ROOT" and tree.names:
                raise input_error(where, "one ROOT is expected", found="a second one")
            if key == "JOINT" and (not stack or stack[-1] < 0):
                raise input_error(where, "a JOINT must stand inside another joint")
            opening = len(tree.names)
            check_limit(where, "joints", opening + 1, "the number of joints")
            check_limit(where, "depth", len(stack) + 1, "the nesting of joints")
            tree.names.append(" ".join(words[1:]) or f"joint{opening}")
            tree.parents.append(stack[-1] if stack else -1)
            tree.offsets.append([0.0, 0.0, 0.0])
            tree.channels.append([])
        elif key == "END":
            opening = -2
        elif key == "{":
            if opening is None:
                raise input_error(where, "a brace opens without a joint before it")
            stack.append(opening)
            opening = None
        elif key == "}":
            if not stack:
                raise input_error(where, "a brace closes that was never opened")
            stack.pop()
        elif key == "OFFSET" and stack:
            if len(words) != 4:
                raise input_error(where, "OFFSET needs 3 numbers", found=len(words) - 1)
            offset = [number(path, index + 1, w) for w in words[1:]]
            if not all(map(math.isfinite, offset)):
                raise input_error(where, "OFFSET must be finite", found=" ".join(words[1:]))
            check_limit(where, "magnitude", max(map(abs, offset)), "a number of OFFSET")
            if stack[-1] >= 0:
                tree.offsets[stack[-1]] = offset
            elif len(stack) > 1:
                tree.end_sites[stack[-2]] = np.array(offset)
        elif key == "CHANNELS" and stack and stack[-1] >= 0:
            tree.channels[stack[-1]] = _channels(where, words[1:])
        else:
            raise input_error(where, "unknown line in HIERARCHY", found=repr(" ".join(words)[:40]))
    raise input_error(path, "the file is truncated: it has no MOTION section")


def _column_names(tree: _Tree) -> list[str]:
    return [f"channel {tree.names[joint]} {channel}" for joint, channel in tree.columns()]


def _statements(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Line index and words; braces stand alone even where they end a line."""
    for index, line in enumerate(lines):
        for part in re.split(r"([{}])", line):
            if words := part.split():
                yield index, words


def _channels(where: str, words: list[str]) -> list[str]:
    names = words[1:]
    bad = [n for n in names if not _CHANNEL.fullmatch(n)]
    if bad:
        raise input_error(where, "unknown channel", found=bad[0], expected="e.g. Xrotation")
    if len(names) > _MOST_CHANNELS:
        raise input_error(
            where, "a joint has three positions and three rotations", found=f"{len(names)} channels"
        )
    if not words or whole(words[0]) != len(names):
        raise input_error(
            where,
            "CHANNELS must say how many names follow",
            found=f"{' '.join(words[:1]) or 'nothing'} and {len(names)} names",
        )
    return [n.lower() for n in names]


def _parse_motion(
    path: Path, lines: list[str], motion_line: int, tree: _Tree, fps: float | None
) -> tuple[Array, float, dict[str, Any]]:
    """Channel values [T, C], the frame rate, and notes for the report."""
    declared: int | None = None
    frame_time: float | None = None
    rows: list[list[str]] = []
    row_lines: list[int] = []
    columns = tree.columns()
    values: Array | None = None
    for index in range(motion_line + 1, len(lines)):
        words = lines[index].split()
        if not words:
            continue
        if not rows and declared is not None and (frame_time is not None or fps is not None):
            values = _plain_table(lines[index:], declared, len(columns))
            if values is not None:
                break
        said = None if rows else _SAYS.fullmatch(lines[index])
        if said is not None and declared is None and not said["time"]:
            declared = whole(said["value"])
            if declared is None:
                raise input_error(
                    f"{path}:{index + 1}", "a number of frames is expected", found=said["value"]
                )
            check_limit(f"{path}:{index + 1}", "frames", declared, "the number of frames")
        elif said is not None and frame_time is None and said["time"]:
            frame_time = number(path, index + 1, said["value"])
        else:
            rows.append(_points(words) if "," in lines[index] else words)
            row_lines.append(index + 1)
    if declared is None:
        raise input_error(path, "MOTION has no line 'Frames: N'")
    if fps is None:
        if frame_time is None:
            raise input_error(path, "MOTION has no line 'Frame Time: S'", fix=SAY_FPS)
        fps = rate_of(path, frame_time)
    if values is not None:
        return values, fps, {}
    _check_rows(path, rows, row_lines, declared, columns)
    notes: dict[str, Any] = {}
    if len(rows) > declared:
        notes["warnings"] = [f"{len(rows)} frames found, {declared} declared: the rest is ignored"]
        rows, row_lines = rows[:declared], row_lines[:declared]
    try:
        flat = [float(w) for row in rows for w in row]
        values = np.array(flat).reshape(len(rows), len(columns))
    except ValueError:
        for row, line in zip(rows, row_lines, strict=True):
            for word in row:
                try:
                    float(word)
                except ValueError:
                    raise not_a_number(path, line, word) from None
        raise
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        frame, column = bad[0]
        joint, channel = columns[column]
        raise input_error(
            f"{path}:{row_lines[frame]}",
            "every channel value must be finite",
            found=f"{rows[frame][column]} in frame {frame}, channel {tree.names[joint]} {channel}"
            + (f", and {len(bad) - 1} more" if len(bad) > 1 else ""),
            fix="repair or cut the clip before that frame",
        )
    return values, fps, notes


def _points(words: list[str]) -> list[str]:
    """Numbers that have a comma for their point, with one."""
    return [w.replace(",", ".") if w.count(",") == 1 and "." not in w else w for w in words]


def _plain_table(lines: list[str], frames: int, columns: int) -> Array | None:
    """Channel values of a file that is as it should be, read at once; else None."""
    try:
        values = np.loadtxt(lines, comments=None, ndmin=2)
    except ValueError:
        return None
    return values if values.shape == (frames, columns) and np.isfinite(values).all() else None


def _check_rows(
    path: Path,
    rows: list[list[str]],
    row_lines: list[int],
    declared: int,
    columns: list[tuple[int, str]],
) -> None:
    complete = len(rows)
    short = next((i for i, row in enumerate(rows[:declared]) if len(row) != len(columns)), None)
    if short is not None and short == len(rows) - 1 and len(rows[short]) < len(columns):
        complete -= 1  # a last line that breaks off belongs to a truncated file
    elif short is not None:
        raise input_error(
            f"{path}:{row_lines[short]}",
            f"wrong number of channel values in frame {short}",
            found=len(rows[short]),
            expected=f"{len(columns)} from the CHANNELS of HIERARCHY",
            fix="export the clip again",
        )
    if complete < declared:
        raise input_error(
            path,
            "the file is truncated",
            found=f"{complete} complete frames",
            expected=f"{declared} as declared by 'Frames:'",
            # A clip needs two frames: advice to keep fewer would only lead to the next error.
            fix="export the clip again"
            + (f", or write 'Frames: {complete}' to use what is there" if complete > 1 else ""),
        )


def _poses(tree: _Tree, values: Array) -> tuple[Array, Array]:
    frames, joints = len(values), len(tree.names)
    offsets = np.tile(np.array(tree.offsets), (frames, 1, 1))
    local = np.zeros((frames, joints, 4))
    local[..., 0] = 1.0
    for column, (joint, channel) in enumerate(tree.columns()):
        axis = _AXES[channel[0]]
        if channel.endswith("position"):
            offsets[:, joint, axis] = values[:, column]
        else:
            turn = np.zeros((frames, 3))
            turn[:, axis] = np.radians(values[:, column])
            local[:, joint] = quat_mul(local[:, joint], quat_exp(turn))
    return chain_poses(tuple(tree.parents), offsets, local)


def _read(path: Path, options: ReadOptions) -> RawClip:
    return read_bvh(path, options.fps)


READER = Reader(
    name="bvh",
    extensions=(".bvh",),
    read=_read,
    recognise=lambda _, text: text[:9].upper() == "HIERARCHY",
    text=True,
)
