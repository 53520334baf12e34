"""What the readers find in a file, before anything is assumed about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import InputError, input_error
from mimic_base.extent import all_small, check_clip_size, check_magnitude
from motions.robot.formats.trajectory import BodyPoses
from motions.robot.objects import ObjectTracks

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawRobotMotion:
    """A file's content. Quaternion columns are as stored; `bodies` are wxyz already.

    Attributes:
        root_rot: [T, 4] columns, or [T, 3] a rotation vector.
        fps, joint_names: None where the file is silent.
    """

    root_pos: Array
    root_rot: Array
    joint_pos: Array
    fps: float | None = None
    joint_names: tuple[str, ...] | None = None
    bodies: BodyPoses | None = None
    link_names: tuple[str, ...] = ()
    """Links in the file's order, where only these are named; they have to agree with the joints."""
    robot: str = ""
    source: str = ""
    licence: str = ""
    name: str = ""
    loop: bool = False
    contact: Array | None = None
    objects: ObjectTracks | None = None
    """Poses of objects, wxyz already."""
    velocities: tuple[tuple[Array, Array], ...] = ()
    """Values and the velocities that the file says they have, [T, ...] each."""
    notes: tuple[str, ...] = ()


def check_sound(where: str, raw: RawRobotMotion) -> None:
    """`InputError` for a motion without a neighbour frame, with holes, or with a base that is no
    rotation: what has to be told before any guess at the layout."""
    if len(raw.root_pos) < 2:
        raise input_error(
            where,
            "a clip needs at least two frames",
            found=len(raw.root_pos),
            fix="use a longer clip: velocities need a neighbour frame",
        )
    parts = {
        "root position": raw.root_pos,
        "root rotation": raw.root_rot,
        "joint_pos": raw.joint_pos,
    }
    if raw.bodies is not None:
        parts["body positions"] = raw.bodies.pos
        if raw.bodies.quat is not None:
            parts["body rotations"] = raw.bodies.quat
    check_clip_size(where, len(raw.root_pos), int(np.prod(raw.joint_pos.shape[1:2])))
    for key, value in parts.items():
        if all_small(value):
            continue
        if not np.isfinite(value).all():
            frame, column = np.argwhere(~np.isfinite(value))[0][:2]
            raise input_error(
                where,
                f"{key} holds a value that is not finite",
                found=f"frame {int(frame)}, column {int(column)}",
                fix="export the clip again, or cut that frame out of the file",
            )
        check_magnitude(where, key, value)
    if raw.root_rot.shape[1:] != (4,):
        return
    length = np.linalg.norm(raw.root_rot, axis=1)
    if np.abs(length - 1.0).max() > 0.02:
        frame = int(np.abs(length - 1.0).argmax())
        raise input_error(
            where,
            "the base's orientation must be unit quaternions",
            found=f"length {length[frame]:.3f} at frame {frame}",
            fix="are these columns a quaternion? choose the layout with --format",
        )


def array_of(value: Any) -> Array:
    """`value` as an array; one of objects where its rows have unequal lengths."""
    try:
        return np.asarray(value)
    except (ValueError, OverflowError):
        return np.array([None], dtype=object)


def numbers(path: Path, data: dict[str, Any], key: str, *shape: int | None) -> Array:
    """The array `key` as floats with the given sizes (None: any), or an `InputError`."""
    if key not in data:
        raise input_error(
            path,
            f"it lacks {key}",
            found=", ".join(sorted(map(str, data))[:12]) or "nothing",
            fix="choose the layout with --format",
        )
    value = array_of(data[key])
    if value.dtype.kind not in "fiub":
        raise input_error(path, f"{key} must hold numbers in rows of equal length")
    fits = value.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, value.shape, strict=False)
    )
    if not fits:
        wanted = "[" + ", ".join("any" if n is None else str(n) for n in shape) + "]"
        raise input_error(
            path, f"{key} has the wrong shape", found=list(value.shape), expected=wanted
        )
    return value.astype(np.float64)


def rate(path: Path, data: dict[str, Any]) -> float | None:
    """`fps` of a file, None where it has none."""
    if data.get("fps") is None:
        return None
    value = array_of(data["fps"])
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise input_error(path, "fps must be one number", found=str(value.tolist())[:80])
    return float(value.reshape(-1)[0])


def names(data: dict[str, Any], key: str) -> tuple[str, ...] | None:
    """A list of texts, None where the file has none."""
    if data.get(key) is None:
        return None
    found = array_of(data[key]).reshape(-1).tolist()
    if not all(isinstance(name, str | bytes | int | float) for name in found):
        raise InputError(f"{key} must be a list of texts")
    return tuple(n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in found)


def text(data: dict[str, Any], key: str) -> str:
    """A text, empty where the file has none."""
    value = array_of(data.get(key, ""))
    return str(value.reshape(-1)[0]) if value.size else ""


def texts(values: tuple[str, ...]) -> Array:
    """Names as an array of unicode, which needs no pickle."""
    return np.array(values, dtype=np.str_)
