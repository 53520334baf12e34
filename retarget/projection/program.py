"""A linear programme, put together block by block and solved by HiGHS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from mimic_base.vectors import Array

Term = tuple[Array, Array | float]
"""Indices of variables [R], and their coefficients in R rows."""


class LinearProgram:
    """Minimises ``cost @ x`` under rows ``A x <= b`` and bounds on the variables.

    HiGHS (Huangfu and Hall 2018, "Parallelizing the dual revised simplex method"), by scipy.
    """

    def __init__(self) -> None:
        self.count = 0
        self._cost: list[Array] = []
        self._lower: list[Array] = []
        self._upper: list[Array] = []
        self._rows = 0
        self._entries: list[tuple[Array, Array, Array]] = []
        self._bound: list[Array] = []

    def variables(
        self,
        shape: int | tuple[int, ...],
        cost: float = 0.0,
        lower: float | Array = 0.0,
        upper: float | Array = np.inf,
    ) -> Array:
        """Indices of new variables, in an array of this shape; bounds are broadcast to it."""
        index = self.count + np.arange(int(np.prod(shape))).reshape(shape)
        for store, value in ((self._cost, cost), (self._lower, lower), (self._upper, upper)):
            store.append(np.broadcast_to(value, index.shape).astype(float).ravel())
        self.count += index.size
        return index

    def at_most(self, terms: Sequence[Term], bound: Array | float) -> None:
        """Rows: the sum of the terms, each over R variables, is at most `bound` [R]."""
        if not len(terms[0][0]):
            return
        rows = np.arange(len(terms[0][0]))
        for index, coefficient in terms:
            value = np.broadcast_to(coefficient, rows.shape).astype(float)
            self._entries.append((self._rows + rows, index, value))
        self._rows += len(rows)
        self._bound.append(np.broadcast_to(bound, rows.shape).astype(float))

    def within(self, terms: Sequence[Term], reach: Sequence[Term], centre: Array | float) -> None:
        """Rows: the sum of `terms` plus `centre` is at most the sum of `reach`, either sign."""
        less = [(index, -np.asarray(value)) for index, value in reach]
        self.at_most([*terms, *less], -np.asarray(centre))
        self.at_most([(i, -np.asarray(v)) for i, v in terms] + less, np.asarray(centre))

    def solve(self) -> Array | None:
        """The best values of all variables; None where the solver found none."""
        row, column, value = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        matrix = coo_matrix((value, (row, column)), shape=(self._rows, self.count)).tocsr()
        bounds = np.stack([np.concatenate(self._lower), np.concatenate(self._upper)], axis=1)
        found = linprog(
            np.concatenate(self._cost),
            A_ub=matrix,
            b_ub=np.concatenate(self._bound),
            bounds=bounds,
            method="highs",
        )
        return None if found.x is None else np.asarray(found.x)
