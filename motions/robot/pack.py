"""A data set in one file: thousands of robot motions at one rate, memory-mapped.

``mimic motions pack`` turns a folder or a manifest into it once; training then reads frames where
they lie, so that memory does not grow with the set and loading takes as long as its table of clips.

The file (``.pack``) is a ZIP archive whose members are stored, not compressed; `numpy.load` opens
it too. With F frames of all M clips end to end, J joints, B bodies, K objects:

- ``about.json``: schema, robot, fps, joint_names, body_names, object_names;
- ``clips.jsonl``: one clip a line: name, frames, source_fps, hash, weight, split, tags, source,
  licence, objects, scene, difficulty;
- ``frames.npy`` float32 [F, 2 J + 13 B]: the six arrays of `mimic_base.frame_fields` side by side;
- ``contact.npy`` float32 [F, 2]; ``objects.npy`` float32 [F, 13 K]: position, quaternion (wxyz),
  linear and angular velocity of each object, the origin where a clip lacks it.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.archives import open_archive, read_member
from mimic_base.errors import InputError, input_error
from mimic_base.frame_fields import FRAME_FIELDS, frame_shapes
from mimic_base.numpy_files import HEAD_START, NotPlain, array_head
from mimic_base.resample import GREATEST_FPS, LEAST_FPS
from motions.robot.dataset import MotionFile, MotionHeader
from motions.robot.motion import RobotMotion
from motions.robot.objects import ObjectTracks
from motions.robot.scene import check_scene

Array = NDArray[Any]

SCHEMA = "humanoid-mimic/motion-pack/1"
SUFFIX = ".pack"
ABOUT, CLIPS, FRAMES, CONTACT, OBJECTS = (
    "about.json", "clips.jsonl", "frames.npy", "contact.npy", "objects.npy",
)  # fmt: skip
OBJECT_NUMBERS = 13
"""Numbers of an object in a frame: position 3, quaternion 4, velocities 3 and 3."""
_FIX = "pack the set again: mimic motions pack FOLDER --out SET.pack"
_LOCAL_HEADER = 30
"""Bytes of a ZIP member's own header before its name."""


@dataclass(frozen=True, kw_only=True)
class ClipEntry:
    """What a pack says of one clip; a line of ``clips.jsonl``."""

    name: str
    """No two of a pack are alike."""
    frames: int
    """At the pack's rate."""
    source_fps: float
    """Rate of the motion before it was packed."""
    hash: str
    """Of the motion's content before it was packed, see `motions.robot.motion.content_hash`."""
    weight: float = 1.0
    split: str = ""
    tags: tuple[str, ...] = ()
    source: str = ""
    licence: str = ""
    objects: tuple[str, ...] = ()
    """Those of the pack's objects that this clip has."""
    scene: Mapping[str, Any] = field(default_factory=dict)
    """Terrain and shapes of objects, see `motions.robot.scene`; empty for a plane."""
    difficulty: float | None = None
    """See `motions.robot.curation.difficulty`; None where the manifest does not say."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionPack:
    """An open data set. Arrays are memory maps: a copy is made of what is changed, never a write.

    Attributes:
        path: the file. robot: name of the robot. fps: rate of all clips.
        start: [M] first row of each clip in `frames`.
        frames, contact, objects: see the module; `objects` is None where no clip has any.
    """

    path: Path
    robot: str
    fps: float
    joint_names: tuple[str, ...]
    body_names: tuple[str, ...]
    object_names: tuple[str, ...]
    entries: tuple[ClipEntry, ...]
    start: NDArray[np.int64]
    frames: Array
    contact: Array
    objects: Array | None

    @classmethod
    def open(cls, path: Path | str) -> MotionPack:
        """Open a pack; raises `InputError` where it is damaged or no pack."""
        path = Path(path)
        try:
            return _open(path)
        except InputError:
            raise
        except (
            OSError, ValueError, TypeError, KeyError, EOFError, RecursionError, MemoryError,
            OverflowError, NotImplementedError, RuntimeError, SyntaxError, struct.error,
            zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise input_error(path, f"not a readable motion pack: {reason}", fix=_FIX) from error

    @property
    def num_clips(self) -> int:
        return len(self.entries)

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def hours(self) -> float:
        return self.num_frames / self.fps / 3600.0

    @cached_property
    def clips(self) -> tuple[PackedClip, ...]:
        """Every clip as one of a set."""
        return tuple(self.clip(index) for index in range(self.num_clips))

    def clip(self, index: int) -> PackedClip:
        """The clip of that number as one of a set."""
        entry = self.entries[index]
        return PackedClip(
            path=self.path, name=entry.name, split=entry.split, weight=entry.weight,
            tags=entry.tags, difficulty=entry.difficulty, pack=self, index=index,
        )  # fmt: skip

    def select(self, split: str | None = None) -> list[PackedClip]:
        """The clips of a split, all of them where none is given.

        Raises:
            InputError: the pack has no such split.
        """
        if split is None:
            return list(self.clips)
        found = [clip for clip in self.clips if clip.split == split]
        if not found:
            known = ", ".join(sorted({entry.split or "(none)" for entry in self.entries}))
            raise input_error(self.path, "no clip of this split", found=repr(split), expected=known)
        return found

    def shard(self, rank: int, ranks: int, split: str | None = None) -> list[PackedClip]:
        """The clips of one of several processes: every clip in one of them, frames about even.

        Clips are dealt from the longest on, each to the process with the fewest frames, so that
        the same pack gives the same shards everywhere.
        """
        if not 0 <= rank < ranks:
            raise ValueError(f"rank {rank} of {ranks}")
        chosen = self.select(split)
        loads = np.zeros(ranks, np.int64)
        mine = []
        for clip in sorted(chosen, key=lambda c: (-self.entries[c.index].frames, c.index)):
            place = int(loads.argmin())
            loads[place] += self.entries[clip.index].frames
            if place == rank:
                mine.append(clip)
        return sorted(mine, key=lambda clip: clip.index)

    def motion(self, index: int) -> RobotMotion:
        """One clip as a motion with the bodies of the pack."""
        entry = self.entries[index]
        rows = slice(int(self.start[index]), int(self.start[index]) + entry.frames)
        table, values, first = self.frames[rows], {}, 0
        shapes = frame_shapes(entry.frames, len(self.joint_names), len(self.body_names))
        for name in FRAME_FIELDS:
            width = math.prod(shapes[name][1:])
            values[name] = table[:, first : first + width].reshape(shapes[name])
            first += width
        return RobotMotion(
            **values,
            fps=self.fps, joint_names=self.joint_names, body_names=self.body_names,
            robot=self.robot, source=entry.source, licence=entry.licence, name=entry.name,
            contact=self.contact[rows], objects=self._tracks(entry, rows), scene=entry.scene,
        )  # fmt: skip

    def _tracks(self, entry: ClipEntry, rows: slice) -> ObjectTracks | None:
        if self.objects is None or not entry.objects:
            return None
        chosen = [self.object_names.index(name) for name in entry.objects]
        values = self.objects[rows].reshape(entry.frames, -1, OBJECT_NUMBERS)[:, chosen]
        return ObjectTracks(
            names=entry.objects,
            pos_w=np.asarray(values[..., :3], np.float64),
            quat_w=np.asarray(values[..., 3:7], np.float64),
        )

    def check(self) -> None:
        """Read everything: checksums, and that all numbers are finite.

        Raises:
            InputError: the first clip that is damaged.
        """
        with zipfile.ZipFile(self.path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise input_error(self.path, f"{damaged} is damaged (its checksum differs)", fix=_FIX)
        for index, entry in enumerate(self.entries):
            rows = slice(int(self.start[index]), int(self.start[index]) + entry.frames)
            arrays = [self.frames[rows], self.contact[rows]]
            arrays += [] if self.objects is None else [self.objects[rows]]
            if not all(np.isfinite(array).all() for array in arrays):
                raise input_error(self.path, f"clip {entry.name!r} has numbers that are not finite")

    def summary(self) -> str:
        """What is in it: totals, then clips and hours by split, tag, folder, licence."""
        length = np.array([entry.frames for entry in self.entries]) / self.fps
        lines = [
            f"{self.path}: {self.num_clips} clips, {_time(3600 * self.hours)} at {self.fps:g} fps, "
            f"robot {self.robot}, {len(self.joint_names)} joints, {len(self.body_names)} bodies, "
            f"{self.path.stat().st_size / 2**20:.1f} MiB",
            f"  clips of {length.min():.1f} to {length.max():.1f} s, half of them above "
            f"{np.median(length):.1f} s",
        ]
        if self.object_names:
            lines.append(f"  objects: {', '.join(self.object_names)}")
        kinds = {
            "split": lambda e: [e.split or "(none)"],
            "tag": lambda e: e.tags,
            "folder": lambda e: [e.name.split("/")[0]] if "/" in e.name else [],
            "licence": lambda e: [e.licence or "(not stated)"],
        }
        for title, of in kinds.items():
            count: Counter[str] = Counter()
            seconds: defaultdict[str, float] = defaultdict(float)
            for entry, spent in zip(self.entries, length, strict=True):
                for value in of(entry):
                    count[value] += 1
                    seconds[value] += float(spent)
            for value, clips in count.most_common(12):
                lines.append(f"  {title} {value}: {clips} clips, {_time(seconds[value])}")
            if len(count) > 12:
                lines.append(f"  ... and {len(count) - 12} more of kind {title}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class PackedClip(MotionFile):
    """A clip of an open pack."""

    pack: MotionPack = field(repr=False)
    index: int

    def load(self) -> RobotMotion:
        """The clip itself, with the bodies of the pack."""
        return self.pack.motion(self.index)

    def header(self) -> MotionHeader:
        """What the pack says of the clip."""
        entry = self.pack.entries[self.index]
        scene = json.dumps(entry.scene) if entry.scene else ""
        return MotionHeader(
            frames=entry.frames, fps=self.pack.fps, objects=entry.objects, scene=scene
        )

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


# -- opening ---------------------------------------------------------------------------------------


def _open(path: Path) -> MotionPack:
    if not path.is_file():
        raise input_error(path, "no such motion pack", fix=_FIX)
    with open_archive(path) as archive:
        about = _json_object(path, read_member(path, archive, ABOUT))
        if about.get("schema") != SCHEMA:
            raise input_error(
                path, "another schema", found=repr(about.get("schema"))[:80], expected=SCHEMA,
                fix=_FIX,
            )  # fmt: skip
        entries = tuple(_entries(path, read_member(path, archive, CLIPS).decode("utf-8")))
        joints, bodies, objects = (
            _names(path, about, key) for key in ("joint_names", "body_names", "object_names")
        )
        fps = _number(path, about.get("fps"), "fps", LEAST_FPS, GREATEST_FPS)
        if not isinstance(about.get("robot"), str) or not joints or not bodies:
            raise input_error(path, f"{ABOUT} must name robot, joints and bodies", fix=_FIX)
        total = sum(entry.frames for entry in entries)
        width = sum(math.prod(s[1:]) for s in frame_shapes(1, len(joints), len(bodies)).values())
        frames = _mapped(path, archive, FRAMES, (total, width))
        contact = _mapped(path, archive, CONTACT, (total, 2))
        tracks = None
        if objects:
            tracks = _mapped(path, archive, OBJECTS, (total, OBJECT_NUMBERS * len(objects)))
    strange = {name for entry in entries for name in entry.objects} - set(objects)
    if strange:
        raise input_error(path, f"a clip has an object that {ABOUT} does not name",
                          found=min(strange)[:80], fix=_FIX)  # fmt: skip
    length = np.array([entry.frames for entry in entries], np.int64)
    return MotionPack(
        path=path, robot=about["robot"], fps=fps, joint_names=joints, body_names=bodies,
        object_names=objects, entries=entries, start=np.cumsum(length) - length, frames=frames,
        contact=contact, objects=tracks,
    )  # fmt: skip


def _json_object(path: Path, content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise input_error(
            path, "a mapping is expected in its JSON", found=str(value)[:40], fix=_FIX
        )
    return value


def _entries(path: Path, text: str) -> list[ClipEntry]:
    known = {each.name for each in fields(ClipEntry)}
    found, names = [], set()
    for number, line in enumerate(text.splitlines(), start=1):
        values = _json_object(path, line.encode())
        where = f"{CLIPS}, line {number}"
        if not values.keys() <= known or not {"name", "frames"} <= values.keys():
            raise input_error(
                path, f"{where} has other keys", found=", ".join(map(str, values))[:120], fix=_FIX
            )
        for key in ("name", "hash", "split", "source", "licence"):
            if not isinstance(values.get(key, ""), str):
                raise input_error(path, f"{where}: {key} must be text", fix=_FIX)
        for key in ("tags", "objects"):
            texts = values.get(key, [])
            if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
                raise input_error(path, f"{where}: {key} must be texts", fix=_FIX)
            values[key] = tuple(texts)
        scene = values.get("scene", {})
        if not isinstance(scene, dict):
            raise input_error(path, f"{where}: scene must be a mapping", fix=_FIX)
        values["scene"] = check_scene(scene, values["objects"], f"{path}: {where}")
        frames = values["frames"]
        if type(frames) is not int or frames < 2:
            raise input_error(path, f"{where}: frames must be two or more", fix=_FIX)
        for key, least in (("source_fps", LEAST_FPS), ("weight", 0.0)):
            most = GREATEST_FPS if key == "source_fps" else math.inf
            values[key] = _number(path, values.get(key, 1.0), f"{where}: {key}", least, most)
        if values.get("difficulty") is not None:
            what = f"{where}: difficulty"
            values["difficulty"] = _number(path, values["difficulty"], what, 0.0, math.inf)
        if values["name"] in names:
            raise input_error(path, f"{where} names a clip again", found=values["name"][:80])
        names.add(values["name"])
        found.append(ClipEntry(**{"hash": "", **values}))
    if not found:
        raise input_error(path, "it holds no clip", fix=_FIX)
    return found


def _number(path: Path, value: Any, what: str, least: float, most: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
        if least <= number <= most and math.isfinite(number):
            return number
    raise input_error(path, f"{what} is no such number", found=repr(value)[:40],
                      expected=f"{least:g} to {most:g}", fix=_FIX)  # fmt: skip


def _names(path: Path, about: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = about.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise input_error(path, f"{key} must be a list of texts", fix=_FIX)
    if len(set(names)) < len(names):
        raise input_error(path, f"{key} holds a name twice", fix=_FIX)
    return tuple(names)


def _mapped(path: Path, archive: zipfile.ZipFile, member: str, shape: Sequence[int]) -> Array:
    """A stored member as a private memory map, after its header has been held against `shape`."""
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise input_error(path, f"{member} is compressed and cannot be mapped", fix=_FIX)
    with archive.open(info) as stream:
        try:
            dtype, fortran, found, header = array_head(stream.read(HEAD_START))
        except (ValueError, NotPlain) as error:
            raise input_error(
                path, f"{member} is no NumPy array", found=str(error)[:200], fix=_FIX
            ) from error
    size = math.prod(shape) * 4
    if tuple(found) != tuple(shape) or fortran or dtype != np.dtype("<f4"):
        raise input_error(
            path, f"{member} is not what its clips say", found=f"{dtype} {found}",
            expected=f"float32 {tuple(shape)}", fix=_FIX,
        )  # fmt: skip
    if info.file_size != header + size:
        raise input_error(
            path, f"{member} has another size", found=f"{info.file_size} bytes",
            expected=f"{header + size}", fix=_FIX,
        )  # fmt: skip
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        local = stream.read(_LOCAL_HEADER)
        name, extra = struct.unpack("<HH", local[26:30])
    offset = info.header_offset + _LOCAL_HEADER + name + extra + header
    if offset + size > path.stat().st_size:
        raise input_error(path, f"the file ends before {member} does", fix="copy it again")
    return np.memmap(path, np.dtype("<f4"), mode="c", offset=offset, shape=tuple(shape))
