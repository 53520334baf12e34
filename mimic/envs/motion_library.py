"""Reference clips as tensors at the control rate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from mimic_base.errors import MimicError
from mimic_base.frame_fields import BODY_FIELDS, FRAME_FIELDS, FrameArrays, frame_shapes
from mimic_base.resample import resampled_length
from motions import RobotMotion
from motions.robot.dataset import MotionFile, distinct_names, find_motion_files, read_header
from motions.robot.motion import check_fits, content_hash
from motions.robot.pack import MotionPack, PackedClip
from robots import Robot

__all__ = ["MotionLibrary", "find_motion_files", "load_library"]

MotionSource = Path | str | MotionFile | RobotMotion
"""What a clip comes from: its file, or the motion itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionLibrary(FrameArrays[torch.Tensor]):
    """Clips laid end to end. The frames of all clips are counted through, the bodies are the
    robot's key bodies.

    Attributes:
        start, length: [M] first row and number of frames of each clip.
    """

    names: tuple[str, ...]
    """One for each clip, no two alike."""
    hashes: tuple[str, ...]
    source_fps: tuple[float, ...]
    fps: float
    start: torch.Tensor
    length: torch.Tensor
    weight: torch.Tensor | None = None
    """[M] how often the frames of each clip are drawn, relative to others; None for all alike."""
    difficulty: torch.Tensor | None = None
    """[M] how hard each clip is to follow, see `motions.robot.curation.difficulty`; None where the
    set does not say it of every clip."""
    object_names: tuple[str, ...] = ()
    """The K objects that some clip has."""
    object_pos_w: torch.Tensor | None = None
    """[F, K, 3] m; the origin in clips without that object. None without objects."""
    object_quat_w: torch.Tensor | None = None
    """[F, K, 4] wxyz; upright in clips without that object."""
    object_lin_vel_w: torch.Tensor | None = None
    """[F, K, 3] m/s."""
    object_ang_vel_w: torch.Tensor | None = None
    """[F, K, 3] rad/s."""
    object_present: torch.Tensor | None = None
    """[M, K] bool: which clip has which object."""
    table: torch.Tensor | None = field(default=None, repr=False)
    """[F, columns] the six arrays side by side; where it is given, they are views of it."""
    mapped: bool = False
    """Whether the tensors are memory maps of a pack, which may hold rows of other clips too."""
    _joint_table: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One wide row a frame: a gather reads each frame from one place, once. The fields become
        # views of the table, so that nothing is kept twice.
        if self.table is None:
            shapes = [getattr(self, name).shape[1:] for name in FRAME_FIELDS]
            table = torch.cat([getattr(self, name).flatten(1) for name in FRAME_FIELDS], 1)
            object.__setattr__(self, "table", table)
            for name, values in _columns(table, shapes).items():
                object.__setattr__(self, name, values)
        # A copy of the first columns is quicker to gather from; too large where they are mapped.
        assert self.table is not None
        joints = self.table[:, : 2 * self.joint_pos.shape[1]]
        object.__setattr__(self, "_joint_table", joints if self.mapped else joints.contiguous())

    def joint_command(self, rows: torch.Tensor) -> torch.Tensor:
        """Joint positions and velocities of the frames ``rows`` [n], [n, 2 J]."""
        return self._joint_table.index_select(0, rows)

    def gather(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The frames ``rows`` [n] of every field, frames last: [J, n] and [B, 3 | 4, n]."""
        assert self.table is not None
        picked = self.table.index_select(0, rows).T.contiguous()
        found: dict[str, torch.Tensor] = {}
        first = 0
        for name in FRAME_FIELDS:
            shape = getattr(self, name).shape[1:]
            size = shape.numel()
            found[name] = picked[first : first + size].unflatten(0, shape)
            first += size
        return found

    def known_difficulty(self) -> torch.Tensor:
        """[M] how hard each clip is to follow; raises `MimicError` where the set does not say."""
        if self.difficulty is None:
            raise MimicError(
                "the motions do not say how hard they are; write a set that does: "
                "mimic motions split FOLDER --difficulty --out SET.jsonl"
            )
        return self.difficulty

    @property
    def num_clips(self) -> int:
        return len(self.names)

    @cached_property
    def num_frames(self) -> int:
        """Frames of all clips."""
        return int(self.length.sum())

    def at(
        self, clip: torch.Tensor, time_s: torch.Tensor, offsets: Sequence[float] = (0.0,)
    ) -> dict[str, torch.Tensor]:
        """The references at any times, each with K offsets, between frames interpolated.

        Rotations are interpolated along the shorter arc (normalised linear), all else linearly;
        times before a clip and after it are its first and last frame.

        Args:
            clip: [n] clip of each query. time_s: [n] seconds from the clip's beginning.
            offsets: K seconds, for instance of future references.

        Returns:
            The six fields, [n, K, J] and [n, K, B, 3 | 4].
        """
        assert self.table is not None
        steps = torch.as_tensor(offsets, device=time_s.device, dtype=time_s.dtype)
        last = (self.length[clip] - 1)[:, None]
        place = ((time_s[:, None] + steps) * self.fps).clamp_min(0.0)
        place = torch.minimum(place, last.to(place))
        low = torch.minimum(place.long(), (last - 1).clamp_min(0))
        rows = (self.start[clip][:, None] + low).flatten()
        share = (place - low).flatten()[:, None].to(self.table.dtype)
        first = self.table.index_select(0, rows)
        second = self.table.index_select(0, rows + 1)
        shapes = [getattr(self, name).shape[1:] for name in FRAME_FIELDS]
        mixed = _columns(first + share * (second - first), shapes)
        quats = _columns(second, shapes)["body_quat_w"]
        begin = _columns(first, shapes)["body_quat_w"]
        near = torch.where((begin * quats).sum(-1, keepdim=True) < 0, -quats, quats)
        turned = begin + share[:, :, None] * (near - begin)
        mixed["body_quat_w"] = turned / turned.norm(dim=-1, keepdim=True)
        count = (len(clip), len(steps))
        return {name: values.unflatten(0, count) for name, values in mixed.items()}


def _columns(table: torch.Tensor, shapes: Sequence[torch.Size]) -> dict[str, torch.Tensor]:
    """The six arrays as views of a table [F, columns]."""
    parts = table.split([shape.numel() for shape in shapes], 1)
    return {
        name: values.unflatten(1, shape)
        for name, shape, values in zip(FRAME_FIELDS, shapes, parts, strict=True)
    }


def load_library(
    files: Sequence[MotionSource],
    robot: Robot,
    fps: float,
    device: str = "cpu",
    *,
    workers: int | None = None,
) -> MotionLibrary:
    """Load clips of ``robot`` and resample them to the control rate ``fps``.

    Joints and bodies are matched by name. Files are read side by side, and each goes straight into
    its rows of the tensors, so that no clip is in memory twice but for the moment of its reading.
    Clips of one pack with this rate and these bodies are not read at all on the CPU: frames are
    gathered from the mapped file.

    Args:
        workers: threads that read; by default as many as there are processors, at most eight.

    Raises:
        MimicError, InputError: no clip, a file that cannot be read, another robot's motion.
    """
    if not files:
        raise MimicError("no motion given; pass --motion FILE or a folder of .npz files")
    mapped = _mapped(files, robot, fps, device)
    if mapped is not None:
        return mapped
    sizes = [_size(file, fps) for file in files]
    object_names = tuple(dict.fromkeys(name for _, names in sizes for name in names))
    length = torch.tensor([frames for frames, _ in sizes], device=device)
    start = torch.cumsum(length, 0) - length
    total = int(length.sum())
    tensors = _Tensors(total, len(files), robot, object_names, device)
    first = start.tolist()

    def load(index: int) -> tuple[str, str, float]:
        return tensors.fill(files[index], index, first[index], sizes[index][0], robot, fps)

    with ThreadPoolExecutor(_workers(workers, len(files))) as pool:
        facts = list(_in_order(pool, load, len(files)))
    paths = [None if isinstance(file, RobotMotion) else Path(file) for file in files]
    weights = [file.weight if isinstance(file, MotionFile) else 1.0 for file in files]
    even = all(weight == weights[0] for weight in weights)
    return MotionLibrary(
        names=distinct_names([name for name, _, _ in facts], paths),
        hashes=tuple(digest for _, digest, _ in facts),
        source_fps=tuple(rate for _, _, rate in facts),
        fps=fps,
        start=start,
        length=length,
        weight=None if even else torch.tensor(weights, device=device),
        difficulty=_difficulties(files, device),
        table=tensors.table,
        **_columns(tensors.table, tensors.shapes),
        **tensors.objects,
    )


def _difficulties(files: Sequence[MotionSource], device: str) -> torch.Tensor | None:
    """[M] difficulties of clips; None unless every one has it."""
    found = [file.difficulty for file in files if isinstance(file, MotionFile)]
    known = [each for each in found if each is not None]
    return torch.tensor(known, device=device) if len(known) == len(files) else None


def _mapped(
    files: Sequence[MotionSource], robot: Robot, fps: float, device: str
) -> MotionLibrary | None:
    """The library of clips that lie in one pack as they are needed; None where they do not."""
    clips = [file for file in files if isinstance(file, PackedClip)]
    if len(clips) < len(files) or len({id(clip.pack) for clip in clips}) > 1:
        return None
    pack = clips[0].pack
    if pack.robot != robot.name:
        raise MimicError(
            f"{pack.path}: the pack is of robot '{pack.robot}', this is '{robot.name}'; "
            f"pack its motions: mimic motions pack FOLDER --robot {robot.name} --out SET.pack"
        )
    same = (
        pack.fps == fps
        and pack.joint_names == tuple(robot.joint_names)
        and pack.body_names == tuple(robot.key_bodies)
    )
    if not same or torch.device(device).type != "cpu":
        return None
    entries = [pack.entries[clip.index] for clip in clips]
    index = [clip.index for clip in clips]
    table = torch.from_numpy(pack.frames)
    shapes = frame_shapes(0, len(pack.joint_names), len(pack.body_names))
    weights = [clip.weight for clip in clips]
    even = all(weight == weights[0] for weight in weights)
    return MotionLibrary(
        names=tuple(entry.name for entry in entries),
        hashes=tuple(entry.hash for entry in entries),
        source_fps=tuple(entry.source_fps for entry in entries),
        fps=fps,
        start=torch.from_numpy(pack.start[index]),
        length=torch.tensor([entry.frames for entry in entries]),
        weight=None if even else torch.tensor(weights),
        difficulty=_difficulties(clips, "cpu"),
        table=table,
        mapped=True,
        **_columns(table, [torch.Size(shapes[name][1:]) for name in FRAME_FIELDS]),
        **_mapped_objects(pack, clips),
    )


def _mapped_objects(pack: MotionPack, clips: Sequence[PackedClip]) -> dict:
    if pack.objects is None:
        return {}
    tracks = torch.from_numpy(pack.objects).unflatten(1, (len(pack.object_names), -1))
    present = torch.zeros((len(clips), len(pack.object_names)), dtype=torch.bool)
    for row, clip in enumerate(clips):
        for name in pack.entries[clip.index].objects:
            present[row, pack.object_names.index(name)] = True
    pos, quat, linear, angular = tracks.split([3, 4, 3, 3], -1)
    return {
        "object_names": pack.object_names,
        "object_pos_w": pos,
        "object_quat_w": quat,
        "object_lin_vel_w": linear,
        "object_ang_vel_w": angular,
        "object_present": present,
    }


def _workers(wanted: int | None, clips: int) -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(wanted or min(available or 1, 8), clips))


def _in_order(pool: ThreadPoolExecutor, load, count: int) -> Iterator[tuple[str, str, float]]:
    """Results in the order of the clips; the first clip that fails ends the loading."""
    jobs = [pool.submit(load, index) for index in range(count)]
    try:
        for job in jobs:
            yield job.result()
    finally:
        for job in jobs:
            job.cancel()


def _size(file: MotionSource, fps: float) -> tuple[int, tuple[str, ...]]:
    """Frames that a clip has at the rate ``fps``, and its objects; by the file's head alone."""
    if isinstance(file, RobotMotion):
        return resampled_length(file.num_frames, file.fps, fps), file.object_names
    header = read_header(file)
    if header is None:
        # Refused here with the right words; a file whose head is unusual is read twice.
        motion = RobotMotion.load(Path(file))
        return resampled_length(motion.num_frames, motion.fps, fps), motion.object_names
    return resampled_length(header.frames, header.fps, fps), header.objects


def _motion(file: MotionSource) -> RobotMotion:
    if isinstance(file, RobotMotion):
        return file
    return file.load() if isinstance(file, MotionFile) else RobotMotion.load(Path(file))


class _Tensors:
    """The memory of a library, filled clip by clip from several threads."""

    def __init__(
        self, frames: int, clips: int, robot: Robot, object_names: tuple[str, ...], device: str
    ) -> None:
        shapes = frame_shapes(0, len(robot.joint_names), len(robot.key_bodies))
        self.shapes = [torch.Size(shapes[name][1:]) for name in FRAME_FIELDS]
        width = sum(shape.numel() for shape in self.shapes)
        self.table = torch.empty((frames, width), device=device)
        self.objects: dict = {"object_names": object_names}
        if object_names:
            count = len(object_names)
            upright = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)
            self.objects |= {
                "object_pos_w": torch.zeros((frames, count, 3), device=device),
                "object_quat_w": upright.repeat(frames, count, 1),
                "object_lin_vel_w": torch.zeros((frames, count, 3), device=device),
                "object_ang_vel_w": torch.zeros((frames, count, 3), device=device),
                "object_present": torch.zeros((clips, count), dtype=torch.bool, device=device),
            }

    def fill(
        self, file: MotionSource, index: int, row: int, frames: int, robot: Robot, fps: float
    ) -> tuple[str, str, float]:
        """Read a clip into rows from ``row`` on; its name, hash and own rate."""
        motion = _motion(file)
        where = None if isinstance(file, RobotMotion) else str(file)
        check_fits(motion, robot, bodies=robot.key_bodies, where=where)
        digest, source_fps, name = content_hash(motion), float(motion.fps), motion.name
        if isinstance(file, PackedClip):
            entry = file.pack.entries[file.index]
            digest, source_fps = entry.hash, entry.source_fps
        if isinstance(file, MotionFile) and file.name:
            name = file.name
        joints = [motion.joint_names.index(each) for each in robot.joint_names]
        bodies = [motion.body_names.index(each) for each in robot.key_bodies]
        # Fewer bodies first: what is left out need not be resampled.
        motion = motion.with_body_order(robot.key_bodies) if bodies else motion
        motion = motion.resample(fps)
        if motion.num_frames != frames:
            raise MimicError(f"{where}: the file's head tells {frames} frames, its arrays "
                             f"{motion.num_frames}; write it again")  # fmt: skip
        part = np.empty((frames, self.table.shape[1]), np.float32)
        column = 0
        for each, shape in zip(FRAME_FIELDS, self.shapes, strict=True):
            values = getattr(motion, each)
            values = values if each in BODY_FIELDS else values[:, joints]
            part[:, column : column + shape.numel()] = values.reshape(frames, -1)
            column += shape.numel()
        self.table[row : row + frames] = torch.from_numpy(part)
        if motion.objects is not None:
            self._fill_objects(motion, index, slice(row, row + frames))
        return name, digest, source_fps

    def _fill_objects(self, motion: RobotMotion, index: int, rows: slice) -> None:
        assert motion.objects is not None
        linear, angular = motion.objects.velocities(motion.fps)
        fields = {
            "object_pos_w": motion.objects.pos_w,
            "object_quat_w": motion.objects.quat_w,
            "object_lin_vel_w": linear,
            "object_ang_vel_w": angular,
        }
        for mine, name in enumerate(motion.object_names):
            column = self.objects["object_names"].index(name)
            for key, values in fields.items():
                self.objects[key][rows, column] = torch.from_numpy(values[:, mine]).float()
            self.objects["object_present"][index, column] = True
