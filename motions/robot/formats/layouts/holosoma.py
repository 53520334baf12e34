"""holosoma's npz: MuJoCo's whole qpos in `joint_pos`, names, and perhaps one object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import quat_inv_rotate
from motions.robot.formats.format import Content, Format
from motions.robot.formats.layouts.motion_npz import read_motion_npz, with_bodies
from motions.robot.formats.raw import Array, RawRobotMotion, names, numbers, rate
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.objects import ObjectTracks


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


def is_holosoma(content: Content) -> bool:
    """Whether there are more columns in `joint_pos` than names, and poses of bodies."""
    joints, columns = names(content, "joint_names"), np.shape(content.get("joint_pos", ()))
    return (
        joints is not None
        and "body_pos_w" in content
        and not content.get("schema")
        and len(columns) > 0
        and columns[-1] > len(joints)
    )


def write_holosoma(trajectory: RobotTrajectory, form: Format) -> dict[str, Any]:
    """BeyondMimic's arrays with MuJoCo's qpos and qvel, and one object beside them."""
    arrays = with_bodies(trajectory, form)
    fps = trajectory.fps
    # As MuJoCo's qpos and qvel: linear velocity in the world, angular in the base's frame.
    joint_vel = np.gradient(trajectory.joint_pos, 1.0 / fps, axis=0)
    linear, angular = arrays["body_lin_vel_w"][:, 0], arrays["body_ang_vel_w"][:, 0]
    local = quat_inv_rotate(arrays["body_quat_w"][:, 0], angular)
    qpos = [trajectory.root_pos, trajectory.root_quat, trajectory.joint_pos]
    arrays["joint_pos"] = np.concatenate(qpos, axis=1).astype(np.float32)
    arrays["joint_vel"] = np.concatenate([linear, local, joint_vel], axis=1).astype(np.float32)
    objects = trajectory.objects
    if objects is not None and len(objects.names) == 1:
        moved, turned = objects.velocities(fps)
        arrays |= {
            "object_pos_w": objects.pos_w[:, 0],
            "object_quat_w": objects.quat_w[:, 0],
            "object_lin_vel_w": moved[:, 0],
            "object_ang_vel_w": turned[:, 0],
        }
    return arrays


FORMATS = (
    Format(
        name="holosoma",
        title="holosoma npz: full qpos in joint_pos, names, perhaps an object",
        extensions=(".npz",),
        objects=1,
        read=read_holosoma,
        write=write_holosoma,
        recognise=is_holosoma,
        needs_bodies=True,
    ),
)
