"""A banded Cholesky factorisation in windows, to the last bit that of the whole matrix.

LAPACK's `pbtrf` goes through a symmetric band matrix in blocks of columns: it factorises a block's
diagonal part, solves for the rows beside it, and takes their product off the columns that follow
(right-looking; Golub and Van Loan, Matrix Computations, 4.2.9). So a column is touched by the few
blocks before it only, and LAPACK itself factorises a window of columns just as it would within the
whole, but for the last ones, which it takes for the end of the matrix. For these, `Factor` finds
what they were when the last complete block was done: what was assembled there, less the products of
the last blocks, taken again in LAPACK's own steps and sizes. That is carried into the next window,
so a matrix of any length needs the memory of a window.

Solving goes forward in the same pass, and backward through the windows from the last to the first.
As many of their factors are kept as `WindowedSystem.memory` has room for; others are made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg import LinAlgError, get_blas_funcs, get_lapack_funcs

from mimic_base.vectors import Array
from retarget.solvers.whole_clip.banded import TimeCoupling, complete

BLOCK, LEAST_BLOCKED = 32, 65
"""LAPACK's block of columns, and the bandwidth from which it works in blocks (`ilaenv`)."""


class Factor:
    """Factorises and solves windows of columns of a band matrix.

    Columns are rows of arrays [columns, kd + 1] here, in LAPACK's upper band storage transposed:
    ``rows[j, kd + i - j]`` is entry (i, j).
    """

    def __init__(self, kd: int, dtype: type[np.floating]) -> None:
        self.kd = kd
        self.block = BLOCK if kd >= LEAST_BLOCKED else 1
        self._pbtrf, self._tbtrs = get_lapack_funcs(("pbtrf", "tbtrs"), dtype=dtype)
        self._syrk, self._gemm, self._syr = get_blas_funcs(("syrk", "gemm", "syr"), dtype=dtype)

    def done(self, columns: int, last: bool) -> int:
        """How many of a window's `columns` are factorised for good; all of the last one's."""
        if last:
            return columns
        return max(0, (columns - self.kd) // self.block * self.block)

    def factorise(self, rows: Array, last: bool) -> Array | None:
        """Factorise a window's `rows` in place; the columns [C, kd + 1] that the next one begins
        with, None at the last.

        Raises `LinAlgError` when the matrix is not positive definite.
        """
        count = self.done(len(rows), last)
        assembled = rows[count:].copy()
        _, info = self._pbtrf(rows.T, overwrite_ab=True)
        if info:
            raise LinAlgError("the clip's normal equations are not positive definite")
        return None if last else self._left(rows, count, assembled)

    def _left(self, rows: Array, count: int, columns: Array) -> Array:
        """`columns` as they are after `count` columns are done."""
        kd = self.kd
        # The rows above are final: no later column changes them.
        for j in range(min(kd, len(columns))):
            columns[j, : kd - j] = rows[count + j, : kd - j]
        # A dense picture of the columns that the last blocks reach, their own included.
        reach = -(-kd // self.block) * self.block
        begin = max(0, count - reach)
        size = count + kd - begin
        upper = _dense(rows[begin : begin + size], kd)
        done = count - begin
        work = upper.copy()
        work[done:, done:] = _dense(columns[:kd], kd)
        for at in range(0, done, self.block):
            self._take_off(upper, work, at)
        for j in range(kd):
            columns[j, kd - j :] = work[done : done + j + 1, done + j]
        return columns

    def _take_off(self, upper: Array, work: Array, at: int) -> None:
        """Take the products of a block's rows of `upper` off the columns that follow in `work`."""
        kd, block = self.kd, self.block
        if block == 1:
            # The unblocked form (pbtf2): a product of one row with itself.
            stop = at + 1 + kd
            row = np.ascontiguousarray(upper[at, at + 1 : stop])
            if len(row) < kd:
                return
            part = np.asfortranarray(work[at + 1 : stop, at + 1 : stop])
            work[at + 1 : stop, at + 1 : stop] = self._syr(-1.0, row, a=part, overwrite_a=True)
            return
        one, two, end = at + block, at + kd, at + kd + block
        near = np.asfortranarray(upper[at:one, one:two])
        far = np.zeros((block, block), upper.dtype, order="F")
        wide = min(end, len(upper)) - two
        far[:, :wide] = np.tril(upper[at:one, two : two + wide])
        part = np.asfortranarray(work[one:two, one:two])
        work[one:two, one:two] = self._syrk(-1.0, near, 1.0, part, trans=1, overwrite_c=True)
        # Columns beyond those that are carried along are left out below: whatever they become.
        beside, below = np.zeros((two - one, block), upper.dtype, order="F"), far.copy(order="F")
        beside[:, :wide] = work[one:two, two : two + wide]
        below[:] = 0.0
        below[:wide, :wide] = work[two : two + wide, two : two + wide]
        beside = self._gemm(-1.0, near, far, 1.0, beside, trans_a=1, overwrite_c=True)
        below = self._syrk(-1.0, far, 1.0, below, trans=1, overwrite_c=True)
        work[one:two, two : two + wide] = beside[:, :wide]
        work[two : two + wide, two : two + wide] = below[:wide, :wide]

    def solve(self, rows: Array, values: Array, trans: str) -> None:
        """Solve ``U x = values`` ("N"), or ``U^T x = values`` ("T"), in place.

        A window's K columns reach into the kd before them. Put those of identity there: `rows`
        [kd + K, kd + 1] and what is known of them in `values` [kd + K].
        """
        solved, info = self._tbtrs(rows.T, values[:, None], uplo="U", trans=trans)
        if info:
            raise LinAlgError("the clip's normal equations are singular")
        values[:] = solved[:, 0]


def _dense(rows: Array, kd: int) -> Array:
    """The upper triangle [n, n] of n columns [n, kd + 1], rows before the first left out."""
    size = len(rows)
    full = np.zeros((size, size), rows.dtype)
    for j in range(size):
        low = max(0, j - kd)
        full[low : j + 1, j] = rows[j, kd + low - j :]
    return full


Fill = Callable[[int, Array, Array], TimeCoupling]
"""Fills the blocks [F, n, n] and the gradient [F, n] of a window's frames, both zero before; the
coupling of these frames and the (two) before them."""
Done = Callable[[int, Array, bool], None]
"""Is told that the step [K, n] is found for a window's frames, and if these were just filled."""


class WindowedSystem:
    """Normal equations of many frames (see `banded.BandedSystem`), a window of them at a time."""

    memory = 200e6
    """Bytes of factors that are kept for the way back, beside the window that is worked on."""

    def __init__(self, windows: Sequence[slice], dofs: int, dtype: type[np.floating]) -> None:
        self.windows, self.dofs, self.dtype = windows, dofs, dtype
        self.kd = 2 * dofs
        self.factor = Factor(self.kd, dtype)
        self._store: Array | None = None

    def solve(self, fill: Fill, done: Done) -> Array:
        """The step [K, n] that minimises the linearised cost.

        `fill` may be called again for a window, in the same state of things.

        Raises `LinAlgError` when the system is not positive definite or not finite.
        """
        kd, last = self.kd, len(self.windows) - 1
        values = np.empty(self.windows[-1].stop * self.dofs, self.dtype)
        starts, carries, rights = [0], [np.empty((0, kd + 1), self.dtype)], np.empty(0, self.dtype)
        kept: dict[int, Array] = {}
        for k in range(last + 1):
            rows, right = self._filled(k, carries[k], fill)
            carry = self.factor.factorise(rows[kd:], k == last)
            count, start = self.factor.done(len(rows) - kd, k == last), starts[k]
            rights = np.concatenate([rights, right])
            values[start : start + count] = rights[:count]
            rights = rights[count:]
            self._solve(rows, values, start, count, "T")
            if carry is not None:
                carries.append(carry)
                starts.append(start + count)
            if k == last or sum(each.nbytes for each in kept.values()) + rows.nbytes <= self.memory:
                kept[k] = rows
                self._store = None
        step = values.reshape(-1, self.dofs)
        for k in range(last, -1, -1):
            rows, again = kept.pop(k, None), False
            if rows is None:
                rows, again = self._filled(k, carries[k], fill)[0], True
                self.factor.factorise(rows[kd:], k == last)
            count = self.factor.done(len(rows) - kd, k == last)
            self._solve(rows, values, starts[k], count, "N")
            done(k, step, again)
        return step

    def _filled(self, k: int, carry: Array, fill: Fill) -> tuple[Array, Array]:
        """A window's columns [kd + C + F n, kd + 1], of identity, carried and filled; and the
        right-hand side [F n] of the last."""
        kd, n, window = self.kd, self.dofs, self.windows[k]
        frames, before = window.stop - window.start, kd + len(carry)
        columns = before + frames * n
        size = columns * (kd + 1)
        store = self._store
        if store is None or store.size != size + n:
            store = np.zeros(size + n, self.dtype)
        else:
            store[:] = 0.0
        self._store = store
        rows = store[:size].reshape(columns, kd + 1)
        item = store.itemsize
        blocks = as_strided(
            store[before * (kd + 1) + kd :],
            shape=(frames, n, n),
            strides=(n * (kd + 1) * item, kd * item, item),
        )
        gradient = np.zeros((frames, n))
        coupling = fill(k, blocks, gradient)
        right = complete(rows[before:].reshape(frames, n, kd + 1), gradient, coupling)
        rows[:kd, kd] = 1.0
        rows[kd:before] = carry
        return rows, right

    def _solve(self, rows: Array, values: Array, start: int, count: int, trans: str) -> None:
        """Solve for the `count` columns from the clip's column `start` on."""
        kd = self.kd
        if start == 0:
            self.factor.solve(rows[kd : kd + count], values[:count], trans)
        else:
            self.factor.solve(rows[: kd + count], values[start - kd : start + count], trans)
