"""Points and labels of a C3D file through the library ezc3d (MIT)."""

from __future__ import annotations

from typing import Any

import ezc3d
import numpy as np

# The generated half of the package: the other makes a dictionary of all that the file holds.
_library: Any = ezc3d.ezc3d


def read(file: str) -> dict[str, Any]:
    """What a reader needs of a C3D file.

    Returns:
        ``labels`` [M] of the markers, ``points`` [M, T, 3] in the file's unit (NaN where a marker
        is lost), ``rate`` frames/s and ``unit``, both None where the file says nothing.

    Raises:
        Exception: of any kind that the library throws at a broken file.
    """
    content = _library.c3d(file)
    point = content.parameters().group("POINT")
    labels = [str(name) for name in point.parameter("LABELS").valuesAsString()]
    rate = list(point.parameter("RATE").valuesAsDouble()) if point.isParameter("RATE") else []
    units = list(point.parameter("UNITS").valuesAsString()) if point.isParameter("UNITS") else []
    # [4, markers, frames] in the library; the fourth is one.
    points = np.transpose(np.asarray(content.get_points(), np.float64)[:3], (1, 2, 0))
    return {
        "labels": labels,
        "points": points,
        "rate": float(rate[0]) if rate else None,
        "unit": str(units[0]) if units else None,
    }
