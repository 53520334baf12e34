"""Forward kinematics of whole trajectories, vectorised over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import quat_mul, quat_normalize, quat_rotate
from mimic_base.stretches import STRETCH, stretches

if TYPE_CHECKING:
    from robots.robot import Robot


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
    if frames <= STRETCH:
        return _poses(model, root_pos, root_quat, joint_pos)
    body_pos = np.empty((frames, model.nbody - 1, 3))
    body_quat = np.empty((frames, model.nbody - 1, 4))
    for part in stretches(frames):
        found = _poses(model, root_pos[part], root_quat[part], joint_pos[part])
        body_pos[part], body_quat[part] = found
    return body_pos, body_quat


def _poses(
    model: Any, root_pos: NDArray, root_quat: NDArray, joint_pos: NDArray
) -> tuple[NDArray, NDArray]:
    """Poses of a model's bodies along a stretch of a trajectory, as `forward_kinematics`."""
    frames = len(joint_pos)
    turns = quat_normalize(root_quat)
    pos = np.empty((model.nbody - 1, frames, 3))
    quat = np.empty((model.nbody - 1, frames, 4))
    pos[0], quat[0] = root_pos, turns
    half = 0.5 * (joint_pos - model.qpos0[model.jnt_qposadr[1:]])
    sin, cos = np.sin(half), np.cos(half)
    for body in range(2, model.nbody):
        parent = int(model.body_parentid[body]) - 1
        at = pos[parent] + quat_rotate(quat[parent], model.body_pos[body])
        turned = quat[parent]
        if tuple(model.body_quat[body]) != (1.0, 0.0, 0.0, 0.0):
            turned = quat_mul(turned, model.body_quat[body])
        first = int(model.body_jntadr[body])
        for joint in range(first, first + int(model.body_jntnum[body])):
            turn = np.empty((frames, 4))
            turn[:, 0] = cos[:, joint - 1]
            turn[:, 1:] = sin[:, joint - 1, None] * model.jnt_axis[joint]
            anchor = model.jnt_pos[joint]
            before, turned = turned, quat_mul(turned, turn)
            # A joint whose anchor is off the body's origin also moves the origin.
            if anchor.any():
                at = at + quat_rotate(before, anchor) - quat_rotate(turned, anchor)
        pos[body - 1], quat[body - 1] = at, turned
    return (
        np.ascontiguousarray(pos.transpose(1, 0, 2)),
        np.ascontiguousarray(quat.transpose(1, 0, 2)),
    )
