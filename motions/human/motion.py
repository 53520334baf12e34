"""The one form every human clip takes, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import InputError, input_error
from mimic_base.resample import check_fps, lerp_frames, resample_positions, slerp_frames
from mimic_base.rotations import norm, quat_conj, quat_mul, quat_rotate
from mimic_base.stretches import stretches

Array = NDArray[Any]

SIDES = ("left", "right")
_SIDED = ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "toe")
_OPTIONAL_SIDED = ("hand", "toe")
ROLES: tuple[str, ...] = (
    "pelvis",
    "spine",
    "chest",
    "neck",
    "head",
    *(f"{side}_{part}" for side in SIDES for part in _SIDED),
)
REQUIRED_ROLES: tuple[str, ...] = (
    "pelvis",
    *(f"{s}_{p}" for s in SIDES for p in _SIDED if p not in _OPTIONAL_SIDED),
)

# Segment lengths over body height (Winter, Biomechanics and Motor Control of Human Movement):
# hip to ankle, and hips to shoulders. They turn bone lengths into a standing height.
LEG_OVER_HEIGHT = 0.491
TRUNK_OVER_HEIGHT = 0.288


@dataclass(frozen=True, kw_only=True, eq=False)
class HumanMotion:
    """A clip of a person: joint positions, and joint frames where the source has them.

    Shapes use T frames and J joints; metres; the world has z up; quaternions are wxyz and unit.
    """

    name: str
    fps: float
    joint_names: tuple[str, ...]
    """The source's own names, J of them."""
    parents: tuple[int, ...]
    """Parent of each joint, -1 for the root; a parent stands before its children."""
    pos_w: Array
    """Joint positions, [T, J, 3] m."""
    quat_w: Array | None
    """The source's joint frames in the z-up world, [T, J, 4]; None for positions only.

    Each frame keeps the axes of its file: in the rest pose of a y-up file all of them are the same
    quarter turn about x, not the identity. A bone is constant in its parent's frame.
    """
    roles: Mapping[str, int]
    """Canonical role (see `ROLES`) to joint index; left is the person's anatomical left."""
    rest_pos: Array | None = None
    """Positions with all joint rotations zero, [J, 3] m, z up, when the format has them."""
    source: str = ""
    licence: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the reader found out: format, skeleton, unit, up axis, facing, dropped frames..."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "fps", check_fps(self.fps, f"{self.name}: fps"))
        put(self, "joint_names", tuple(self.joint_names))
        put(self, "parents", tuple(int(p) for p in self.parents))
        put(self, "pos_w", np.asarray(self.pos_w, dtype=np.float64))
        if self.quat_w is not None:
            put(self, "quat_w", np.asarray(self.quat_w, dtype=np.float64))
        if self.rest_pos is not None:
            put(self, "rest_pos", np.asarray(self.rest_pos, dtype=np.float64))
        self._check()

    def _check(self) -> None:
        joints = len(self.joint_names)
        twice = sorted({n for n in self.joint_names if self.joint_names.count(n) > 1})
        if twice:
            raise input_error(
                self.name,
                "joint names must be unique",
                found=f"twice: {', '.join(twice)}",
                fix="rename the joints in the file",
            )
        if self.pos_w.ndim != 3 or self.pos_w.shape[1:] != (joints, 3):
            raise input_error(
                self.name,
                "pos_w has the wrong shape",
                found=list(self.pos_w.shape),
                expected=f"[T, {joints}, 3]",
            )
        frames = len(self.pos_w)
        if frames < 2:
            raise input_error(
                self.name,
                "a clip needs at least two frames",
                found=frames,
                fix="use a longer clip: velocities need a neighbour frame",
            )
        if self.quat_w is not None and self.quat_w.shape != (frames, joints, 4):
            raise input_error(
                self.name,
                "quat_w has the wrong shape",
                found=list(self.quat_w.shape),
                expected=[frames, joints, 4],
            )
        for key in ("pos_w", "quat_w", "rest_pos"):
            value = getattr(self, key)
            if value is not None and not np.isfinite(value).all():
                raise input_error(self.name, f"{key} holds a value that is not finite")
        if len(self.parents) != joints or any(p >= i for i, p in enumerate(self.parents)):
            raise input_error(self.name, "each parent must stand before its children")
        missing = [r for r in REQUIRED_ROLES if r not in self.roles]
        if missing:
            raise input_error(
                self.name,
                f"no joint is known for {', '.join(missing)}",
                found=f"the joints {', '.join(self.joint_names)}",
                fix=f"say which joint it is: --skeleton-map {missing[0]}=NAME",
            )

    # -- views -------------------------------------------------------------------------------

    @property
    def num_frames(self) -> int:
        return len(self.pos_w)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.num_frames - 1) / self.fps

    def role(self, name: str) -> Array:
        """Path of the joint that plays role `name`, [T, 3] m; `InputError` when there is none."""
        if name not in self.roles:
            raise InputError(
                f"{self.name}: the skeleton has no joint for {name!r} "
                f"(it has {', '.join(sorted(self.roles))})"
            )
        return self.pos_w[:, self.roles[name]]

    @property
    def height(self) -> float:
        """Standing height in metres, estimated from leg and trunk lengths."""
        return body_height(self.pos_w, self.roles)

    # -- changes -----------------------------------------------------------------------------

    def resample(self, fps: float) -> HumanMotion:
        """The motion at another frame rate; the first and the last frame are kept.

        With joint frames, local rotations are slerped and the chain is put together again, so
        bone lengths stay; without them, positions are interpolated linearly.
        """
        fps = check_fps(fps, f"{self.name}: new fps", "choose another rate")
        if fps == self.fps:
            return self
        at = resample_positions(self.num_frames, self.fps, fps)
        if self.quat_w is None:
            return replace(self, fps=fps, pos_w=lerp_frames(self.pos_w, at))
        joints = len(self.parents)
        pos_w, quat_w = np.empty((len(at), joints, 3)), np.empty((len(at), joints, 4))
        for part in stretches(len(at)):
            # The frames between which these lie.
            low = min(int(at[part.start]), self.num_frames - 2)
            high = min(int(at[part.stop - 1]) + 2, self.num_frames)
            pos_w[part], quat_w[part] = self._between(slice(low, high), at[part] - low)
        return replace(self, fps=fps, pos_w=pos_w, quat_w=quat_w)

    def _between(self, frames: slice, at: Array) -> tuple[Array, Array]:
        """Positions and joint frames at fractional indices `at` into some of the frames."""
        assert self.quat_w is not None
        pos_w, quat_w, parents = self.pos_w[frames], self.quat_w[frames], np.array(self.parents)
        is_root = parents < 0
        above = np.maximum(parents, 0)
        to_parent = quat_conj(quat_w[:, above])
        local_quat = np.where(is_root[:, None], quat_w, quat_mul(to_parent, quat_w))
        offset = quat_rotate(to_parent, pos_w - pos_w[:, above])
        offset = np.where(is_root[:, None], pos_w, offset)
        return chain_poses(self.parents, lerp_frames(offset, at), slerp_frames(local_quat, at))

    def crop(self, start: int, stop: int) -> HumanMotion:
        """Frames `start` (included) to `stop` (excluded), as a slice would take them."""
        pos_w = self.pos_w[start:stop]
        if len(pos_w) < 2:
            raise input_error(
                self.name,
                "a crop needs at least two frames",
                found=f"{start} to {stop} of {self.num_frames} frames",
            )
        quat_w = None if self.quat_w is None else self.quat_w[start:stop]
        return replace(self, pos_w=pos_w, quat_w=quat_w)


def chain_poses(
    parents: tuple[int, ...], offsets: Array, local_quats: Array
) -> tuple[Array, Array]:
    """World positions [T, J, 3] and orientations [T, J, 4] of a joint tree.

    `offsets` [T, J, 3] (or [J, 3]) and `local_quats` [T, J, 4] are in the parent's frame, those
    of a root (parent -1) in the world. A parent stands before its children.
    """
    offsets = np.broadcast_to(offsets, (*local_quats.shape[:-1], 3))
    pos, quat = np.empty(offsets.shape), np.empty(local_quats.shape)
    for joint, parent in enumerate(parents):
        if parent < 0:
            pos[:, joint], quat[:, joint] = offsets[:, joint], local_quats[:, joint]
            continue
        pos[:, joint] = pos[:, parent] + quat_rotate(quat[:, parent], offsets[:, joint])
        quat[:, joint] = quat_mul(quat[:, parent], local_quats[:, joint])
    return pos, quat


def body_height(pos: Array, roles: Mapping[str, int]) -> float:
    """Standing height, in the unit of `pos` [T, J, 3], from leg and trunk lengths."""

    def at(role: str) -> Array:
        return pos[:, roles[role]]

    def length(a: Array, b: Array) -> float:
        return float(np.median(norm(a - b)))

    leg = 0.5 * sum(
        length(at(f"{s}_hip"), at(f"{s}_knee")) + length(at(f"{s}_knee"), at(f"{s}_ankle"))
        for s in SIDES
    )
    hips = 0.5 * (at("left_hip") + at("right_hip"))
    shoulders = 0.5 * (at("left_shoulder") + at("right_shoulder"))
    # A bent back is shorter than a straight one: the upper end of what the clip shows counts.
    trunk = float(np.percentile(norm(shoulders - hips), 90))
    return (leg + trunk) / (LEG_OVER_HEIGHT + TRUNK_OVER_HEIGHT)
