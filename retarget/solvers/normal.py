"""Normal equations of a clip: task rows gathered per body, then carried down the tree.

Rows that turn or move a body enter as a 6x6 Gram matrix and a 6-vector on that body. What hangs
below a joint is moved by it as one piece, so the Gram matrices add up towards the root exactly as
inertias do in the composite-rigid-body algorithm (Featherstone, Rigid Body Dynamics Algorithms,
ch. 6): the 35x35 blocks of a humanoid cost a few products of 6-vectors, however many rows there
are. Layouts are [..., T] as in `tree`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from mimic_base.vectors import Array
from retarget.solvers import kernels
from retarget.solvers.tree import BodyTree, TreePose


class NormalEquations:
    """Accumulates ``sum |J dx + r|^2`` over rows on bodies, rows on coordinates and dense rows.

    Attributes:
        gram: [B, 21, T] and force: [B, 6, T] of each body, laid out as in `kernels`.
        diagonal, gradient: [n, T] of rows on coordinates. cost: sum of the squared residuals.
    """

    def __init__(self, tree: BodyTree, pose: TreePose) -> None:
        self.tree, self.pose = tree, pose
        self.frames = pose.root.shape[1]
        self.gram = np.zeros((tree.num_bodies, 21, self.frames))
        self.force = np.zeros((tree.num_bodies, 6, self.frames))
        self.diagonal = np.zeros((tree.num_dofs, self.frames))
        self.gradient = np.zeros((tree.num_dofs, self.frames))
        self._dense: list[tuple[Array, Array, Array]] = []
        self.cost = 0.0

    def directions(self, body: Array, local: Array, target: Array, weight: Array) -> None:
        """Unit vectors `local` [K, 3] of bodies [K] follow `target` [K, 3, T]; `weight` [K, T]
        per radian."""
        mat = self.pose.mat
        self.cost += kernels.directions(self.gram, self.force, mat, body, local, target, weight)

    def points(self, body: Array, local: Array, target: Array, weight: Array) -> None:
        """Points `local` [K, 3] m of bodies [K] follow `target` [K, 3, T] m; `weight` [K, 3, T]
        per metre."""
        pose = self.pose
        self.cost += kernels.points(
            self.gram, self.force, pose.pos, pose.mat, pose.root, body, local, target, weight
        )

    def rows(self, body: int, rows: Array, residual: Array) -> None:
        """Weighted rows `rows` [R, 6, T] on one body with weighted residuals `residual` [R, T].

        A row is the derivative of its residual after the body's twist seen from the root: the
        angular velocity (3), then the velocity (3) of the body's point at the root's origin. A
        point at p (from the root) moves by v + w x p: a row g on its velocity is (p x g, g).
        """
        gram, force = self.gram[body], self.force[body]
        self.cost += kernels.body_rows(gram, force, rows, np.ascontiguousarray(residual))

    def coordinates(self, dofs: slice, residual: Array, weight: Array) -> None:
        """Residuals [k, T] of coordinates themselves, `weight` broadcastable to them."""
        square = np.broadcast_to(weight * weight, residual.shape)
        self.diagonal[dofs] += square
        self.gradient[dofs] += square * residual
        self.cost += float((square * residual**2).sum())

    def dense(self, frame: Array, rows: Array, residual: Array) -> None:
        """Weighted rows [K, n] with residuals [K], each of one `frame` [K]."""
        self._dense.append((frame, rows, residual))
        self.cost += float((residual**2).sum())

    def fill(self, blocks: Array, gradient: Array) -> None:
        """Write the frames' blocks [T, n, n], ``blocks[t, b, a]`` for a <= b, and gradient [T, n].

        Only entries that some row can reach are written: the others must be zero before. A degree
        of freedom comes after those that carry it, so that the product of its own and another's
        6-vectors is needed for earlier ones only.
        """
        tree = self.tree
        kernels.carry(self.gram, self.force, tree.parent)
        kernels.fill(
            self.gram, self.force, self.pose.basis, tree.body_of_dof, tree.carrier_start,
            tree.carrier, self.diagonal, self.gradient, blocks, gradient,
        )  # fmt: skip
        for frame, rows, residual in self._dense:
            kernels.add_rows(blocks, gradient, frame, rows, residual)


def frame_equations(
    tree: BodyTree, pose: TreePose, objectives: Iterable[Adds]
) -> tuple[Array, Array]:
    """Hessian [n, n] and gradient [n] of half the objectives' cost at one configuration (T = 1).

    In MuJoCo's tangent space, where the free joint turns about the root body's own axes.
    """
    normal = NormalEquations(tree, pose)
    for each in objectives:
        each.add(normal)
    blocks, gradient = np.zeros((1, tree.num_dofs, tree.num_dofs)), np.zeros((1, tree.num_dofs))
    normal.fill(blocks, gradient)
    # Entries above the diagonal are zero: none are written there.
    hessian, right = blocks[0] + blocks[0].T, gradient[0]
    hessian.flat[:: tree.num_dofs + 1] *= 0.5
    turn = pose.mat[1, :, :, 0]
    hessian[:, 3:6] = hessian[:, 3:6] @ turn
    hessian[3:6] = turn.T @ hessian[3:6]
    right[3:6] = right[3:6] @ turn
    return hessian, right


class Adds(Protocol):
    """What adds rows: an `objectives.Objective`."""

    def add(self, normal: NormalEquations) -> None:
        """Add its rows."""
        ...


def point_rows(tree: BodyTree, pose: TreePose, body: Array, frame: Array, at: Array) -> Array:
    """Jacobians [K, 3, n] of points `at` [K, 3] (from the root) on bodies [K] at frames [K]."""
    basis = pose.basis[:, :, frame].transpose(2, 0, 1)  # [K, n, 6]
    rows = basis[..., 3:] + np.cross(basis[..., :3], at[:, None])
    rows *= tree.moves[body][:, :, None]
    return rows.transpose(0, 2, 1)
