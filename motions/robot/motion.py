"""The robot reference that retargeting writes and tracking reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import input_error
from mimic_base.frame_fields import BODY_FIELDS, FRAME_FIELDS, FrameArrays
from mimic_base.resample import check_fps, lerp_frames, resample_positions, slerp_frames
from mimic_base.rotations import angular_velocity, quat_continuous
from motions.robot.motion_check import check, column_order
from motions.robot.motion_file import (
    SCHEMA,
    read_robot_motion_fields,
    write_robot_motion,
)

Array = NDArray[Any]


__all__ = ["SCHEMA", "RobotMotion"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotMotion(FrameArrays[Array]):
    """A clip of a robot: joint angles and body poses with velocities.

    Shapes use T frames, J joints, B bodies; SI units, radians; the world has z up; quaternions
    are wxyz and unit. Body 0 is the floating base.
    """

    fps: float
    joint_names: tuple[str, ...]
    body_names: tuple[str, ...]
    robot: str
    source: str = ""
    licence: str = ""
    contact: Array = field(default_factory=lambda: np.zeros((0, 2)))
    """Confidence 0..1 that the left, right foot stands, [T, 2]; zeros when not given."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the retargeting, JSON-serialisable."""
    name: str = ""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "fps", check_fps(self.fps, f"{self._where}: fps"))
        put(self, "joint_names", tuple(str(n) for n in self.joint_names))
        put(self, "body_names", tuple(str(n) for n in self.body_names))
        for key in (*FRAME_FIELDS, "contact"):
            put(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        if self.contact.size == 0:
            put(self, "contact", np.zeros((len(self.joint_pos), 2)))
        check(self, self._where)

    @property
    def _where(self) -> str:
        return self.name or "robot motion"

    # -- making ------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        *,
        fps: float,
        joint_pos: ArrayLike,
        body_pos_w: ArrayLike,
        body_quat_w: ArrayLike,
        joint_names: Sequence[str],
        body_names: Sequence[str],
        robot: str,
        contact: ArrayLike | None = None,
        quality: Mapping[str, Any] | None = None,
        source: str = "",
        licence: str = "",
        name: str = "",
    ) -> RobotMotion:
        """Make a motion from poses; velocities are central differences (one-sided at the ends).

        Args: `joint_pos` [T, J], `body_pos_w` [T, B, 3], `body_quat_w` [T, B, 4], `contact`
        [T, 2] or None. Raises `InputError` on values or shapes that no motion can have.
        """
        fps = check_fps(fps, f"{name or 'robot motion'}: fps")
        joint_pos = np.asarray(joint_pos, dtype=np.float64)
        body_pos_w = np.asarray(body_pos_w, dtype=np.float64)
        body_quat_w = quat_continuous(body_quat_w)
        if len(joint_pos) < 2 or len(body_pos_w) < 2 or len(body_quat_w) < 2:
            raise input_error(
                name or "robot motion",
                "a clip needs at least two frames",
                found=len(joint_pos),
                fix="use a longer clip: velocities need a neighbour frame",
            )
        return cls(
            fps=fps,
            joint_pos=joint_pos,
            joint_vel=np.gradient(joint_pos, 1.0 / fps, axis=0),
            body_pos_w=body_pos_w,
            body_quat_w=body_quat_w,
            body_lin_vel_w=np.gradient(body_pos_w, 1.0 / fps, axis=0),
            body_ang_vel_w=angular_velocity(body_quat_w, fps),
            joint_names=tuple(joint_names),
            body_names=tuple(body_names),
            robot=robot,
            source=source,
            licence=licence,
            contact=np.zeros((0, 2)) if contact is None else np.asarray(contact),
            quality=dict(quality or {}),
            name=name,
        )

    # -- files -------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the motion as ``.npz`` (float32 arrays, no pickles), all of it or nothing."""
        write_robot_motion(self, path)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        joint_names: Sequence[str] | None = None,
        body_names: Sequence[str] | None = None,
        robot: str | None = None,
    ) -> RobotMotion:
        """Read a motion file.

        A file without names (as BeyondMimic writes it) is refused unless `joint_names` and
        `body_names` say what its columns are; names given here replace those of the file.
        Raises `InputError` for every way in which the file cannot be used.
        """
        path = Path(path)
        values = read_robot_motion_fields(path, joint_names, body_names, robot)
        # Errors about the content name the file; the motion itself keeps its own name.
        return replace(cls(**{**values, "name": str(path)}), name=values["name"])

    # -- views -------------------------------------------------------------------------------

    @property
    def num_frames(self) -> int:
        return len(self.joint_pos)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.num_frames - 1) / self.fps

    @property
    def root_pos(self) -> Array:
        """Position of the floating base, [T, 3] m."""
        return self.body_pos_w[:, 0]

    @property
    def root_quat(self) -> Array:
        """Orientation of the floating base, [T, 4] wxyz."""
        return self.body_quat_w[:, 0]

    # -- changes -----------------------------------------------------------------------------

    def resample(self, fps: float) -> RobotMotion:
        """The motion at another frame rate: slerp for rotations, linear for all else.

        The first and the last frame are kept. Velocities are interpolated, not differentiated
        again: differences of interpolated positions would be steps. Body positions between two
        frames lie on the chord (under 1 mm off the arc at 30 fps and walking speeds).
        """
        fps = check_fps(fps, f"{self._where}: new fps", "choose another rate")
        if fps == self.fps:
            return self
        at = resample_positions(self.num_frames, self.fps, fps)
        linear = [k for k in (*FRAME_FIELDS, "contact") if k != "body_quat_w"]
        changed: dict[str, Any] = {k: lerp_frames(getattr(self, k), at) for k in linear}
        return replace(self, fps=fps, body_quat_w=slerp_frames(self.body_quat_w, at), **changed)

    def crop(self, start: int, stop: int) -> RobotMotion:
        """Frames `start` (included) to `stop` (excluded), as a slice would take them."""
        keys = (*FRAME_FIELDS, "contact")
        changed: dict[str, Any] = {k: getattr(self, k)[start:stop] for k in keys}
        if len(changed["joint_pos"]) < 2:
            raise input_error(
                self._where,
                "a crop needs at least two frames",
                found=f"{start} to {stop} of {self.num_frames} frames",
            )
        return replace(self, **changed)

    def with_joint_order(self, names: Sequence[str]) -> RobotMotion:
        """The same motion with joints in the order of `names`, which must be the same set."""
        order = column_order(self._where, "joint", self.joint_names, names, self.robot, whole=True)
        return replace(
            self,
            joint_names=tuple(names),
            joint_pos=self.joint_pos[:, order],
            joint_vel=self.joint_vel[:, order],
        )

    def with_body_order(self, names: Sequence[str]) -> RobotMotion:
        """The same motion with the bodies `names` in that order; others are left out.

        The first name becomes body 0, so it has to be the floating base.
        """
        order = column_order(self._where, "body", self.body_names, names, self.robot, whole=False)
        changed: dict[str, Any] = {k: getattr(self, k)[:, order] for k in BODY_FIELDS}
        return replace(self, body_names=tuple(names), **changed)
