"""Reference clips as tensors at the control rate."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from mimic_base.errors import MimicError
from mimic_base.frame_fields import BODY_FIELDS, FRAME_FIELDS, FrameArrays, frame_shapes
from mimic_base.resample import resampled_length
from motions import RobotMotion
from motions.robot.dataset import MotionFile, distinct_names, find_motion_files, read_header
from motions.robot.motion import check_fits
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
        joints = torch.cat([self.joint_pos, self.joint_vel], 1)
        object.__setattr__(self, "_joint_table", joints)

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

    @property
    def num_clips(self) -> int:
        return len(self.names)

    @property
    def num_frames(self) -> int:
        return int(self.joint_pos.shape[0])


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

    Args:
        workers: threads that read; by default as many as there are processors, at most eight.

    Raises:
        MimicError, InputError: no clip, a file that cannot be read, another robot's motion.
    """
    if not files:
        raise MimicError("no motion given; pass --motion FILE or a folder of .npz files")
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
        table=tensors.table,
        **_columns(tensors.table, tensors.shapes),
        **tensors.objects,
    )


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
        motion = file if isinstance(file, RobotMotion) else RobotMotion.load(Path(file))
        where = None if isinstance(file, RobotMotion) else str(file)
        check_fits(motion, robot, bodies=robot.key_bodies, where=where)
        digest, source_fps, name = _hash(motion), float(motion.fps), motion.name
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


def _hash(clip: RobotMotion) -> str:
    """Hash of a clip's content as its file holds it, the same for the same content."""
    digest = hashlib.sha256(f"{clip.robot} {clip.fps:.6f}".encode())
    arrays = [clip.joint_pos, clip.body_pos_w, clip.body_quat_w]
    if clip.objects is not None:
        digest.update("\0".join(clip.object_names).encode())
        arrays += [clip.object_pos_w, clip.object_quat_w]
    if clip.scene:
        digest.update(json.dumps(clip.scene, sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]
