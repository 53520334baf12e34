"""The coupling of frames in time, and the banded system it makes.

A clip's unknowns are ordered frame by frame. Accelerations couple a coordinate with itself one and
two frames away, so the matrix is block-pentadiagonal with diagonal outer blocks, and a banded
Cholesky factorisation solves a clip in time proportional to its length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg import LinAlgError, solveh_banded

from mimic_base.vectors import Array


@dataclass
class TimeCoupling:
    """Diagonals that couple equal coordinates of frames t and t + 1, and t and t + 2.

    Attributes:
        own: [T, n] added to the frames' own diagonal. next: [T - 1, n]. after: [T - 2, n].
        gradient: [T, n]. cost: sum of the squared residuals.
    """

    own: Array
    next: Array
    after: Array
    gradient: Array
    cost: float = 0.0

    @classmethod
    def empty(cls, frames: int, dofs: int) -> TimeCoupling:
        return cls(
            np.zeros((frames, dofs)),
            np.zeros((max(frames - 1, 0), dofs)),
            np.zeros((max(frames - 2, 0), dofs)),
            np.zeros((frames, dofs)),
        )

    def first(self, frames: int) -> TimeCoupling:
        """That of the first frames; rows that reach beyond them stay in."""
        return TimeCoupling(
            self.own[:frames], self.next[: max(frames - 1, 0)], self.after[: max(frames - 2, 0)],
            self.gradient[:frames], self.cost,
        )  # fmt: skip

    def accelerations(self, steps: Array, weight: Array) -> None:
        """Second differences drawn to zero; `steps` [T - 1, n] are the changes between frames.

        `weight` [n], or [T - 2, n].
        """
        bend = np.diff(steps, axis=0)
        if not len(bend):
            return
        square = np.broadcast_to(weight * weight, bend.shape)
        self.own[:-2] += square
        self.own[1:-1] += 4.0 * square
        self.own[2:] += square
        self.next[:-1] -= 2.0 * square
        self.next[1:] -= 2.0 * square
        self.after += square
        pull = square * bend
        self.gradient[:-2] += pull
        self.gradient[1:-1] -= 2.0 * pull
        self.gradient[2:] += pull
        self.cost += float((pull * bend).sum())

    def steps(self, residual: Array, weight: Array) -> None:
        """Residuals [T - 1, n] that grow with the change from a frame to the next."""
        square = np.broadcast_to(weight * weight, residual.shape)
        self.own[:-1] += square
        self.own[1:] += square
        self.next -= square
        pull = square * residual
        self.gradient[:-1] -= pull
        self.gradient[1:] += pull
        self.cost += float((pull * residual).sum())


class BandedSystem:
    """A clip's normal equations, filled and solved once: the factorisation overwrites them.

    Attributes:
        blocks: [T, n, n] view; ``blocks[t, b, a]`` with a <= b are the entries of frame t, what is
            written elsewhere is ignored. Zero at first; fill them before `solve`.
        gradient: [T, n].
        store: memory that the next system of this size or a smaller one may use again.
    """

    def __init__(
        self,
        frames: int,
        dofs: int,
        dtype: type[np.floating] = np.float64,
        store: Array | None = None,
    ) -> None:
        """`dtype` is what the factorisation calculates with."""
        self.frames, self.dofs = frames, dofs
        # Row t n + b holds column (t, b) of the matrix above its diagonal: LAPACK's upper band
        # storage, transposed. What of a block lies below the diagonal spills into entries of the
        # next row, which `solve` writes afterwards.
        band = 2 * dofs
        size = frames * dofs * (band + 1) + dofs
        if store is None or store.size < size or store.dtype != dtype:
            store = np.zeros(size, dtype)
        else:
            store[:size] = 0.0
        self.store = store
        item = store.itemsize
        self._rows = store[: size - dofs].reshape(frames, dofs, band + 1)
        self.blocks = as_strided(
            store[band:],
            shape=(frames, dofs, dofs),
            strides=(dofs * (band + 1) * item, band * item, item),
        )
        self.gradient = np.zeros((frames, dofs))

    def solve(self, coupling: TimeCoupling) -> Array:
        """The step [T, n] that minimises the linearised cost, in the system's precision.

        Raises `LinAlgError` when the system is not positive definite or not finite.
        """
        rows, n = self._rows, self.dofs
        right = complete(rows, self.gradient, coupling)
        flat = rows.reshape(self.frames * n, -1).T
        step = solveh_banded(flat, right, overwrite_ab=True, overwrite_b=True, check_finite=False)
        return step.reshape(self.frames, n)


def complete(rows: Array, gradient: Array, coupling: TimeCoupling) -> Array:
    """Add the coupling of frames to their `rows` [T, n, 2 n + 1] of blocks; the right side [T n].

    The coupling may begin before these frames, by as many as it is longer: the first of them are
    then coupled with those.

    Raises `LinAlgError` where something is not finite.
    """
    n, before = rows.shape[1], len(coupling.own) - len(rows)
    rows[:, :, : n + 1] = 0.0
    rows[:, :, 2 * n] += coupling.own[before:]
    following, after = coupling.next[max(before - 1, 0) :], coupling.after[max(before - 2, 0) :]
    rows[len(rows) - len(following) :, :, n] = following
    rows[len(rows) - len(after) :, :, 0] = after
    right = -(gradient + coupling.gradient[before:]).ravel()
    if not (np.isfinite(right).all() and np.isfinite(rows[:, :, 2 * n]).all()):
        raise LinAlgError("the clip's normal equations are not finite")
    return right.astype(rows.dtype)
