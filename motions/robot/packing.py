"""Making a pack: clips are read side by side, checked, brought to one rate and written in order.

Memory is that of a few clips whatever the size of the set. The file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from mimic_base.errors import InputError, input_error
from mimic_base.files import atomic_path, check_writable
from mimic_base.frame_fields import FRAME_FIELDS
from mimic_base.resample import check_fps
from motions.robot.dataset import MotionFile, distinct_names
from motions.robot.motion import check_fits, content_hash
from motions.robot.pack import (
    ABOUT,
    CLIPS,
    CONTACT,
    FRAMES,
    OBJECT_NUMBERS,
    OBJECTS,
    SCHEMA,
    SUFFIX,
    ClipEntry,
    PackedClip,
)
from robots import Robot

_COPY = 1 << 22
_ALIGN = 64
"""Where arrays begin, bytes: numpy's own alignment of the data within a member."""


@dataclass(frozen=True)
class Packed:
    """What was written.

    Attributes:
        skipped: a line for each clip that was left out.
    """

    clips: int
    frames: int
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Clip:
    entry: ClipEntry
    frames: np.ndarray
    contact: np.ndarray
    objects: dict[str, np.ndarray]


def write_pack(
    files: Sequence[MotionFile],
    out: Path | str,
    robot: Robot,
    *,
    fps: float = 50.0,
    bodies: Sequence[str] | None = None,
    shares: Mapping[str, float] | None = None,
    skip_unfit: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Pack clips of `robot` into one file.

    Args:
        files: clips with names, weights, splits and tags; two of one name are told apart.
        fps: rate that all are brought to.
        bodies: bodies that are kept, the floating base first; the robot's key bodies by default.
        shares: split -> share of the clips without one that are put there, see `split_of`.
        skip_unfit: leave clips out that cannot be used, instead of refusing the set.
        workers: threads that read; as many as there are processors, at most eight.
        progress: called with clips done and their number.

    Raises:
        InputError: the first clip that cannot be used, a full disk, a place that cannot be written.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise input_error(out, f"a pack is written as {SUFFIX}", fix=f"--out {out}{SUFFIX}")
    fps = check_fps(fps, "--out-fps", "try --out-fps 50")
    check_writable(out)
    if not files:
        raise InputError("no motion to pack")
    kept = tuple(robot.key_bodies if bodies is None else bodies)
    skipped: list[str] = []
    entries: list[ClipEntry] = []
    names: dict[str, None] = {}
    paths: list[Path | None] = []
    # How many rows there are, and which objects, is known when the last clip has been read.
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(out))
        part = [stack.enter_context(TemporaryFile(dir=out.parent)) for _ in range(2)]
        tracks: list[tuple[int, str, int]] = []
        rows = 0
        archive = stack.enter_context(zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED))
        frames = stack.enter_context(TemporaryFile(dir=out.parent))
        for number, read in enumerate(_in_order(files, robot, kept, fps, workers)):
            try:
                clip = read()
            except InputError as error:
                if not skip_unfit:
                    raise
                skipped.append(str(error))
                continue
            frames.write(clip.frames.tobytes())
            part[0].write(clip.contact.tobytes())
            for name, values in clip.objects.items():
                names.setdefault(name)
                tracks.append((rows, name, part[1].tell()))
                part[1].write(values.tobytes())
            rows += clip.entry.frames
            paths.append(None if isinstance(files[number], PackedClip) else files[number].path)
            entries.append(_in_its_split(clip.entry, shares))
            if progress is not None:
                progress(number + 1, len(files))
        if not entries:
            raise input_error(out, "no clip could be packed", found=skipped[0] if skipped else "")
        titles = distinct_names([entry.name for entry in entries], paths)
        entries = [replace(each, name=title) for each, title in zip(entries, titles, strict=True)]
        about = {
            "schema": SCHEMA, "robot": robot.name, "fps": fps,
            "joint_names": list(robot.joint_names), "body_names": list(kept),
            "object_names": list(names),
        }  # fmt: skip
        # Named by an entry without a time of day: the same clips are the same bytes.
        archive.writestr(zipfile.ZipInfo(ABOUT), json.dumps(about, indent=1))
        archive.writestr(zipfile.ZipInfo(CLIPS), "".join(_line(entry) for entry in entries))
        width = frames.tell() // (4 * rows)
        _store(archive, FRAMES, frames, (rows, width))
        _store(archive, CONTACT, part[0], (rows, 2))
        if names:
            _store(archive, OBJECTS, _objects(stack, out, part[1], tracks, entries, list(names)),
                   (rows, OBJECT_NUMBERS * len(names)))  # fmt: skip
        archive.close()
    return Packed(len(entries), rows, skipped)


def _in_its_split(entry: ClipEntry, shares: Mapping[str, float] | None) -> ClipEntry:
    if entry.split or not shares or not any(shares.values()):
        return entry
    return replace(entry, split=split_of(entry.hash, shares))


def _line(entry: ClipEntry) -> str:
    plain = {key: value for key, value in asdict(entry).items() if value not in ("", (), {}, None)}
    return json.dumps(plain) + "\n"


def _in_order(
    files: Sequence[MotionFile],
    robot: Robot,
    bodies: tuple[str, ...],
    fps: float,
    workers: int | None,
) -> Iterator[Callable[[], _Clip]]:
    """Results in the order of the files, a few clips ahead of who takes them."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = max(1, min(workers or min(available or 1, 8), len(files)))
    running: deque[Future[_Clip]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for file in files:
                running.append(pool.submit(_read, file, robot, bodies, fps))
                if len(running) > 2 * threads:
                    yield running.popleft().result
            while running:
                yield running.popleft().result
        finally:
            for job in running:
                job.cancel()


def _read(file: MotionFile, robot: Robot, bodies: tuple[str, ...], fps: float) -> _Clip:
    motion = file.load()
    check_fits(motion, robot, bodies=bodies, where=str(file))
    digest, source_fps = content_hash(motion), float(motion.fps)
    name = file.name or motion.name or file.path.stem
    motion = motion.with_joint_order(robot.joint_names).with_body_order(bodies).resample(fps)
    count = motion.num_frames
    fields = [getattr(motion, each).reshape(count, -1) for each in FRAME_FIELDS]
    frames = np.empty((count, sum(each.shape[1] for each in fields)), "<f4")
    np.concatenate(fields, axis=1, out=frames, casting="same_kind")
    objects = {}
    if motion.objects is not None:
        linear, angular = motion.objects.velocities(motion.fps)
        poses = (motion.objects.pos_w, motion.objects.quat_w, linear, angular)
        for index, title in enumerate(motion.object_names):
            values = np.concatenate([each[:, index] for each in poses], axis=1)
            objects[title] = np.ascontiguousarray(values, "<f4")
    entry = ClipEntry(
        name=name, frames=count, source_fps=source_fps, hash=digest, weight=file.weight,
        split=file.split, tags=file.tags, source=motion.source, licence=motion.licence,
        objects=tuple(objects), scene=motion.scene, difficulty=file.difficulty,
    )  # fmt: skip
    if not np.isfinite(frames).all():
        raise input_error(file.path, "numbers that single precision cannot hold")
    return _Clip(entry, frames, np.ascontiguousarray(motion.contact, "<f4"), objects)


def _objects(
    stack: ExitStack,
    out: Path,
    part: IO[bytes],
    tracks: Sequence[tuple[int, str, int]],
    entries: Sequence[ClipEntry],
    names: Sequence[str],
) -> IO[bytes]:
    """The rows of all objects, from the tracks as they came: (first row, name, place in `part`)."""
    found: IO[bytes] = stack.enter_context(TemporaryFile(dir=out.parent))  # noqa: SIM115
    where = {(row, name): place for row, name, place in tracks}
    row = 0
    for entry in entries:
        values = np.zeros((entry.frames, len(names), OBJECT_NUMBERS), "<f4")
        values[..., 3] = 1.0
        for index, name in enumerate(names):
            place = where.get((row, name))
            if place is not None:
                part.seek(place)
                track = np.frombuffer(part.read(4 * OBJECT_NUMBERS * entry.frames), "<f4")
                values[:, index] = track.reshape(entry.frames, OBJECT_NUMBERS)
        found.write(values.tobytes())
        row += entry.frames
    return found


def _store(
    archive: zipfile.ZipFile, member: str, content: IO[bytes], shape: tuple[int, int]
) -> None:
    """Put an array into the archive so that it begins at a multiple of `_ALIGN` bytes."""
    info = zipfile.ZipInfo(member)
    info.compress_type = zipfile.ZIP_STORED
    assert archive.fp is not None
    # A member begins with 30 bytes, its name and the extra field; ZIP64 adds one of 20 bytes.
    begin = archive.fp.tell() + 30 + len(member.encode()) + 20
    pad = -(begin + 4) % _ALIGN
    info.extra = b"\xff\xff" + pad.to_bytes(2, "little") + bytes(pad)
    content.seek(0)
    with archive.open(info, "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        while block := content.read(_COPY):
            stream.write(block)


def split_of(digest: str, shares: Mapping[str, float], salt: str = "") -> str:
    """The split of a clip by the hash of its content: the same wherever the clip lies.

    Args:
        shares: split -> share of the clips, together at most 1; the rest is ``train``.
    """
    number = int(hashlib.sha256(f"{salt}{digest}".encode()).hexdigest()[:13], 16) / 16**13
    for name, share in shares.items():
        if number < share:
            return name
        number -= share
    return "train"


def with_difficulties(files: Sequence[MotionFile], robot: Robot) -> list[MotionFile]:
    """The clips with `motions.robot.curation.difficulty`; one that has it already keeps it.

    Raises `InputError` for a clip of another robot.
    """
    from motions.robot.curation.difficulty import difficulty_of

    found = []
    for file in files:
        if file.difficulty is None:
            motion = file.load()
            check_fits(motion, robot, bodies=robot.key_bodies, where=str(file))
            file = replace(file, difficulty=round(difficulty_of(motion, robot), 4))
        found.append(file)
    return found


def with_splits(
    files: Sequence[MotionFile], shares: Mapping[str, float], salt: str = ""
) -> list[MotionFile]:
    """The clips with splits by `split_of`; a clip that has one already keeps it."""
    return [
        replace(file, split=file.split or split_of(content_hash(file.load()), shares, salt))
        for file in files
    ]
