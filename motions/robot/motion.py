"""The robot reference that retargeting writes and tracking reads, and its file.

The file is BeyondMimic's ``.npz`` (the six arrays of `mimic_base.frame_fields` and `fps`) plus the
names of its columns, the robot, where the clip comes from, foot contacts and figures of quality.
Schema ``/2`` adds tracks of objects (`object_names` [K], `object_pos_w` [T, K, 3], `object_quat_w`
[T, K, 4], and velocities for those who read them) and a `scene` (JSON, see `motions.robot.scene`).
A motion without either is written as ``/1``, which older readers know; both are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import input_error
from mimic_base.extent import all_small, check_clip_size, check_magnitude
from mimic_base.files import save_npz
from mimic_base.frame_fields import BODY_FIELDS, FRAME_FIELDS, FrameArrays, frame_shapes
from mimic_base.json_text import parse_json
from mimic_base.numpy_files import load_npz
from mimic_base.resample import check_fps, lerp_frames, resample_positions, slerp_frames
from mimic_base.rotations import angular_velocity, quat_continuous
from mimic_base.stretches import by_stretches, stretches
from motions.robot.objects import ObjectTracks
from motions.robot.scene import check_scene

if TYPE_CHECKING:
    from robots import Robot

Array = NDArray[Any]

SCHEMA = "humanoid-mimic/robot-motion/1"
SCHEMA_2 = "humanoid-mimic/robot-motion/2"
SCHEMAS = (SCHEMA, SCHEMA_2)
"""Schemas that are read; the second one is written where a motion has objects or a scene."""
MAKE_IT = "make the file with: mimic retarget CLIP --robot unitree_g1 --out DIR"
_UNIT_TOLERANCE = 1e-3


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
    objects: ObjectTracks | None = None
    """Poses of objects beside the robot, where the clip has some."""
    scene: Mapping[str, Any] = field(default_factory=dict)
    """Terrain and objects' shapes as plain data, see `motions.robot.scene`; empty for a plane."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "fps", check_fps(self.fps, f"{self._where}: fps"))
        put(self, "joint_names", tuple(str(n) for n in self.joint_names))
        put(self, "body_names", tuple(str(n) for n in self.body_names))
        for key in (*FRAME_FIELDS, "contact"):
            put(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        if self.contact.size == 0:
            put(self, "contact", np.zeros((len(self.joint_pos), 2)))
        _check(self, self._where)
        if self.objects is not None:
            if not self.objects.names:
                put(self, "objects", None)
            else:
                self.objects.check(self.num_frames, self._where)
        put(self, "scene", check_scene(self.scene, self.object_names, self._where))

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
        objects: ObjectTracks | None = None,
        scene: Mapping[str, Any] | None = None,
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
            joint_vel=velocity(joint_pos, fps),
            body_pos_w=body_pos_w,
            body_quat_w=body_quat_w,
            body_lin_vel_w=velocity(body_pos_w, fps),
            body_ang_vel_w=angular_velocity(body_quat_w, fps),
            joint_names=tuple(joint_names),
            body_names=tuple(body_names),
            robot=robot,
            source=source,
            licence=licence,
            contact=np.zeros((0, 2)) if contact is None else np.asarray(contact),
            quality=dict(quality or {}),
            name=name,
            objects=objects,
            scene=scene or {},
        )

    @classmethod
    def from_coordinates(
        cls,
        robot: Robot,
        root_pos: Array,
        root_quat: Array,
        joint_pos: Array,
        *,
        fps: float,
        contact: ArrayLike | None = None,
        quality: Mapping[str, Any] | None = None,
        source: str = "",
        licence: str = "",
        name: str = "",
        objects: ObjectTracks | None = None,
        scene: Mapping[str, Any] | None = None,
    ) -> RobotMotion:
        """The motion with the poses and velocities of all bodies of `robot`.

        Args: `root_pos` [T, 3] m and `root_quat` [T, 4] wxyz of the floating base in the world,
        `joint_pos` [T, J] rad in the robot's order, `contact` [T, 2] or None. Raises `InputError`
        on values that no motion can have.
        """
        body_pos, body_quat = robot.body_poses(root_pos, root_quat, joint_pos)
        return cls.build(
            fps=fps,
            joint_pos=joint_pos,
            body_pos_w=body_pos,
            body_quat_w=body_quat,
            joint_names=robot.joint_names,
            body_names=robot.body_names,
            robot=robot.name,
            contact=contact,
            quality=quality,
            source=source,
            licence=licence,
            name=name,
            objects=objects,
            scene=scene,
        )

    # -- files -------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the motion as ``.npz`` (float32 arrays, no pickles), all of it or nothing."""
        _write(self, path)

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
        values = _read_fields(path, joint_names, body_names, robot)
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

    @property
    def object_names(self) -> tuple[str, ...]:
        """Names of the K tracked objects, none where the clip has none."""
        return () if self.objects is None else self.objects.names

    @property
    def object_pos_w(self) -> Array:
        """Positions of the objects, [T, K, 3] m."""
        return np.zeros((self.num_frames, 0, 3)) if self.objects is None else self.objects.pos_w

    @property
    def object_quat_w(self) -> Array:
        """Orientations of the objects, [T, K, 4] wxyz."""
        return np.zeros((self.num_frames, 0, 4)) if self.objects is None else self.objects.quat_w

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
        return replace(
            self,
            fps=fps,
            body_quat_w=slerp_frames(self.body_quat_w, at),
            objects=None if self.objects is None else self.objects.at(at),
            **changed,
        )

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
        objects = None if self.objects is None else self.objects.frames(slice(start, stop))
        return replace(self, objects=objects, **changed)

    def with_joint_order(self, names: Sequence[str]) -> RobotMotion:
        """The same motion with joints in the order of `names`, which must be the same set."""
        if tuple(names) == self.joint_names:
            return self
        order = _column_order(self._where, "joint", self.joint_names, names, self.robot, whole=True)
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
        if tuple(names) == self.body_names:
            return self
        order = _column_order(self._where, "body", self.body_names, names, self.robot, whole=False)
        changed: dict[str, Any] = {k: getattr(self, k)[:, order] for k in BODY_FIELDS}
        return replace(self, body_names=tuple(names), **changed)


@dataclass(frozen=True, kw_only=True)
class RobotNames:
    """What of a robot a motion has to fit; for those who know its names without its model."""

    name: str
    joint_names: tuple[str, ...]
    body_names: tuple[str, ...]


def content_hash(clip: RobotMotion) -> str:
    """Hash of a clip's content as its file holds it (single precision), 16 hexadecimal digits.

    Name, source and quality do not count: the same movement has the same hash.
    """
    digest = hashlib.sha256(f"{clip.robot} {clip.fps:.6f}".encode())
    arrays = [clip.joint_pos, clip.body_pos_w, clip.body_quat_w]
    if clip.objects is not None:
        digest.update("\0".join(clip.object_names).encode())
        arrays += [clip.object_pos_w, clip.object_quat_w]
    if clip.scene:
        digest.update(json.dumps(clip.scene, sort_keys=True).encode())
    for array in arrays:
        for part in stretches(len(array)):
            digest.update(np.ascontiguousarray(array[part], np.float32).tobytes())
    return digest.hexdigest()[:16]


def check_fits(
    motion: RobotMotion,
    robot: Robot | RobotNames,
    *,
    bodies: Sequence[str] | None = None,
    where: object = None,
) -> None:
    """Refuse a motion that is not of `robot`; the one place where names are matched.

    Args:
        bodies: names of the bodies that are needed; all of the robot's unless given.
        where: the file, for the error; the motion's name unless given.

    Raises `InputError` naming the motion, what is missing or left over, and the fix.
    """
    where = motion._where if where is None else str(where)
    fix = f"retarget the clip with --robot {robot.name}"
    if motion.robot != robot.name:
        of = f"for robot '{motion.robot}'" if motion.robot else "for no named robot"
        raise input_error(where, f"the motion is {of}, not for '{robot.name}'", fix=fix)
    wanted = robot.body_names if bodies is None else bodies
    _column_order(where, "joint", motion.joint_names, robot.joint_names, motion.robot, fix=fix)
    _column_order(where, "body", motion.body_names, wanted, motion.robot, whole=False, fix=fix)


def _column_order(
    where: str,
    what: str,
    have: Sequence[str],
    want: Sequence[str],
    robot: str,
    *,
    whole: bool = True,
    fix: str = "retarget the clip for this robot",
) -> list[int]:
    """Where the columns `want` stand in `have`; with `whole` both must be the same set."""
    missing = [n for n in want if n not in have]
    extra = [n for n in have if n not in want] if whole else []
    if missing or extra:
        parts = []
        if missing:
            parts.append(f"it lacks {what} {', '.join(missing)}")
        if extra:
            parts.append(f"it has {what} {', '.join(extra)} that the robot lacks")
        raise input_error(
            where,
            f"the motion does not fit the robot: {'; '.join(parts)}",
            found=f"a motion of robot {robot!r} with {len(have)} {what} names",
            fix=fix,
        )
    return [have.index(n) for n in want]


def _check(motion: RobotMotion, where: str) -> None:
    """Refuse values, shapes and names that no motion can have; `where` begins each error."""
    for what, names in (("joint", motion.joint_names), ("body", motion.body_names)):
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise input_error(
                where, f"{what} names must be unique", found=f"twice: {', '.join(twice)}"
            )
    frames = len(motion.joint_pos) if motion.joint_pos.ndim else 0
    joints, bodies = len(motion.joint_names), len(motion.body_names)
    shapes = frame_shapes(frames, joints, bodies) | {"contact": (frames, 2)}
    for key, shape in shapes.items():
        value = getattr(motion, key)
        if value.shape != shape:
            raise input_error(
                where,
                f"{key} has the wrong shape",
                found=list(value.shape),
                expected=f"{list(shape)} from {frames} frames, {joints} joint names and "
                f"{bodies} body names",
            )
        if all_small(value):
            continue
        if not np.isfinite(value).all():
            frame = int(np.argwhere(~np.isfinite(value))[0][0])
            raise input_error(
                where,
                f"{key} holds a value that is not finite",
                found=f"frame {frame}",
                fix="retarget the clip again or crop it before that frame",
            )
        check_magnitude(where, key, value)
    check_clip_size(where, frames, max(joints, bodies))
    if bodies == 0:
        raise input_error(where, "there are no bodies", expected="body 0, the base")
    if frames < 2:
        raise input_error(
            where,
            "a clip needs at least two frames",
            found=frames,
            fix="use a longer clip: velocities need a neighbour frame",
        )
    error = by_stretches(lambda q: np.abs(np.linalg.norm(q, axis=-1) - 1.0), motion.body_quat_w)
    if error.max() > _UNIT_TOLERANCE:
        frame, body = np.unravel_index(int(error.argmax()), error.shape)
        norm = float(np.linalg.norm(motion.body_quat_w[frame, body]))
        raise input_error(
            where,
            "body_quat_w must hold unit quaternions (wxyz)",
            found=f"length {norm:.4f} at frame {frame}, body {motion.body_names[body]}",
        )


def velocity(values: Array, fps: float) -> Array:
    """Derivative [T, ...] after time: central differences, one-sided at both ends."""
    frames = len(values)
    result = np.empty(values.shape)
    for part in stretches(frames):
        low, high = max(part.start - 1, 0), min(part.stop + 1, frames)
        found = np.gradient(values[low:high], 1.0 / fps, axis=0)
        result[part] = found[part.start - low : part.stop - low]
    return result


def _write(motion: RobotMotion, path: Path | str) -> None:
    """Write ``.npz``: float32 arrays, names and texts as unicode arrays, no pickles."""
    fields = motion.frame_fields()
    save_npz(
        path,
        # Made when they are written: one of them is in memory at a time.
        **{name: partial(values.astype, np.float32) for name, values in fields.items()},
        fps=np.array([motion.fps]),
        joint_names=np.array(motion.joint_names, dtype=np.str_),
        body_names=np.array(motion.body_names, dtype=np.str_),
        robot=np.array(motion.robot),
        schema=np.array(SCHEMA_2 if motion.objects is not None or motion.scene else SCHEMA),
        source=np.array(motion.source),
        licence=np.array(motion.licence),
        contact=motion.contact.astype(np.float32),
        quality=np.array(json.dumps(dict(motion.quality))),
        name=np.array(motion.name),
        **object_arrays(motion.objects, motion.scene, motion.fps),
    )


def object_arrays(
    objects: ObjectTracks | None, scene: Mapping[str, Any], fps: float
) -> dict[str, Any]:
    """What schema ``/2`` has beyond ``/1``; nothing for a motion without objects and scene."""
    arrays: dict[str, Any] = {}
    if objects is not None:
        linear, angular = objects.velocities(fps)
        arrays = {
            "object_names": np.array(objects.names, dtype=np.str_),
            "object_pos_w": objects.pos_w.astype(np.float32),
            "object_quat_w": objects.quat_w.astype(np.float32),
            "object_lin_vel_w": linear.astype(np.float32),
            "object_ang_vel_w": angular.astype(np.float32),
        }
    if scene:
        arrays["scene"] = np.array(json.dumps(scene))
    return arrays


def _read_fields(
    path: Path,
    joint_names: Sequence[str] | None,
    body_names: Sequence[str] | None,
    robot: str | None,
) -> dict[str, Any]:
    """The fields of a `RobotMotion` from its file, not yet checked against each other."""
    data = load_npz(path, what="motion file", missing=MAKE_IT, fix="retarget the clip again")
    missing = [key for key in ("fps", *FRAME_FIELDS) if key not in data]
    if missing:
        raise input_error(
            path,
            f"not a robot motion, it lacks {', '.join(missing)}",
            found=f"the arrays {', '.join(sorted(data)) or 'none'}",
            fix=MAKE_IT,
        )
    schema = _text(data, "schema", SCHEMA)
    if schema not in SCHEMAS:
        raise input_error(
            path,
            "unknown schema",
            found=repr(schema),
            expected=" or ".join(map(repr, SCHEMAS)),
            fix="a newer version of this program may have written it: upgrade, or export it again",
        )
    names: dict[str, tuple[str, ...]] = {}
    for key, given in (("joint_names", joint_names), ("body_names", body_names)):
        if given is None and key not in data:
            raise input_error(
                path,
                f"the file carries no {key}, and columns without names may be in any order",
                fix=f"python -m retarget.convert {path} --out FOLDER names them, if the robot is "
                "the G1 (else --robot NAME), or in Python: "
                "RobotMotion.load(path, joint_names=..., body_names=...)",
            )
        found = given if given is not None else data[key].reshape(-1).tolist()
        names[key] = tuple(str(n) for n in found)
    for key in ("fps", *FRAME_FIELDS, "contact"):
        if key in data and data[key].dtype.kind not in "fiub":
            raise input_error(path, f"{key} must hold numbers", found=f"type {data[key].dtype}")
    if data["fps"].size != 1:
        raise input_error(path, "fps must be one number", found=data["fps"].tolist())
    return {
        "fps": float(data["fps"].reshape(-1)[0]),
        # Widened one by one, and each let go of: a long clip's arrays are not there twice.
        **{key: data.pop(key).astype(np.float64) for key in FRAME_FIELDS},
        **names,
        "robot": robot if robot is not None else _text(data, "robot", ""),
        "source": _text(data, "source", ""),
        "licence": _text(data, "licence", ""),
        "contact": data.get("contact", np.zeros((0, 2))),
        "quality": _json(path, data, "quality"),
        "name": _text(data, "name", "") or path.stem,
        **(read_objects(path, data) if schema == SCHEMA_2 else {}),
    }


def read_objects(path: Path, data: Mapping[str, Array]) -> dict[str, Any]:
    """The fields `objects` and `scene` from the arrays of a file of schema ``/2``."""
    scene = _json(path, data, "scene")
    keys = ("object_names", "object_pos_w", "object_quat_w")
    missing = [key for key in keys if key not in data]
    if len(missing) == len(keys):
        return {"objects": None, "scene": scene}
    if missing:
        raise input_error(
            path,
            f"the tracks of objects lack {', '.join(missing)}",
            expected=", ".join(keys),
            fix="export the clip again",
        )
    for key in keys[1:]:
        if data[key].dtype.kind not in "fiu":
            raise input_error(path, f"{key} must hold numbers", found=f"type {data[key].dtype}")
    objects = ObjectTracks(
        names=tuple(str(name) for name in data["object_names"].reshape(-1).tolist()),
        pos_w=data["object_pos_w"],
        quat_w=data["object_quat_w"],
    )
    return {"objects": objects, "scene": scene}


def _json(path: Path, data: Mapping[str, Array], key: str) -> dict[str, Any]:
    """The mapping in a text of the file, empty where there is none."""
    values = parse_json(path, _text(data, key, "{}"), nan=True, rule=f"{key} is not JSON")
    if not isinstance(values, dict):
        raise input_error(path, f"{key} must be a mapping", found=type(values).__name__)
    return values


def _text(data: Mapping[str, Array], key: str, default: str) -> str:
    return str(data[key].reshape(-1)[0]) if key in data and data[key].size else default
