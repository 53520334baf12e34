"""Kinematics of many frames at once: every body's pose and every degree of freedom's axis.

Arrays end in time, [..., T]: each operation then runs over contiguous memory, and a clip of any
length costs one pass over the bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from mimic_base.errors import RobotError
from mimic_base.rotations import quat_to_matrix
from mimic_base.vectors import Array
from retarget.solvers import kernels


@dataclass(frozen=True)
class TreePose:
    """Poses of all bodies (0 is the world) over T frames.

    Attributes:
        pos: [B, 3, T] m, seen from the root body, so that Gram matrices stay well scaled far from
            the origin. mat: [B, 3, 3, T] body axes in the world. root: [3, T] m.
        basis: [n, 6, T] motion of each degree of freedom: angular velocity, and the velocity of a
            point that moves along and is at the root. The first six are the root's translation
            and its rotation about world axes.
        joints: [J, T] rad.
    """

    pos: Array
    mat: Array
    root: Array
    basis: Array
    joints: Array


_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)


def moved_bodies(model: mujoco.MjModel) -> Array:
    """[B, n] bool: which degree of freedom (the root's six first) moves which body.

    Raises `ValueError` for a model with other joints than one free and then revolute ones.
    """
    kinds = [int(k) for k in model.jnt_type]
    if not kinds or kinds[0] != _FREE or any(k != _HINGE for k in kinds[1:]):
        raise ValueError("the model must have one free joint and then hinges only")
    moves = np.zeros((model.nbody, model.nv), bool)
    for body in range(1, model.nbody):
        moves[body] = moves[model.body_parentid[body]]
        first = int(model.body_dofadr[body])
        if first >= 0:
            moves[body, first : first + int(model.body_dofnum[body])] = True
    return moves


class BodyTree:
    """A floating base with revolute joints, read from a compiled model.

    Raises `ValueError` for a model with other joints.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.moves = moved_bodies(model)
        self._index = {model.body(body).name: body for body in range(model.nbody)}
        self.num_bodies, self.num_joints = int(model.nbody), int(model.njnt) - 1
        self.num_dofs = 6 + self.num_joints
        self.parent = np.asarray(model.body_parentid, np.int64)
        self.body_pos = np.array(model.body_pos, float)
        self.body_mat = quat_to_matrix(np.asarray(model.body_quat, float))
        self.axis = np.array(model.jnt_axis[1:], float)
        self.anchor = np.array(model.jnt_pos[1:], float)
        self.zero = np.asarray(model.qpos0[7:], float)
        self.body_of_dof = np.array([1] * 6 + [int(b) for b in model.jnt_bodyid[1:]], np.int64)
        first = np.asarray(model.body_jntadr, np.int64) - 1
        self._joints = first, np.asarray(model.body_jntnum, np.int64)
        carriers = [
            [a for a in np.flatnonzero(self.moves[body]) if 6 <= a <= dof]
            for dof, body in enumerate(self.body_of_dof)
        ]
        self.carrier = np.array([a for each in carriers for a in each], np.int64)
        self.carrier_start = np.cumsum([0] + [len(each) for each in carriers])
        movers = [6 + np.flatnonzero(moves[6:]) for moves in self.moves]
        self.mover = np.concatenate(movers).astype(np.int64)
        self.mover_start = np.cumsum([0] + [len(each) for each in movers])

    def body(self, name: str) -> int:
        """Index of a body of the model.

        Raises `RobotError` for a name that no body has.
        """
        index = self._index.get(name)
        if index is None:
            raise RobotError(
                f"an objective names a body that the robot has not: {name!r} "
                f"(bodies: {', '.join(n for n in self._index if n and n != 'world')})"
            )
        return index

    def pose_at(self, qpos: Array) -> TreePose:
        """Pose of one configuration [7 + J] (T = 1)."""
        mat, size = np.empty(9), float(np.sqrt(qpos[3:7] @ qpos[3:7]))
        mujoco.mju_quat2Mat(mat, qpos[3:7] / size)
        return self.pose(qpos[:3, None].copy(), mat.reshape(3, 3, 1), qpos[7:, None].copy())

    def pose(self, root: Array, root_mat: Array, q: Array) -> TreePose:
        """Poses of `root` [3, T] m, `root_mat` [3, 3, T] and joint angles `q` [J, T] rad."""
        frames = q.shape[1]
        pos = np.zeros((self.num_bodies, 3, frames))
        mat = np.zeros((self.num_bodies, 3, 3, frames))
        basis = np.zeros((self.num_dofs, 6, frames))
        mat[0] = np.eye(3)[..., None]
        mat[1] = root_mat
        for k in range(3):
            basis[k, 3 + k] = 1.0
            basis[3 + k, k] = 1.0
        turn = q - self.zero[:, None]
        kernels.pose(
            self.parent, self.body_pos, self.body_mat, *self._joints, self.axis, self.anchor,
            np.sin(turn), np.cos(turn), pos, mat, basis,
        )  # fmt: skip
        return TreePose(pos, mat, root, basis, q)


def rotation_matrix(v: Array) -> Array:
    """Rotation matrices [3, 3, T] of rotation vectors `v` [3, T] (Rodrigues)."""
    angle = np.sqrt((v * v).sum(0))
    safe = np.maximum(angle, 1e-9)
    s, c = np.sin(safe) / safe, (1.0 - np.cos(safe)) / safe**2
    zero = np.zeros_like(angle)
    k = np.stack([zero, -v[2], v[1], v[2], zero, -v[0], -v[1], v[0], zero]).reshape(3, 3, -1)
    return np.eye(3)[..., None] + s * k + c * np.einsum("ijt,jkt->ikt", k, k)


def rotation_vector(mat: Array) -> Array:
    """Rotation vectors [3, T] of `mat` [3, 3, T], angles well below pi."""
    twice = np.stack([mat[2, 1] - mat[1, 2], mat[0, 2] - mat[2, 0], mat[1, 0] - mat[0, 1]])
    sin = 0.5 * np.sqrt((twice * twice).sum(0))
    cos = 0.5 * (mat[0, 0] + mat[1, 1] + mat[2, 2] - 1.0)
    angle = np.arctan2(sin, cos)
    return 0.5 * twice * np.where(sin > 1e-9, angle / np.maximum(sin, 1e-9), 1.0)


def left_jacobian_inverse(v: Array) -> Array:
    """Inverse left Jacobians [3, 3, T] of SO(3) at rotation vectors `v` [3, T].

    ``log(exp(dw) exp(v)) = v + J_l(v)^-1 dw`` to first order, with
    ``J_l^-1 = I - [v]x / 2 + (1/a^2 - (1 + cos a) / (2 a sin a)) [v]x^2`` and a = |v|.
    """
    angle = np.sqrt((v * v).sum(0))
    safe = np.maximum(angle, 1e-4)
    # (1 + cos a) / sin a = 1 / tan(a / 2), which stays finite up to a half turn.
    factor = 1.0 / safe**2 - 0.5 / (safe * np.tan(0.5 * safe))
    factor = np.where(angle > 1e-4, factor, 1.0 / 12.0)
    zero = np.zeros_like(angle)
    k = np.stack([zero, -v[2], v[1], v[2], zero, -v[0], -v[1], v[0], zero]).reshape(3, 3, -1)
    return np.eye(3)[..., None] - 0.5 * k + factor * np.einsum("ijt,jkt->ikt", k, k)
