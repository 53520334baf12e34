"""Reference clips as tensors at the control rate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from mimic_base.errors import MimicError
from mimic_base.frame_fields import FRAME_FIELDS, FrameArrays
from motions import RobotMotion
from robots import Robot


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionLibrary(FrameArrays[torch.Tensor]):
    """Clips laid end to end. The frames of all clips are counted through, the bodies are the
    robot's key bodies.

    Attributes:
        start, length: [M] first row and number of frames of each clip.
    """

    names: tuple[str, ...]
    hashes: tuple[str, ...]
    source_fps: tuple[float, ...]
    fps: float
    start: torch.Tensor
    length: torch.Tensor
    _table: torch.Tensor = field(init=False, repr=False)
    _joint_table: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One wide row a frame: a gather reads each frame from one place, once. The fields become
        # views of the table, so that nothing is kept twice.
        shapes = [getattr(self, name).shape[1:] for name in FRAME_FIELDS]
        table = torch.cat([getattr(self, name).flatten(1) for name in FRAME_FIELDS], 1)
        object.__setattr__(self, "_table", table)
        columns = table.split([shape.numel() for shape in shapes], 1)
        for name, shape, values in zip(FRAME_FIELDS, shapes, columns, strict=True):
            object.__setattr__(self, name, values.unflatten(1, shape))
        joints = torch.cat([self.joint_pos, self.joint_vel], 1)
        object.__setattr__(self, "_joint_table", joints)

    def joint_command(self, rows: torch.Tensor) -> torch.Tensor:
        """Joint positions and velocities of the frames ``rows`` [n], [n, 2 J]."""
        return self._joint_table.index_select(0, rows)

    def gather(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The frames ``rows`` [n] of every field, frames last: [J, n] and [B, 3 | 4, n]."""
        picked = self._table.index_select(0, rows).T.contiguous()
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


def find_motion_files(paths: Sequence[Path | str]) -> list[Path]:
    """Expand folders into their ``.npz`` files, sorted; refuse what is not there."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(path.glob("*.npz"))
            if not found:
                raise MimicError(f"motion folder '{path}' holds no .npz file; retarget clips first")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise MimicError(
                f"motion file '{path}' does not exist; make one with "
                "'python -m retarget CLIP --robot unitree_g1 --out DIR'"
            )
    if not files:
        raise MimicError("no motion given; pass --motion FILE or a folder of .npz files")
    return files


def load_library(
    files: Sequence[Path | str | RobotMotion], robot: Robot, fps: float, device: str = "cpu"
) -> MotionLibrary:
    """Load clips of ``robot`` and resample them to the control rate ``fps``.

    Joints and bodies are matched by name. Raises ``MimicError`` for another robot's motion.
    """
    clips: list[RobotMotion] = []
    hashes: list[str] = []
    for file in files:
        clip = file if isinstance(file, RobotMotion) else RobotMotion.load(file)
        where = clip.name if isinstance(file, RobotMotion) else str(file)
        if clip.robot != robot.name:
            raise MimicError(
                f"{where}: this motion is for robot '{clip.robot}', the task uses '{robot.name}'; "
                f"retarget the clip with --robot {robot.name}"
            )
        missing = [name for name in robot.key_bodies if name not in clip.body_names]
        if missing:
            raise MimicError(f"{where}: bodies {missing} are missing from the motion file")
        unlike = sorted(set(clip.joint_names) ^ set(robot.joint_names))
        if unlike:
            raise MimicError(
                f"{where}: joints {unlike} are in only one of the motion and robot '{robot.name}'; "
                f"retarget the clip with --robot {robot.name}"
            )
        hashes.append(_hash(clip))
        clips.append(clip)
    order = [
        c.resample(fps).with_joint_order(robot.joint_names).with_body_order(robot.key_bodies)
        for c in clips
    ]

    def rows(name: str) -> torch.Tensor:
        stacked = np.concatenate([getattr(clip, name) for clip in order]).astype(np.float32)
        return torch.as_tensor(stacked, device=device)

    length = torch.tensor([clip.num_frames for clip in order], device=device)
    return MotionLibrary(
        names=tuple(clip.name for clip in order),
        hashes=tuple(hashes),
        source_fps=tuple(float(clip.fps) for clip in clips),
        fps=fps,
        start=torch.cumsum(length, 0) - length,
        length=length,
        **{name: rows(name) for name in FRAME_FIELDS},
    )


def _hash(clip: RobotMotion) -> str:
    digest = hashlib.sha256(f"{clip.robot} {clip.fps:.6f}".encode())
    for array in (clip.joint_pos, clip.body_pos_w, clip.body_quat_w):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]
