"""Least-squares tasks and limits for mink, many rows at a time.

One task holds the rows of all segments, so that a frame costs a handful of numpy calls instead of
a MuJoCo Jacobian per body. Jacobians are in MuJoCo's tangent space: a free joint's angular part is
in the body's own frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import mink
import mujoco
import numpy as np
from mink.limits.limit import Constraint

from retarget.vectors import Array

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)


class Tree:
    """Which tangent coordinates turn or move which body; rotation axes of a configuration."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        kinds = [int(k) for k in model.jnt_type]
        if not kinds or kinds[0] != _FREE or any(k != _HINGE for k in kinds[1:]):
            raise ValueError("the model must have one free joint and then hinges only")
        moves = np.zeros((model.nbody, model.nv))
        for body in range(1, model.nbody):
            moves[body] = moves[model.body_parentid[body]]
            first = int(model.body_dofadr[body])
            if first >= 0:
                moves[body, first : first + int(model.body_dofnum[body])] = 1.0
        self.moves = moves

    def axes(self, data: mujoco.MjData) -> tuple[Array, Array]:
        """World axis [nv, 3] (zero for translations) and axis x anchor [nv, 3] of each dof."""
        axis = np.zeros((self.model.nv, 3))
        axis[3:6] = data.xmat[1].reshape(3, 3).T
        axis[6:] = data.xaxis[1:]
        anchor = np.empty((self.model.nv - 3, 3))
        anchor[:3] = data.xpos[1]
        anchor[3:] = data.xanchor[1:]
        moment = np.zeros((self.model.nv, 3))
        moment[3:] = _cross(axis[3:], anchor)
        return axis, moment


class DirectionTask(mink.Task):
    """Body-fixed unit vectors follow target directions in the world.

    Row group k is ``weight[k] * (R_body[k] local[k] - target[k])``, three rows each.
    """

    def __init__(self, tree: Tree, bodies: Sequence[int], local: Array) -> None:
        self.tree = tree
        self.bodies = np.asarray(bodies, dtype=int)
        self.local = np.asarray(local, dtype=float)
        self.moves = tree.moves[self.bodies][:, None, :]
        self.target = self.local.copy()
        super().__init__(cost=np.ones(3 * len(self.bodies)))

    def set(self, target: Array, weight: Array) -> None:
        """Targets [K, 3] unit and weights [K]."""
        self.target = target
        self.cost = np.repeat(weight, 3)

    def vectors(self, configuration: mink.Configuration) -> Array:
        mats = configuration.data.xmat[self.bodies].reshape(-1, 3, 3)
        return np.einsum("kij,kj->ki", mats, self.local)

    def compute_error(self, configuration: mink.Configuration) -> Array:
        return (self.vectors(configuration) - self.target).ravel()

    def compute_jacobian(self, configuration: mink.Configuration) -> Array:
        axis, _ = self.tree.axes(configuration.data)
        rows = -skew(self.vectors(configuration)) @ axis.T
        return (rows * self.moves).reshape(-1, self.tree.model.nv)


class PointTask(mink.Task):
    """Body-fixed points follow target positions in the world; each coordinate has its weight."""

    def __init__(self, tree: Tree, bodies: Sequence[int], local: Array) -> None:
        self.tree = tree
        self.bodies = np.asarray(bodies, dtype=int)
        self.local = np.asarray(local, dtype=float)
        self.moves = tree.moves[self.bodies][:, None, :]
        self.target = np.zeros_like(self.local)
        super().__init__(cost=np.ones(3 * len(self.bodies)))

    def set(self, target: Array, weight: Array) -> None:
        """Targets [K, 3] m and weights [K, 3] per metre."""
        self.target = target
        self.cost = np.asarray(weight, dtype=float).ravel()

    def points(self, configuration: mink.Configuration) -> Array:
        data = configuration.data
        mats = data.xmat[self.bodies].reshape(-1, 3, 3)
        return data.xpos[self.bodies] + np.einsum("kij,kj->ki", mats, self.local)

    def compute_error(self, configuration: mink.Configuration) -> Array:
        return (self.points(configuration) - self.target).ravel()

    def compute_jacobian(self, configuration: mink.Configuration) -> Array:
        axis, moment = self.tree.axes(configuration.data)
        # d p / d q_i = a_i x (p - c_i) = -[p]x a_i - a_i x c_i
        rows = -skew(self.points(configuration)) @ axis.T - moment.T
        rows[:, [0, 1, 2], [0, 1, 2]] = 1.0
        return (rows * self.moves).reshape(-1, self.tree.model.nv)


class JointTask(mink.Task):
    """Hinges are drawn to target angles, each with its own weight."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.target = model.qpos0[7:].copy()
        self._jacobian = np.eye(model.nv)[6:]
        super().__init__(cost=np.ones(model.nv - 6))

    def set(self, target: Array, weight: Array) -> None:
        """Angles [J] rad and weights [J] per radian."""
        self.target = target
        self.cost = weight

    def compute_error(self, configuration: mink.Configuration) -> Array:
        return configuration.data.qpos[7:] - self.target

    def compute_jacobian(self, configuration: mink.Configuration) -> Array:
        del configuration
        return self._jacobian


class FrameStepLimit(mink.Limit):
    """Bounds the hinges' total change since the previous frame, however many solver steps it takes.

    mink's own velocity limit bounds a single solver step; a frame that takes four steps could move
    four times as fast.
    """

    def __init__(self, model: mujoco.MjModel, max_step: Array) -> None:
        self.max_step = np.asarray(max_step, dtype=float)
        rows = np.eye(model.nv)[6:]
        self._g = np.concatenate([rows, -rows])
        self.previous: Array | None = None

    def compute_qp_inequalities(
        self, configuration: mink.Configuration, dt: float
    ) -> Constraint:
        del dt
        if self.previous is None:
            return Constraint()
        moved = configuration.data.qpos[7:] - self.previous
        # Rounding may leave a hinge a hair outside; standing still must stay feasible.
        room = np.concatenate([self.max_step - moved, self.max_step + moved])
        return Constraint(G=self._g, h=np.maximum(room, 0.0))


def skew(v: Array) -> Array:
    """Matrices [K, 3, 3] of the cross product with `v` [K, 3]."""
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2] = -v[:, 2], v[:, 1]
    out[:, 1, 0], out[:, 1, 2] = v[:, 2], -v[:, 0]
    out[:, 2, 0], out[:, 2, 1] = -v[:, 1], v[:, 0]
    return out


def _cross(a: Array, b: Array) -> Array:
    out = np.empty_like(a)
    out[:, 0] = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    out[:, 1] = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    out[:, 2] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return out
