"""Normal equations of a clip: task rows gathered per body, then carried down the tree.

Rows that turn or move a body enter as a 6x6 Gram matrix and a 6-vector on that body. What hangs
below a joint is moved by it as one piece, so the Gram matrices add up towards the root exactly as
inertias do in the composite-rigid-body algorithm (Featherstone, Rigid Body Dynamics Algorithms,
ch. 6): the 35x35 blocks of a humanoid cost a few products of 6-vectors, however many rows there
are. Layouts are [..., T] as in `tree`.
"""

from __future__ import annotations

import numpy as np

from retarget.vectors import Array
from retarget.whole_clip.tree import BodyTree, TreePose, cross, rotate


class NormalEquations:
    """Accumulates ``sum |J dx + r|^2`` over rows on bodies, rows on coordinates and dense rows."""

    def __init__(self, tree: BodyTree, pose: TreePose) -> None:
        self.tree, self.pose = tree, pose
        self.frames = pose.root.shape[1]
        self._gram: dict[int, Array] = {}
        self._force: dict[int, Array] = {}
        self.diagonal = np.zeros((tree.num_dofs, self.frames))
        self.gradient = np.zeros((tree.num_dofs, self.frames))
        self._dense: list[tuple[Array, Array, Array]] = []
        self.cost = 0.0

    def directions(self, body: int, local: Array, target: Array, weight: Array) -> None:
        """Body-fixed unit vector `local` [3] follows `target` [3, T]; `weight` [T] per radian."""
        now = rotate(self.pose.mat[body], local)
        square = weight * weight
        gram, force = self._on(body)
        gram[:3, :3] -= (square * now)[:, None] * now[None]
        for k in range(3):
            gram[k, k] += square
        force[:3] -= square * cross(now, target)
        self.cost += float((square * (1.0 - (now * target).sum(0))).sum()) * 2.0

    def points(self, body: int, local: Array, target: Array, weight: Array) -> None:
        """Body-fixed point `local` [3] m follows `target` [3, T] m; `weight` [3, T] per metre."""
        at = self.place(body, local)
        self.rows(body, at, at + self.pose.root - target, weight)

    def place(self, body: int, local: Array) -> Array:
        """A body-fixed point, [3, T] m, seen from the root."""
        return self.pose.pos[body] + rotate(self.pose.mat[body], local)

    def rows(self, body: int, at: Array, residual: Array, weight: Array) -> None:
        """Residuals [3, T] m per world axis of a point `at` [3, T] (seen from the root)."""
        square = weight * weight
        gram, force = self._on(body)
        zero = np.zeros_like(at[0])
        x, y, z = at
        # Columns of the point's Jacobian with respect to a rotation: skew(at) transposed.
        arm = np.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3, -1)
        weighted = arm * square[None]
        gram[:3, :3] -= np.einsum("ijt,jkt->ikt", weighted, arm)
        gram[:3, 3:] += weighted
        gram[3:, :3] += weighted.transpose(1, 0, 2)
        for k in range(3):
            gram[3 + k, 3 + k] += square[k]
        pull = square * residual
        force[:3] += cross(at, pull)
        force[3:] += pull
        self.cost += float((pull * residual).sum())

    def heights(self, body: int, frames: Array, at: Array, residual: Array, weight: float) -> None:
        """Residuals [K] m of the height of a point `at` [3, K] at different `frames` [K]."""
        gram, force = self._on(body)
        square = weight * weight
        # The row of a height: w_x y - w_y x + v_z.
        row = ((0, at[1]), (1, -at[0]), (5, np.ones(len(frames))))
        for i, a in row:
            force[i, frames] += square * a * residual
            for j, b in row:
                gram[i, j, frames] += square * a * b
        self.cost += float(square * (residual**2).sum())

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

        A degree of freedom comes after those that carry it, so that the product of its own and
        another's 6-vectors is needed for earlier ones only.
        """
        tree, basis = self.tree, self.pose.basis
        gram, force = self._gram, self._force
        for body in range(tree.num_bodies - 1, 1, -1):
            if body in gram:
                own_gram, own_force = gram[body], force[body]
                above_gram, above_force = self._on(tree.parent[body])
                above_gram += own_gram
                above_force += own_force
        moved = np.zeros((tree.num_dofs, 6, self.frames))
        total = self.gradient
        for dof, body in enumerate(tree.body_of_dof):
            if body in gram:
                np.einsum("ijt,jt->it", gram[body], basis[dof], out=moved[dof])
                total[dof] += np.einsum("it,it->t", basis[dof], force[body])
        left = np.ascontiguousarray(moved.transpose(2, 0, 1))
        right = np.ascontiguousarray(basis.transpose(2, 1, 0))
        np.multiply(left @ right, tree.carried, out=blocks)
        index = np.arange(tree.num_dofs)
        blocks[:, index, index] += self.diagonal.T
        gradient[...] = total.T
        for frames, rows, residual in self._dense:
            for t, row, value in zip(frames, rows, residual, strict=True):
                blocks[t] += np.outer(row, row)
                gradient[t] += value * row

    def _on(self, body: int) -> tuple[Array, Array]:
        if body not in self._gram:
            self._gram[body] = np.zeros((6, 6, self.frames))
            self._force[body] = np.zeros((6, self.frames))
        return self._gram[body], self._force[body]


def point_rows(tree: BodyTree, pose: TreePose, body: Array, frame: Array, at: Array) -> Array:
    """Jacobians [K, 3, n] of points `at` [K, 3] (from the root) on bodies [K] at frames [K]."""
    basis = pose.basis[:, :, frame].transpose(2, 0, 1)  # [K, n, 6]
    rows = basis[..., 3:] + np.cross(basis[..., :3], at[:, None])
    rows *= tree.moves[body][:, :, None]
    return rows.transpose(0, 2, 1)
