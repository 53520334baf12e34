"""Forward kinematics of whole trajectories, vectorised over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from robots.robot import Robot


def _quat_mul(a: NDArray, b: NDArray) -> NDArray:
    """Product [4, T] of quaternions [4, T] or [4]."""
    out = np.empty((4, max(a[0].size, b[0].size)))
    out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]
    out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2]
    out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1]
    out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]
    return out


def _quat_rotate(quat: NDArray, vec: NDArray) -> NDArray:
    """`vec` [3] turned by quaternions [4, T]: [3, T]."""
    w, x, y, z = quat
    a, b, c = vec
    u, v, q = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return np.stack(
        [a + w * u + y * q - z * v, b + w * v + z * u - x * q, c + w * q + x * v - y * u]
    )


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
    # Components first: every operation runs over one stretch of memory.
    pos = np.zeros((model.nbody, 3, frames))
    quat = np.zeros((model.nbody, 4, frames))
    quat[0, 0] = 1.0
    pos[1] = root_pos.T
    quat[1] = (root_quat / np.linalg.norm(root_quat, axis=-1, keepdims=True)).T
    half = 0.5 * (joint_pos.T - model.qpos0[model.jnt_qposadr[1:], None])
    sin, cos = np.sin(half), np.cos(half)
    for body in range(2, model.nbody):
        parent = model.body_parentid[body]
        at = pos[parent] + _quat_rotate(quat[parent], model.body_pos[body])
        turned = quat[parent]
        if tuple(model.body_quat[body]) != (1.0, 0.0, 0.0, 0.0):
            turned = _quat_mul(turned, model.body_quat[body])
        first = model.body_jntadr[body]
        for joint in range(first, first + model.body_jntnum[body]):
            turn = np.concatenate(
                [cos[joint - 1, None], sin[joint - 1] * model.jnt_axis[joint][:, None]]
            )
            anchor = model.jnt_pos[joint]
            before, turned = turned, _quat_mul(turned, turn)
            # A joint whose anchor is off the body's origin also moves the origin.
            if anchor.any():
                at = at + _quat_rotate(before, anchor) - _quat_rotate(turned, anchor)
        pos[body], quat[body] = at, turned
    return (
        np.ascontiguousarray(pos[1:].transpose(2, 0, 1)),
        np.ascontiguousarray(quat[1:].transpose(2, 0, 1)),
    )
