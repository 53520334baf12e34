"""Sets of robot motions: single files, folders of folders, and manifests with split and weight.

A manifest is a text file beside the clips that says which of them belong to a set. As JSON lines
(``.jsonl``), one clip a line::

    {"file": "walk/walk1.npz", "split": "train", "weight": 2.0, "tags": ["walk", "slow"]}

or as a table (``.csv``) with a heading ``file,split,weight,tags`` and tags separated by spaces.
and, where ``mimic motions split --difficulty`` has written it, `difficulty`.
Only `file` is needed; it is relative to the manifest. ``--motion set.jsonl`` means all its clips,
``--motion set.jsonl:train`` those of one split. A pack (`motions.robot.pack`) is named likewise.
"""

from __future__ import annotations

import csv
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mimic_base.archives import open_archive, read_member
from mimic_base.errors import InputError, input_error
from mimic_base.files import is_hidden
from mimic_base.json_text import parse_json
from mimic_base.limits import limit
from mimic_base.numpy_files import NotPlain, npy_array, npy_shape
from mimic_base.reading import read_bounded
from mimic_base.text_files import decoded

if TYPE_CHECKING:
    from motions.robot.motion import RobotMotion

MANIFESTS = (".jsonl", ".csv")
"""File name endings of manifests."""
_CLIP = ("a person's motion", "python -m retarget {} --robot unitree_g1 --out FOLDER")
_FOREIGN = ("another program's file", "python -m retarget.convert {} --out FOLDER")
_OTHERS = {
    **dict.fromkeys((".bvh", ".fbx", ".c3d", ".amc"), _CLIP),
    **dict.fromkeys((".pkl", ".pickle"), _FOREIGN),
}
"""Files that no training reads, by their ending: what they are and the command that helps."""
PACK = ".pack"
"""File name ending of packs (`motions.robot.pack`)."""
_HEAD_BYTES = 1 << 16
"""Bytes of an array's beginning in which its head stands."""
_KEYS = ("file", "split", "weight", "tags", "name", "difficulty")


@dataclass(frozen=True, kw_only=True)
class MotionFile(os.PathLike[str]):
    """A clip of a set: a path with what the set says of it."""

    path: Path
    name: str = ""
    """Name within the set, where it is not that of the clip: its folders below the set's root."""
    split: str = ""
    """Part of the set, such as `train` or `test`; empty where none is said."""
    weight: float = 1.0
    """How often the clip's frames are drawn, relative to others."""
    tags: tuple[str, ...] = ()
    difficulty: float | None = None
    """How hard the clip is to follow, see `motions.robot.curation.difficulty`; None: not said."""

    def __fspath__(self) -> str:
        return str(self.path)

    def load(self) -> RobotMotion:
        """Read the clip; raises `InputError` as `RobotMotion.load` does."""
        from motions.robot.motion import RobotMotion

        return RobotMotion.load(self.path)

    def __str__(self) -> str:
        return str(self.path)


MotionPath = Path | str | MotionFile
"""What names motions: a file, a folder, a manifest or a pack (perhaps with ``:SPLIT``), a clip."""


def find_motion_files(paths: Sequence[MotionPath]) -> list[MotionFile]:
    """The clips that `paths` mean, in a stable order.

    A folder stands for the ``.npz`` files in it and below it, sorted by their path; clips below it
    are named by their folders. A pack stands for its clips. Raises `InputError` for what is not
    there.
    """
    files = [file for path in paths for file in _expand(path)]
    if not files:
        raise InputError(
            "no motion given; pass --motion FILE, a folder of .npz files or a manifest"
        )
    return files


def distinct_names(names: Sequence[str], paths: Sequence[Path | None]) -> tuple[str, ...]:
    """The names of clips, each its own.

    A name that several clips have is replaced by the shortest end of each clip's path that tells
    them apart, without its suffix; clips in memory, and a file given twice, are counted: ``walk``,
    ``walk #2``.

    Args:
        paths: where each clip comes from; None for one that has no file.
    """
    labels = list(names)
    of_name: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        of_name.setdefault(name, []).append(i)
    for alike in of_name.values():
        if len(alike) < 2:
            continue
        whole = [p.absolute().with_suffix("").parts for i in alike if (p := paths[i]) is not None]
        for count in range(1, max(map(len, whole), default=0) + 1):
            if len({parts[-count:] for parts in whole}) == len(set(whole)):
                for i in alike:
                    path = paths[i]
                    if path is not None:
                        labels[i] = "/".join(path.absolute().with_suffix("").parts[-count:])
                break
    taken: set[str] = set()
    for i, label in enumerate(labels):
        number = 1
        while labels[i] in taken:
            number += 1
            labels[i] = f"{label} #{number}"
        taken.add(labels[i])
    return tuple(labels)


def names_motions(path: Path | str) -> bool:
    """Whether there is such a file, folder or manifest (perhaps with ``:SPLIT``)."""
    return Path(path).exists() or _manifest_and_split(path) is not None


def _manifest_and_split(path: Path | str) -> tuple[str, str] | None:
    """The parts of ``MANIFEST:SPLIT`` or ``PACK:SPLIT``; None for what is no such thing."""
    manifest, _, split = str(path).rpartition(":")
    known = (*MANIFESTS, PACK)
    if not manifest or Path(path).exists() or Path(manifest).suffix.lower() not in known:
        return None
    return (manifest, split) if Path(manifest).is_file() else None


def _expand(path: MotionPath) -> Iterator[MotionFile]:
    if isinstance(path, MotionFile):
        yield path
        return
    path = Path(path)
    if path.suffix.lower() == PACK and path.is_file():
        yield from _packed(path, None)
        return
    if path.is_dir():
        found = sorted(p for p in path.rglob("*.npz") if not is_hidden(p, path))
        if not found:
            raise InputError(f"motion folder '{path}' holds no .npz file; retarget clips first")
        for file in found:
            below = file.relative_to(path)
            yield MotionFile(path=file, name="" if len(below.parts) == 1 else _name(below))
        return
    if path.suffix.lower() in MANIFESTS and path.is_file():
        yield from read_manifest(path)
        return
    part = _manifest_and_split(path)
    if part is not None and part[0].lower().endswith(PACK):
        yield from _packed(Path(part[0]), part[1])
        return
    if part is not None:
        yield from read_manifest(part[0], split=part[1])
        return
    if not path.is_file():
        raise InputError(
            f"motion file '{path}' does not exist; make one with "
            "'mimic retarget CLIP --robot unitree_g1 --out DIR'"
        )
    if (kind := _OTHERS.get(path.suffix.lower())) is not None:
        what, command = kind
        raise input_error(
            path, f"{what}, not a motion file of this program",
            fix=f"make one first: {command.format(path)}, then name the .npz in FOLDER",
        )  # fmt: skip
    yield MotionFile(path=path)


def _packed(path: Path, split: str | None) -> Sequence[MotionFile]:
    from motions.robot.pack import MotionPack

    return MotionPack.open(path).select(split)


def _name(below: Path) -> str:
    return below.with_suffix("").as_posix()


def read_manifest(path: Path | str, *, split: str | None = None) -> list[MotionFile]:
    """The clips that a manifest names, in its order; those of `split` alone where one is given.

    Raises `InputError` for an unreadable line, an unknown key, a clip named twice or absent, and a
    split that the manifest does not have.
    """
    path = Path(path)
    try:
        content = decoded(path, read_bounded(path))
    except FileNotFoundError as error:
        raise input_error(path, "no such manifest") from error
    rows = _csv_rows(path, content) if path.suffix.lower() == ".csv" else _json_rows(path, content)
    clips: dict[Path, MotionFile] = {}
    for line, values in rows:
        clip = _clip(path, line, values)
        if clip.path in clips:
            raise input_error(path, f"line {line} names a clip again", found=values["file"])
        clips[clip.path] = clip
    if not clips:
        raise input_error(path, "the manifest names no clip")
    if split is None:
        return list(clips.values())
    chosen = [clip for clip in clips.values() if clip.split == split]
    if not chosen:
        known = ", ".join(sorted({clip.split or "(none)" for clip in clips.values()}))
        raise input_error(path, "no clip of this split", found=repr(split), expected=known)
    return chosen


def _json_rows(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(content.splitlines(), start=1):
        if not text.strip():
            continue
        values = parse_json(path, text, rule=f"line {line} is not JSON")
        if not isinstance(values, dict):
            raise input_error(path, f"line {line} must be a mapping", found=text[:40])
        yield line, values


def _csv_rows(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from _table_rows(path, csv.DictReader(io.StringIO(content, newline="")))
    except csv.Error as error:
        raise input_error(path, "not a readable table", found=str(error)[:200]) from error


def _table_rows(path: Path, table: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    if "file" not in (table.fieldnames or ()):
        if _is_motion_table(table.fieldnames or ()):
            raise input_error(
                path, "a table of a robot's motion, not a motion file of this program",
                fix=f"convert it first: python -m retarget.convert {path} --out FOLDER "
                "(--robot NAME where it is not the G1), then train on the .npz in FOLDER",
            )  # fmt: skip
        raise input_error(
            path, "the first line must head the columns", found=", ".join(table.fieldnames or ()),
            expected=", ".join(_KEYS),
        )  # fmt: skip
    for values in table:
        if None in values or None in values.values():
            raise input_error(path, f"line {table.line_num} has other columns than the heading")
        row: dict[str, Any] = {key: value.strip() for key, value in values.items() if value.strip()}
        row["tags"] = row.get("tags", "").split()
        for key in ("weight", "difficulty"):
            # What is no number is refused by the rule for both kinds of manifest.
            with suppress(ValueError, KeyError):
                row[key] = float(row[key])
        yield table.line_num, row


def _is_motion_table(cells: Sequence[str]) -> bool:
    """Whether the first line of a csv is a robot's motion: numbers, or BONES-SEED's names."""
    return len(cells) >= 8 and (all(map(_reads_as_number, cells)) or "root_translateX" in cells)


def _reads_as_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _clip(manifest: Path, line: int, values: dict[str, Any]) -> MotionFile:
    unknown = [str(key) for key in values if key not in _KEYS]
    if unknown:
        raise input_error(
            manifest, f"line {line} has unknown keys", found=", ".join(unknown),
            expected=", ".join(_KEYS),
        )  # fmt: skip
    for key in ("file", "split", "name"):
        if not isinstance(values.get(key, ""), str):
            raise input_error(manifest, f"line {line}: {key} must be text", found=values[key])
    file, weight, tags = values.get("file", ""), values.get("weight", 1.0), values.get("tags", [])
    if not file:
        raise input_error(manifest, f"line {line} names no file")
    if not _is_number(weight) or not weight > 0:
        raise input_error(
            manifest, f"line {line}: weight must be a number above zero", found=repr(weight)
        )
    difficulty = values.get("difficulty")
    if difficulty is not None and (not _is_number(difficulty) or difficulty < 0):
        raise input_error(
            manifest, f"line {line}: difficulty must be a number that is not negative",
            found=repr(difficulty),
        )  # fmt: skip
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise input_error(manifest, f"line {line}: tags must be a list of texts", found=repr(tags))
    path = manifest.parent / file
    if not path.is_file():
        raise input_error(
            manifest, f"line {line} names a file that is not there", found=str(path),
            fix="paths are relative to the manifest",
        )  # fmt: skip
    nested = len(Path(file).parts) > 1 and not Path(file).is_absolute()
    return MotionFile(
        path=path,
        name=values.get("name", "") or (_name(Path(file)) if nested else ""),
        split=values.get("split", ""),
        weight=float(weight),
        tags=tuple(tags),
        difficulty=None if difficulty is None else float(difficulty),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# -- a look at a file without reading it ---------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MotionHeader:
    """What a motion file says of its size: read in a fraction of a millisecond."""

    frames: int
    fps: float
    objects: tuple[str, ...] = ()
    scene: str = ""
    """JSON as it stands in the file; empty where there is none."""


def read_header(path: MotionPath) -> MotionHeader | None:
    """The size of a robot motion file; None where it is none, which reading it will tell.

    A clip of a set that has a method `header`, as one of a pack, is asked instead.
    """
    own = getattr(path, "header", None)
    if own is not None:
        return own()
    try:
        with open_archive(Path(path)) as archive:

            def small(name: str) -> NDArray[Any]:
                member = f"{name}.npy"
                return npy_array(Path(path), read_member(Path(path), archive, member), member)

            with archive.open("joint_pos.npy") as stream:
                frames = npy_shape(stream.read(_HEAD_BYTES))[0]
            fps = float(small("fps").reshape(-1)[0])
            names = archive.namelist()
            objects: tuple[str, ...] = ()
            scene = str(small("scene")) if "scene.npy" in names else ""
            if "object_names.npy" in names:
                objects = tuple(map(str, small("object_names").reshape(-1).tolist()))
    except (
        OSError, KeyError, ValueError, TypeError, IndexError, EOFError, OverflowError,
        NotImplementedError, RuntimeError, NotPlain, InputError, struct.error,
        zipfile.BadZipFile, zlib.error,
    ):  # fmt: skip
        return None
    if not (2 <= frames <= limit("frames") and math.isfinite(fps) and fps > 0.0):
        return None
    return MotionHeader(frames=frames, fps=fps, objects=objects, scene=scene)
