"""AMC: CMU's clips, joint angles for the skeleton of an ASF file."""

from __future__ import annotations

import itertools
import math
import string
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.extent import check_clip_size, check_magnitude
from mimic_base.limits import check_limit
from mimic_base.rotations import quat_conj, quat_exp, quat_mul
from mimic_base.stretches import stretches
from motions.human.motion import chain_poses
from motions.human.readers.asf import AXES, Skeleton, find_asf, ordered, parse_asf
from motions.human.readers.raw import RawClip, ReadOptions, not_a_number, read_bytes, read_text
from motions.human.readers.reader import Reader

Array = NDArray[Any]

AMC_FPS = 120.0
"""The rate of CMU's recordings; the format does not store one."""
_INCH = 0.0254
_CHECKED = 1000
"""Frames after which the size of the clip is looked at again."""
_TOGETHER, _LONGEST_START = 256, 10_000
"""Frames that are read at once, and lines up to the second one at most."""
_PLAIN = string.printable.removesuffix("\x0b\x0c").encode()


def read_amc(path: Path, fps: float | None = None, skeleton: Path | None = None) -> RawClip:
    """Read an AMC clip with its ASF skeleton (found beside it unless given).

    A joint is named after the bone that begins at it, as in CMU's converted files. Rotations
    follow the Acclaim convention: with C the bone's axis frame and M its degrees of freedom
    (the first listed turns first), the bone turns by C M C^-1 in its parent's frame.
    """
    read_bytes(path, 1)  # first: a missing clip must not be reported as a missing skeleton
    asf = skeleton if skeleton is not None else find_asf(path)
    body = parse_asf(asf)
    names = ordered(asf, body)
    columns = [(n, d) for n in names for d in body.bones[n].dofs]
    plain = _parse_plain(path, asf, body)
    # What is odd about the file is found out with all its lines at hand.
    values, rotation_scale, absent = plain or _parse_amc(path, read_text(path), asf, body)
    parents = tuple(names.index(body.parents[n]) if n in body.parents else -1 for n in names)
    frames = len(values)
    check_clip_size(path, frames, len(names), path.stat().st_size)
    check_magnitude(path, "the values", values, [f"{bone} {dof}" for bone, dof in columns])
    tips = {n: body.bones[n].direction * body.bones[n].length for n in names}
    offsets = np.array([tips[body.parents[n]] if n in body.parents else np.zeros(3) for n in names])
    rest = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = rest[parent] + offsets[joint]
    pos, quat = np.empty((frames, len(names), 3)), np.empty((frames, len(names), 4))
    for part in stretches(frames):
        root_pos, local = _local(body, names, columns, values[part], rotation_scale)
        moving = np.tile(offsets, (len(local), 1, 1))
        moving[:, 0] = root_pos
        pos[part], quat[part] = chain_poses(parents, moving, local)
    notes: dict[str, Any] = {"skeleton_file": asf.name}
    if absent:
        notes["warnings"] = [f"bones without values are held still: {', '.join(absent)}"]
    if fps is None:
        notes["fps"] = f"{AMC_FPS:g} assumed: AMC files do not store a rate"
    return RawClip(
        path=path,
        format="asf/amc",
        fps=fps if fps is not None else AMC_FPS,
        joint_names=tuple(names),
        parents=parents,
        pos=pos,
        quat=quat,
        rest_pos=rest,
        end_sites={j: tips[n] for j, n in enumerate(names) if j not in parents},
        unit=_INCH / body.length_unit,
        report=notes,
    )


def _local(
    body: Skeleton, names: list[str], columns: list[tuple[str, str]], values: Array, scale: float
) -> tuple[Array, Array]:
    """The root's position [T, 3] and the joints' rotations [T, J, 4] in their parents' frames."""
    frames = len(values)
    local = np.zeros((frames, len(names), 4))
    root_pos = np.zeros((frames, 3))
    for joint, name in enumerate(names):
        bone = body.bones[name]
        turn = np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (frames, 1))
        for dof in bone.dofs:
            value = values[:, columns.index((name, dof))]
            if dof.startswith("t"):
                root_pos[:, AXES[dof[1]]] = value
                continue
            vector = np.zeros((frames, 3))
            vector[:, AXES[dof[1]]] = value * scale
            turn = quat_mul(quat_exp(vector), turn)
        local[:, joint] = quat_mul(quat_mul(bone.axis, turn), quat_conj(bone.axis))
    return root_pos, local


def _parse_plain(path: Path, asf: Path, body: Skeleton) -> tuple[Array, float, list[str]] | None:
    """As `_parse_amc`, some frames at a time, of a file whose frames are all made as the first;
    None for any other."""
    size = path.stat().st_size
    check_limit(path, "bytes", size, "the size of the file")
    with path.open("rb") as stream:
        # The first frame with all before it, as any file is read.
        start: list[bytes] = []
        numbers, line = 0, b""
        for line in itertools.islice(stream, _LONGEST_START):
            numbers += line.strip().isdigit()
            if numbers == 2:
                break
            start.append(line)
        head = _plain_text(start, comments=True)
        if numbers < 2 or head is None:
            return None
        first, scale, absent = _parse_amc(path, head, asf, body)
        lines = [raw.split("#")[0].split() for raw in head.splitlines()]
        number = next(k for k, words in enumerate(lines) if len(words) == 1 and words[0].isdigit())
        bones = [words for words in lines[number + 1 :] if words]
        if len({words[0] for words in bones}) < len(bones) or len(first) != 1:
            return None
        places = [(n, k) for n in ordered(asf, body) for k in range(len(body.bones[n].dofs))]
        at = {place: column for column, place in enumerate(places)}
        order = [at[words[0], k] for words in bones for k in range(len(words) - 1)]
        parts, frames = [first], 1
        rest = itertools.chain([line], stream)
        together = _TOGETHER * (1 + len(bones))
        for block in iter(lambda: list(itertools.islice(rest, together)), []):
            text = _plain_text(block)
            values = None if text is None else _plain_frames(text, bones)
            if values is None:
                return None
            part = np.zeros((len(values), first.shape[1]))
            part[:, order] = values
            parts.append(part)
            frames += len(part)
            check_clip_size(path, frames, len(body.bones), size)
    return np.concatenate(parts), scale, absent


def _plain_text(lines: list[bytes], *, comments: bool = False) -> str | None:
    """Lines of printable characters as a text; None for others, and for ones with comments."""
    data = b"".join(lines)
    if data.translate(None, _PLAIN) or (b"#" in data and not comments):
        return None
    return data.decode("ascii")


def _plain_frames(text: str, bones: list[list[str]]) -> Array | None:
    """The values [T, C] of frames of such bones, each with its name and values as in `bones`; None
    for a text that is not whole frames of them."""
    words = text.split()
    width = 1 + sum(map(len, bones))
    if len(words) % width or not all(map(str.isdigit, words[::width])):
        return None
    at, is_value = 1, [False]
    for bone in bones:
        if set(words[at::width]) != {bone[0]}:
            return None
        at += len(bone)
        is_value += [False] + [True] * (len(bone) - 1)
    try:
        numbers = list(map(float, itertools.compress(words, itertools.cycle(is_value))))
    except ValueError:
        return None
    values = np.array(numbers).reshape(len(words) // width, -1)
    return values if np.isfinite(values).all() else None


def _parse_amc(path: Path, text: str, asf: Path, body: Skeleton) -> tuple[Array, float, list[str]]:
    """Values [T, C], columns as the skeleton lists its degrees of freedom; radians a unit.

    Also the bones that no frame gives (some collections leave out fingers): they stay at zero.
    """
    bones = [n for n in ordered(asf, body) if body.bones[n].dofs]
    start, columns = {}, 0
    for name in bones:
        start[name] = columns
        columns += len(body.bones[name].dofs)
    degrees = body.degrees
    rows: list[list[float]] = []
    seen: set[str] = set()
    first: set[str] = set()
    line = 0

    def close_frame() -> None:
        if len(rows) == 1:
            first.update(seen)
        missing = [n for n in bones if n in first | {"root"} and n not in seen]
        if rows and missing:
            raise input_error(
                f"{path}:{line}",
                f"frame {len(rows) - 1} is incomplete (is the file truncated?)",
                found=f"{len(seen)} bones, {', '.join(missing[:3])} missing",
                expected=f"{len(first)} bones as in the first frame",
                fix="download the clip again",
            )

    for line, raw in enumerate(text.splitlines(), start=1):
        words = raw.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            degrees = degrees and words[0].upper() != ":RADIANS"
            continue
        if len(words) == 1 and words[0].isdigit():
            close_frame()
            if len(rows) % _CHECKED == 0:
                check_clip_size(path, len(rows), len(body.bones), len(text))
            rows.append([0.0] * columns)
            seen = set()
            continue
        name = words[0]
        if not rows or name not in body.bones:
            raise input_error(
                f"{path}:{line}",
                "a frame number or a bone of the skeleton is expected",
                found=repr(raw.strip()[:40]),
                expected=f"bones of {asf.name}",
            )
        dofs = body.bones[name].dofs
        if len(words) - 1 != len(dofs):
            raise input_error(
                f"{path}:{line}",
                f"wrong number of values for {name} in frame {len(rows) - 1}",
                found=len(words) - 1,
                expected=f"{len(dofs)} ({' '.join(dofs)} in {asf.name})",
                fix="use the skeleton of this subject",
            )
        try:
            values = [float(w) for w in words[1:]]
        except ValueError:
            bad = next(w for w in words[1:] if not _is_number(w))
            raise not_a_number(path, line, bad) from None
        if not all(map(math.isfinite, values)):
            raise input_error(
                f"{path}:{line}",
                "every value must be finite",
                found=f"{' '.join(words[1:])} in frame {len(rows) - 1}, bone {name}",
                fix="repair or cut the clip before that frame",
            )
        rows[-1][start[name] : start[name] + len(dofs)] = values
        seen.add(name)
    close_frame()
    if not rows:
        raise input_error(path, "there are no frames (is the file truncated?)")
    absent = [n for n in bones if n not in first]
    return np.array(rows), math.pi / 180.0 if degrees else 1.0, absent


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read(path: Path, options: ReadOptions) -> RawClip:
    return read_amc(path, options.fps)


def _recognise(_: bytes, text: str) -> bool:
    return ":FULLY-SPECIFIED" in text.upper() or text.upper().startswith(":DEGREES")


READER = Reader(name="amc", extensions=(".amc",), read=_read, recognise=_recognise, text=True)
