"""Imported once by the process that a batch's workers are forked from.

Whatever the first clip would import is imported here, and numba made ready, so that no worker does
it again.
"""

from __future__ import annotations

import scipy.sparse.linalg  # noqa: F401

from retarget.solvers.compiled import warm_up

warm_up()
