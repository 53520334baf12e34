"""A robot motion in generalised coordinates: what every foreign file comes down to."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.resample import check_fps, lerp_frames, resample_positions, slerp_frames
from mimic_base.rotations import quat_continuous, quat_normalize
from motions.robot.motion import RobotMotion
from motions.robot.objects import ObjectTracks
from motions.robot.scene import check_scene

Array = NDArray[Any]

TRAJECTORY_SCHEMA = "humanoid-mimic/robot-trajectory/1"
TRAJECTORY_SCHEMA_2 = "humanoid-mimic/robot-trajectory/2"
TRAJECTORY_SCHEMAS = (TRAJECTORY_SCHEMA, TRAJECTORY_SCHEMA_2)
"""The second one has objects or a scene, with the keys of the robot motion file."""
LARGEST_ANGLE = 4.0 * np.pi
"""A hinge beyond two turns: the file is in degrees, or the column is no angle."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyPoses:
    """Poses of named bodies that a file carries beside its coordinates, for checking.

    Attributes:
        names: [B]. pos: [T, B, 3] m. quat: [T, B, 4] wxyz, or None.
        in_root_frame: relative to the floating base instead of the world (GMR's convention).
    """

    names: tuple[str, ...]
    pos: Array
    quat: Array | None = None
    in_root_frame: bool = False

    def frames(self, index: Any) -> BodyPoses:
        """The same bodies at frames `index` (anything that indexes an axis)."""
        quat = None if self.quat is None else self.quat[index]
        return replace(self, pos=self.pos[index], quat=quat)


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotTrajectory:
    """Floating base and hinges over time; SI units, radians, z up, quaternions wxyz.

    Attributes:
        root_pos: [T, 3] m. root_quat: [T, 4] wxyz, unit, without sign flips between frames.
        joint_pos: [T, J] rad, in the order of `joint_names`. A file may carry body poses only;
            then J is 0 and `bodies` holds them.
        loop: the clip is meant to be repeated end to start.
        notes: what was assumed or checked while reading, one sentence each.
    """

    fps: float
    root_pos: Array
    root_quat: Array
    joint_pos: Array
    joint_names: tuple[str, ...]
    robot: str = ""
    source: str = ""
    licence: str = ""
    name: str = ""
    loop: bool = False
    bodies: BodyPoses | None = None
    contact: Array | None = None
    """Confidence 0..1 that the left, right foot stands, [T, 2], where the source has it."""
    notes: tuple[str, ...] = field(default=())
    objects: ObjectTracks | None = None
    """Poses of objects beside the robot, where the source has some."""
    scene: Mapping[str, Any] = field(default_factory=dict)
    """Terrain and objects' shapes as plain data, see `motions.robot.scene`."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "fps", check_fps(self.fps, f"{self.where}: fps"))
        put(self, "joint_names", tuple(str(n) for n in self.joint_names))
        for key in ("root_pos", "root_quat", "joint_pos"):
            put(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        self._check()
        put(self, "root_quat", quat_continuous(quat_normalize(self.root_quat)))
        if self.objects is not None:
            self.objects.check(self.num_frames, self.where)
        tracks = () if self.objects is None else self.objects.names
        put(self, "scene", check_scene(self.scene, tracks, self.where))

    @property
    def where(self) -> str:
        return self.name or "robot motion"

    @property
    def num_frames(self) -> int:
        return len(self.root_pos)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return (self.num_frames - 1) / self.fps

    def _check(self) -> None:
        frames = len(self.root_pos) if self.root_pos.ndim else 0
        shapes = {
            "root_pos": (frames, 3),
            "root_quat": (frames, 4),
            "joint_pos": (frames, len(self.joint_names)),
        }
        for key, shape in shapes.items():
            value = getattr(self, key)
            if value.shape != shape:
                raise input_error(
                    self.where,
                    f"{key} has the wrong shape",
                    found=list(value.shape),
                    expected=f"{list(shape)} from {frames} frames and "
                    f"{len(self.joint_names)} joint names",
                    fix="give the columns' order with --joint-order NAME,NAME,...",
                )
            if not np.isfinite(value).all():
                raise input_error(
                    self.where,
                    f"{key} holds a value that is not finite",
                    found=f"frame {int(np.argwhere(~np.isfinite(value))[0][0])}",
                    fix="export the clip again, or cut that frame out of the file",
                )
        if frames < 2:
            raise input_error(
                self.where,
                "a clip needs at least two frames",
                found=frames,
                fix="use a longer clip: velocities need a neighbour frame",
            )
        twice = sorted({n for n in self.joint_names if self.joint_names.count(n) > 1})
        if twice:
            raise input_error(self.where, "joint names must be unique", found=", ".join(twice))
        length = np.linalg.norm(self.root_quat, axis=1)
        if np.abs(length - 1.0).max() > 0.02:
            frame = int(np.abs(length - 1.0).argmax())
            raise input_error(
                self.where,
                "the base's orientation must be unit quaternions",
                found=f"length {length[frame]:.3f} at frame {frame}",
                fix="are these columns a quaternion? choose the layout with --format",
            )
        if self.joint_pos.size and np.abs(self.joint_pos).max() > LARGEST_ANGLE:
            frame, joint = np.unravel_index(np.abs(self.joint_pos).argmax(), self.joint_pos.shape)
            raise input_error(
                self.where,
                "joint angles must be radians",
                found=f"{self.joint_pos[frame, joint]:.4g} for {self.joint_names[joint]} at "
                f"frame {frame}",
                expected=f"at most {LARGEST_ANGLE:.1f}",
                fix="convert degrees to radians before",
            )

    # -- changes -----------------------------------------------------------------------------

    def named(self, name: str) -> RobotTrajectory:
        """The same motion by another name; nothing of it is checked again."""
        other = copy.copy(self)
        object.__setattr__(other, "name", name)
        return other

    def without_objects(self) -> RobotTrajectory:
        """The robot alone, on a plane."""
        return replace(self, objects=None, scene={})

    def with_texts(self, **values: Any) -> RobotTrajectory:
        """Another `name`, `source`, `licence`, `robot` or `loop`."""
        return replace(self, **values)

    def with_frames(self, start: int, stop: int) -> RobotTrajectory:
        """Frames `start` (included) to `stop` (excluded)."""
        index = slice(start, stop)
        return replace(
            self,
            root_pos=self.root_pos[index],
            root_quat=self.root_quat[index],
            joint_pos=self.joint_pos[index],
            bodies=None if self.bodies is None else self.bodies.frames(index),
            contact=None if self.contact is None else self.contact[index],
            objects=None if self.objects is None else self.objects.frames(index),
        )

    def resample(self, fps: float) -> RobotTrajectory:
        """Another frame rate: slerp for the base's rotation, linear for all else.

        Body poses of the file are dropped: those between frames are for kinematics to find.
        """
        fps = check_fps(fps, f"{self.where}: new fps", "choose another rate")
        if fps == self.fps:
            return self
        at = resample_positions(self.num_frames, self.fps, fps)
        return replace(self.at_frames(at), fps=fps)

    def at_frames(self, at: Array) -> RobotTrajectory:
        """The poses at fractional frame indices [T'], at the same rate; see `resample`."""
        return replace(
            self,
            root_pos=lerp_frames(self.root_pos, at),
            root_quat=slerp_frames(self.root_quat, at),
            joint_pos=lerp_frames(self.joint_pos, at),
            contact=None if self.contact is None else lerp_frames(self.contact, at),
            objects=None if self.objects is None else self.objects.at(at),
            bodies=None,
        )

    def with_joint_order(self, names: Sequence[str], fill: Array | None = None) -> RobotTrajectory:
        """The joints `names` in that order.

        Args:
            fill: [len(names)] rad, values held by joints that the motion does not have.

        Raises `InputError` when joints are missing and `fill` is None, or some are left over.
        """
        missing = [n for n in names if n not in self.joint_names]
        extra = [n for n in self.joint_names if n not in names]
        if extra or (missing and fill is None):
            found = []
            if missing:
                found.append(f"it lacks {_some(missing)}")
            if extra:
                found.append(f"it has {_some(extra)} besides")
            said = f" (the file says {self.robot})" if self.robot else ""
            raise input_error(
                self.where,
                f"the motion's {len(self.joint_names)} joints are not the {len(names)} wanted",
                found="; ".join(found),
                fix=f"choose the right robot with --robot{said}, or "
                + (
                    "the right order with --joint-order"
                    if extra
                    else "hold the absent joints still: "
                    "mimic motions convert FILE --robot NAME --fill-missing-joints --out DIR"
                ),
            )
        joint_pos = np.zeros((self.num_frames, len(names)))
        for column, name in enumerate(names):
            if name in missing and fill is not None:
                joint_pos[:, column] = fill[column]
            else:
                joint_pos[:, column] = self.joint_pos[:, self.joint_names.index(name)]
        notes = self.notes
        if missing:
            notes = (*notes, f"held still at the default pose: {', '.join(missing)}")
        return replace(self, joint_pos=joint_pos, joint_names=tuple(names), notes=notes)


def _some(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def trajectory_of(motion: RobotMotion) -> RobotTrajectory:
    """The generalised coordinates of a complete motion; its body poses go along for checking."""
    return RobotTrajectory(
        fps=motion.fps,
        root_pos=motion.root_pos,
        root_quat=motion.root_quat,
        joint_pos=motion.joint_pos,
        joint_names=motion.joint_names,
        robot=motion.robot,
        source=motion.source,
        licence=motion.licence,
        name=motion.name,
        bodies=BodyPoses(names=motion.body_names, pos=motion.body_pos_w, quat=motion.body_quat_w),
        contact=motion.contact if motion.contact.any() else None,
        objects=motion.objects,
        scene=motion.scene,
    )
