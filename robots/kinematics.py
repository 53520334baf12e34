"""Forward kinematics of whole trajectories, vectorised over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robots.robot import Robot


def _quat_mul(a: NDArray, b: NDArray) -> NDArray:
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def _quat_rotate(quat: NDArray, vec: NDArray) -> NDArray:
    axis = quat[..., 1:]
    twice = 2.0 * np.cross(axis, vec)
    return vec + quat[..., :1] * twice + np.cross(axis, twice)


def forward_kinematics(
    robot: Robot, root_pos: NDArray, root_quat: NDArray, joint_pos: NDArray
) -> tuple[NDArray, NDArray]:
    """Poses of every body of the robot along a trajectory.

    Args:
        root_pos: [T, 3] floating base position, world, m.
        root_quat: [T, 4] floating base orientation, wxyz.
        joint_pos: [T, J] rad, in ``robot.joint_names`` order.

    Returns:
        ``body_pos_w`` [T, B, 3] m and ``body_quat_w`` [T, B, 4] wxyz, in ``robot.body_names``
        order.
    """
    model = robot.model
    frames = len(joint_pos)
    if root_pos.shape != (frames, 3) or root_quat.shape != (frames, 4):
        shapes = f"{root_pos.shape}, {root_quat.shape}"
        raise ValueError(f"root pose shapes {shapes} for {frames} frames")
    if joint_pos.shape[1] != robot.num_joints:
        raise ValueError(f"{joint_pos.shape[1]} joint columns, {robot.name} has {robot.num_joints}")
    pos = np.zeros((frames, model.nbody, 3))
    quat = np.zeros((frames, model.nbody, 4))
    quat[:, 0, 0] = 1.0
    pos[:, 1] = root_pos
    quat[:, 1] = root_quat / np.linalg.norm(root_quat, axis=-1, keepdims=True)
    for body in range(2, model.nbody):
        parent = model.body_parentid[body]
        pos[:, body] = pos[:, parent] + _quat_rotate(quat[:, parent], model.body_pos[body])
        quat[:, body] = _quat_mul(quat[:, parent], model.body_quat[body])
        for joint in range(
            model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]
        ):
            half = 0.5 * (joint_pos[:, joint - 1] - model.qpos0[model.jnt_qposadr[joint]])
            turn = np.concatenate(
                [np.cos(half)[:, None], np.sin(half)[:, None] * model.jnt_axis[joint]], axis=1
            )
            anchor = pos[:, body] + _quat_rotate(quat[:, body], model.jnt_pos[joint])
            quat[:, body] = _quat_mul(quat[:, body], turn)
            # A joint whose anchor is off the body's origin also moves the origin.
            pos[:, body] = anchor - _quat_rotate(quat[:, body], model.jnt_pos[joint])
    return pos[:, 1:], quat[:, 1:]
