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
from mink.tasks.task import BaseTask, Objective

from mimic_base.vectors import Array

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


class PoseTask(mink.Task):
    """Body-fixed unit vectors follow directions, body-fixed points follow positions.

    Rows come in threes: ``weight * (R_body local - target)`` for each direction, then
    ``weight * (p_body + R_body local - target)`` for each point, whose coordinates have a weight
    each.
    """

    def __init__(
        self,
        tree: Tree,
        direction_bodies: Sequence[int],
        direction_local: Array,
        point_bodies: Sequence[int],
        point_local: Array,
    ) -> None:
        self.tree = tree
        self.count = len(direction_bodies)
        self.bodies = np.array([*direction_bodies, *point_bodies], dtype=int)
        self.local = np.concatenate([direction_local, point_local]).astype(float)
        self.target = self.local.copy()
        self._moves = tree.moves[self.bodies][:, None, :]
        super().__init__(cost=np.ones(3 * len(self.bodies)))

    def set(
        self, directions: Array, direction_weights: Array, points: Array, point_weights: Array
    ) -> None:
        """Targets [K, 3] unit and [P, 3] m; weights [K] and [P, 3] per metre."""
        self.target = np.concatenate([directions, points])
        self.cost = np.concatenate([np.repeat(direction_weights, 3), point_weights.ravel()])

    def values(self, configuration: mink.Configuration) -> Array:
        """World directions and points of the configuration, [K + P, 3]."""
        data = configuration.data
        mats = data.xmat[self.bodies].reshape(-1, 3, 3)
        values = (mats @ self.local[:, :, None])[:, :, 0]
        values[self.count :] += data.xpos[self.bodies[self.count :]]
        return values

    def compute_error(self, configuration: mink.Configuration) -> Array:
        return (self.values(configuration) - self.target).ravel()

    def compute_jacobian(self, configuration: mink.Configuration) -> Array:
        return self._jacobian(configuration, self.values(configuration))

    def compute_qp_residual(self, configuration: mink.Configuration) -> tuple[Array, Array, float]:
        # As mink's own, with the values computed once for error and Jacobian.
        values = self.values(configuration)
        error = (values - self.target).ravel()
        jacobian = self._jacobian(configuration, values)
        jacobian *= self.cost[:, None]
        return jacobian, -self.cost * error, 0.0

    def _jacobian(self, configuration: mink.Configuration, values: Array) -> Array:
        axis, moment = self.tree.axes(configuration.data)
        # d u / d q_i = a_i x u and d p / d q_i = a_i x (p - c_i)
        rows = skew(-values) @ axis.T
        rows[self.count :] -= moment.T
        for k in range(3):
            rows[self.count :, k, k] = 1.0
        rows *= self._moves
        return rows.reshape(-1, self.tree.model.nv)


class JointTask(BaseTask):
    """Hinges are drawn to target angles, each with its own weight."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._nv = model.nv
        self.target = model.qpos0[7:].copy()
        self.weight = np.ones(model.nv - 6)

    def set(self, target: Array, weight: Array) -> None:
        """Angles [J] rad and weights [J] per radian."""
        self.target, self.weight = target, weight

    def compute_qp_objective(self, configuration: mink.Configuration) -> Objective:
        square = self.weight**2
        hessian = np.zeros((self._nv, self._nv))
        hessian.flat[6 * (self._nv + 1) :: self._nv + 1] = square
        gradient = np.zeros(self._nv)
        gradient[6:] = square * (configuration.data.qpos[7:] - self.target)
        return Objective(hessian, gradient)


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

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> Constraint:
        del dt
        if self.previous is None:
            return Constraint()
        moved = configuration.data.qpos[7:] - self.previous
        # Rounding may leave a hinge a hair outside; standing still must stay feasible.
        room = np.concatenate([self.max_step - moved, self.max_step + moved])
        return Constraint(G=self._g, h=np.maximum(room, 0.0))


class GroundLimit(mink.Limit):
    """Keeps points of the robot above the ground: ``z >= -allowed`` after the step, linearised.

    The root can always rise, so the constraint never makes a frame infeasible.
    """

    near = 0.06
    """m; only points that low can reach the ground within a step."""

    def __init__(self, tree: Tree, bodies: Array, points: Array, allowed: float = 0.001) -> None:
        """`points` [P, 3] m in the frames of `bodies` [P]."""
        self.tree, self.allowed = tree, allowed
        self.bodies, self.points = np.asarray(bodies, dtype=int), np.asarray(points, float)
        self._moves = tree.moves[self.bodies]

    def heights(self, configuration: mink.Configuration) -> Array:
        data = configuration.data
        vertical = data.xmat[self.bodies, 6:]
        return data.xpos[self.bodies, 2] + np.einsum("ij,ij->i", vertical, self.points)

    def compute_qp_inequalities(self, configuration: mink.Configuration, dt: float) -> Constraint:
        del dt
        height = self.heights(configuration)
        low = np.flatnonzero(height < self.near)
        if not len(low):
            return Constraint()
        data, bodies = configuration.data, self.bodies[low]
        mats = data.xmat[bodies].reshape(-1, 3, 3)
        at = data.xpos[bodies] + (mats @ self.points[low, :, None])[:, :, 0]
        axis, moment = self.tree.axes(data)
        # z component of a_i x (p - c_i)
        rows = np.outer(at[:, 1], axis[:, 0]) - np.outer(at[:, 0], axis[:, 1]) - moment[:, 2]
        rows[:, 2] = 1.0
        return Constraint(G=-rows * self._moves[low], h=height[low] + self.allowed)


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
