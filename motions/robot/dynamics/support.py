"""The support polygon."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from mimic_base.vectors import Array


def polygon_margin(points: Array, at: Array) -> float:
    """Signed distance [m] of `at` [2] to the edge of the hull of `points` [K, 2]: + inside.

    One point, or points in a line, have no inside: the distance is then zero or negative.
    """
    try:
        corners = points[ConvexHull(points).vertices] if len(points) > 2 else points
    except QhullError:
        corners = _ends(points)
    after = np.roll(corners, -1, axis=0)
    along = after - corners
    length = np.maximum((along * along).sum(1), 1e-18)
    share = np.clip(((at - corners) * along).sum(1) / length, 0.0, 1.0)
    away = np.linalg.norm(at - corners - share[:, None] * along, axis=1).min()
    if len(corners) < 3:
        return -float(away)
    # Corners run counter-clockwise.
    left = along[:, 0] * (at - corners)[:, 1] - along[:, 1] * (at - corners)[:, 0]
    return float(away if (left >= 0.0).all() else -away)


def _ends(points: Array) -> Array:
    """The two ends of points that lie in a line."""
    centred = points - points.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    return points[[int(along.argmin()), int(along.argmax())]]


def polygon_edges(points: Array) -> tuple[Array, Array]:
    """Outward unit normals [E, 2] and offsets [E] m of the hull of `points` [K, 2].

    The inside is ``normals @ at <= offsets``. One point, or points in a line, give a rectangle
    without width; no points give no edges.
    """
    if not len(points):
        return np.zeros((0, 2)), np.zeros(0)
    try:
        equations = ConvexHull(points).equations if len(points) > 2 else None
    except QhullError:
        equations = None
    if equations is not None:
        return equations[:, :2], -equations[:, 2]
    ends = _ends(points) if len(points) > 1 else points
    along = ends[-1] - ends[0]
    length = float(np.linalg.norm(along))
    along = along / length if length > 1e-9 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    normals = np.stack([along, -along, across, -across])
    return normals, (normals @ ends.T).max(axis=1)
