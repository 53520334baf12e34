"""One reader per layout: a file's content as it stands, nothing assumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from motions.robot.formats.formats import Layout
from motions.robot.formats.kimodo import read_kimodo
from motions.robot.formats.raw import Array, RawRobotMotion, names, numbers, rate, text
from motions.robot.formats.trajectory import BodyPoses
from motions.robot.objects import ObjectTracks

_LOOP_MODES = {0: False, 1: True}
"""MimicKit: 0 clamps at the end, 1 wraps around."""


def read_csv(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Rows of root xyz, quaternion, joint angles (`data` comes from `read_table`)."""
    table = data["table"]
    return RawRobotMotion(
        root_pos=table[:, :3], root_rot=table[:, 3:7], joint_pos=table[:, 7:], name=path.stem
    )


def read_table(path: Path) -> Array:
    """The numbers of a headerless csv, [T, columns]."""
    if path.is_dir():
        raise input_error(path, "a motion file is expected, not a directory")
    if not path.exists():
        raise input_error(path, "no such file")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise input_error(path, "this is no text file", fix="is it really a .csv?") from error
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append([float(cell) for cell in line.replace(",", " ").split()])
        except ValueError as error:
            raise input_error(
                path,
                f"line {number} holds something that is no number",
                found=repr(line[:40]),
                expected="root x y z, quaternion, joint angles",
                fix="separate the columns by commas"
                if ";" in line
                else "take a header line out of the file"
                if not rows
                else "export it again",
            ) from error
        if len(rows[-1]) != len(rows[0]):
            raise input_error(
                path,
                f"line {number} is shorter or longer than the first",
                found=f"{len(rows[-1])} columns",
                expected=len(rows[0]),
                fix="the file may be cut off: copy it again",
            )
    if not rows:
        raise input_error(path, "the file is empty")
    if len(rows[0]) < 8:
        raise input_error(
            path,
            "too few columns for a robot motion",
            found=len(rows[0]),
            expected="3 of position, 4 of a quaternion and one per joint",
        )
    return np.array(rows)


def read_motion_npz(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """BeyondMimic's arrays; the base is body 0 (a body named `world` before it is dropped)."""
    joint_pos = numbers(path, data, "joint_pos", None, None)
    frames = len(joint_pos)
    pos = numbers(path, data, "body_pos_w", frames, None, 3)
    quat = numbers(path, data, "body_quat_w", frames, pos.shape[1], 4)
    if pos.shape[1] == 0:
        raise input_error(path, "there are no bodies", expected="body 0, the base")
    body_names = names(data, "body_names")
    if body_names is not None and len(body_names) != pos.shape[1]:
        raise input_error(
            path, "body_names and body_pos_w differ in length",
            found=f"{len(body_names)} names", expected=pos.shape[1],
        )  # fmt: skip
    if body_names and body_names[0] == "world":
        body_names, pos, quat = body_names[1:], pos[:, 1:], quat[:, 1:]
    return RawRobotMotion(
        root_pos=pos[:, 0],
        root_rot=quat[:, 0],
        joint_pos=joint_pos,
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        bodies=BodyPoses(names=body_names or (), pos=pos, quat=quat),
        robot=text(data, "robot"),
        source=text(data, "source"),
        licence=text(data, "licence"),
        name=text(data, "name") or path.stem,
        velocities=(
            *_with_velocity(joint_pos, data, "joint_vel"),
            *_with_velocity(data["body_pos_w"], data, "body_lin_vel_w"),
        ),
    )


def _with_velocity(values: Any, data: dict[str, Any], key: str) -> tuple[tuple[Array, Array], ...]:
    """The values beside their velocities; nothing where the file has none of that shape."""
    velocities = np.asarray(data.get(key))
    if velocities.dtype.kind not in "fiu" or velocities.shape != np.shape(values):
        return ()
    return ((np.asarray(values, dtype=np.float64), velocities.astype(np.float64)),)


def read_holosoma(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """`joint_pos` is the whole qpos: base pose, joints, perhaps an object's pose."""
    joint_names = names(data, "joint_names")
    if joint_names is None:
        raise input_error(path, "a holosoma file carries joint_names", found="none")
    qpos = numbers(path, data, "joint_pos", None, None)
    joints = len(joint_names)
    if qpos.shape[1] not in (7 + joints, 14 + joints):
        raise input_error(
            path, "joint_pos is not a whole qpos", found=f"{qpos.shape[1]} columns",
            expected=f"{7 + joints} for {joints} joints, or {14 + joints} with an object",
        )  # fmt: skip
    bodies = None
    if "body_pos_w" in data and "body_names" in data:
        bodies = read_motion_npz(path, data).bodies
    objects = _holosoma_object(path, data, qpos[:, 7 + joints :])
    return RawRobotMotion(
        root_pos=qpos[:, :3],
        root_rot=qpos[:, 3:7],
        joint_pos=qpos[:, 7 : 7 + joints],
        fps=rate(path, data),
        joint_names=joint_names,
        bodies=bodies,
        name=path.stem,
        velocities=_qpos_velocities(qpos, data, joints),
        objects=objects,
        notes=() if objects is None else ("one object, named `object`: the file names none",),
    )


def _holosoma_object(path: Path, data: dict[str, Any], rest: Array) -> ObjectTracks | None:
    """The file's one object, by its own arrays or by the last seven columns of qpos `rest`."""
    frames = len(rest)
    if "object_pos_w" in data:
        pos = numbers(path, data, "object_pos_w", frames, 3)
        quat = numbers(path, data, "object_quat_w", frames, 4)
    elif rest.shape[1]:
        pos, quat = rest[:, :3], rest[:, 3:]
    else:
        return None
    return ObjectTracks(names=("object",), pos_w=pos[:, None], quat_w=quat[:, None])


def _qpos_velocities(
    qpos: Array, data: dict[str, Any], joints: int
) -> tuple[tuple[Array, Array], ...]:
    """The base's position and the joints beside their part of qvel."""
    qvel = np.asarray(data.get("joint_vel"))
    if qvel.dtype.kind not in "fiu" or qvel.ndim != 2 or qvel.shape[1] < 6 + joints:
        return ()
    return (
        (qpos[:, 7 : 7 + joints], qvel[:, 6 : 6 + joints].astype(np.float64)),
        (qpos[:, :3], qvel[:, :3].astype(np.float64)),
    )


def read_gmr(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """GMR's dictionary, as TWIST, TWIST2 and GMT use it; pkl or npz."""
    root_pos = numbers(path, data, "root_pos", None, 3)
    links = names(data, "link_body_list") or ()
    local = data.get("local_body_pos")
    bodies = None
    if local is not None and np.asarray(local).size and links:
        pos = numbers(path, data, "local_body_pos", len(root_pos), len(links), 3)
        bodies = BodyPoses(names=links, pos=pos, in_root_frame=True)
    return RawRobotMotion(
        root_pos=root_pos,
        root_rot=numbers(path, data, "root_rot", len(root_pos), 4),
        joint_pos=numbers(path, data, "dof_pos", len(root_pos), None),
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        bodies=bodies,
        link_names=links,
        name=path.stem,
    )


def read_mimickit(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """Frames of root position, root rotation vector and joint angles; loop mode 0 or 1."""
    frames = numbers(path, data, "frames", None, None)
    if frames.shape[1] < 7:
        raise input_error(path, "frames are too short", found=frames.shape[1], expected="7 or more")
    mode = int(np.asarray(data.get("loop_mode", 0)).reshape(-1)[0])
    if mode not in _LOOP_MODES:
        raise input_error(path, "unknown loop_mode", found=mode, expected="0 (clamp) or 1 (wrap)")
    return RawRobotMotion(
        root_pos=frames[:, :3],
        root_rot=frames[:, 3:6],
        joint_pos=frames[:, 6:],
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        loop=_LOOP_MODES[mode],
        name=path.stem,
    )


def read_pyroki(path: Path, data: dict[str, Any]) -> RawRobotMotion:
    """What ProtoMotions' retargeting writes and its converter reads."""
    root_pos = numbers(path, data, "base_frame_pos", None, 3)
    return RawRobotMotion(
        root_pos=root_pos,
        root_rot=numbers(path, data, "base_frame_wxyz", len(root_pos), 4),
        joint_pos=numbers(path, data, "joint_angles", len(root_pos), None),
        fps=rate(path, data),
        joint_names=names(data, "joint_names"),
        name=path.stem,
    )


READERS: dict[Layout, Callable[[Path, dict[str, Any]], RawRobotMotion]] = {
    "motion-npz": read_motion_npz,
    "csv": read_csv,
    "gmr": read_gmr,
    "mimickit": read_mimickit,
    "holosoma": read_holosoma,
    "pyroki": read_pyroki,
    "kimodo-npz": read_kimodo,
}
