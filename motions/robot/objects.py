"""Objects that move beside the robot: their poses over time, and what editing does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.resample import lerp_frames, slerp_frames
from mimic_base.rotations import angular_velocity, quat_continuous, quat_mul, quat_rotate, slerp
from motions.robot.scene import other_side

Array = NDArray[Any]

_UNIT_TOLERANCE = 1e-3
_REFLECT_POS = np.array([1.0, -1.0, 1.0])
_REFLECT_QUAT = np.array([1.0, -1.0, 1.0, -1.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectTracks:
    """Poses of K named objects over T frames, in the world."""

    names: tuple[str, ...]
    pos_w: Array
    """[T, K, 3] m, origins of the objects."""
    quat_w: Array
    """[T, K, 4] wxyz, unit, without sign flips between frames."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "names", tuple(str(name) for name in self.names))
        put(self, "pos_w", np.asarray(self.pos_w, dtype=np.float64))
        put(self, "quat_w", np.asarray(self.quat_w, dtype=np.float64))
        if self.quat_w.ndim == 3 and len(self.quat_w):
            put(self, "quat_w", quat_continuous(self.quat_w))

    def check(self, frames: int, where: str) -> None:
        """Refuse names, shapes and values that no objects of a clip of `frames` can have."""
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        if twice or "" in self.names:
            raise input_error(
                where, "object names must be unique and not empty",
                found=f"twice: {', '.join(twice)}" if twice else "an empty name",
            )  # fmt: skip
        for key, width in (("pos_w", 3), ("quat_w", 4)):
            value = getattr(self, key)
            shape = (frames, len(self.names), width)
            if value.shape != shape:
                raise input_error(
                    where, f"object_{key} has the wrong shape", found=list(value.shape),
                    expected=f"{list(shape)} from {frames} frames and {len(self.names)} object "
                    "names",
                )  # fmt: skip
            if not np.isfinite(value).all():
                frame, index = (int(i) for i in np.argwhere(~np.isfinite(value))[0][:2])
                raise input_error(
                    where, f"object_{key} holds a value that is not finite",
                    found=f"frame {frame}, object {self.names[index]}",
                    fix="cut the clip before that frame, or take the objects out",
                )  # fmt: skip
        length = np.linalg.norm(self.quat_w, axis=-1)
        if np.abs(length - 1.0).max(initial=0.0) > _UNIT_TOLERANCE:
            frame, index = np.unravel_index(int(np.abs(length - 1.0).argmax()), length.shape)
            raise input_error(
                where, "object_quat_w must hold unit quaternions (wxyz)",
                found=f"length {length[frame, index]:.4f} at frame {frame}, "
                f"object {self.names[index]}",
            )  # fmt: skip

    def velocities(self, fps: float) -> tuple[Array, Array]:
        """Linear and angular velocity in the world, [T, K, 3] m/s and rad/s.

        They are central differences, one-sided at both ends, as those of the robot's bodies.
        """
        return np.gradient(self.pos_w, 1.0 / fps, axis=0), angular_velocity(self.quat_w, fps)

    # -- changes -----------------------------------------------------------------------------

    def frames(self, index: Any) -> ObjectTracks:
        """The frames `index` (anything that indexes an axis)."""
        return replace(self, pos_w=self.pos_w[index], quat_w=self.quat_w[index])

    def at(self, positions: Array) -> ObjectTracks:
        """The poses at fractional frame indices [T']: linear, and slerp for rotations."""
        return replace(
            self,
            pos_w=lerp_frames(self.pos_w, positions),
            quat_w=slerp_frames(self.quat_w, positions),
        )

    def mirrored(self) -> ObjectTracks:
        """The poses reflected in the world's x-z plane; names exchange left and right."""
        return ObjectTracks(
            names=tuple(other_side(name) for name in self.names),
            pos_w=self.pos_w * _REFLECT_POS,
            quat_w=self.quat_w * _REFLECT_QUAT,
        )

    def moved(self, turn: Array, shift: Array) -> ObjectTracks:
        """The poses turned by the quaternion `turn` [4] about the origin, then moved by `shift`."""
        return replace(
            self, pos_w=quat_rotate(turn, self.pos_w) + shift, quat_w=quat_mul(turn, self.quat_w)
        )

    def held(self, frames: int) -> ObjectTracks:
        """The first frame's poses for `frames` frames."""
        return self.frames(np.zeros(frames, dtype=np.intp))

    def ordered(self, names: Sequence[str]) -> ObjectTracks:
        """The same objects in the order of `names`."""
        index = [self.names.index(name) for name in names]
        return ObjectTracks(
            names=tuple(names), pos_w=self.pos_w[:, index], quat_w=self.quat_w[:, index]
        )


def blend_objects(
    first: ObjectTracks | None, second: ObjectTracks | None, weight: Array
) -> ObjectTracks | None:
    """Frame by frame the mean of two tracks of the same objects, `weight` [T] of the second."""
    if first is None or second is None:
        return None
    second = second.ordered(first.names)
    return replace(
        first,
        pos_w=first.pos_w + weight[:, None, None] * (second.pos_w - first.pos_w),
        quat_w=slerp(
            first.quat_w, second.quat_w, np.broadcast_to(weight[:, None], first.quat_w.shape[:-1])
        ),
    )


def join_objects(parts: Sequence[ObjectTracks | None]) -> ObjectTracks | None:
    """Tracks of the same objects one after the other; None where a part has none."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    known = [part.ordered(known[0].names) for part in known]
    return ObjectTracks(
        names=known[0].names,
        pos_w=np.concatenate([part.pos_w for part in known]),
        quat_w=np.concatenate([part.quat_w for part in known]),
    )
