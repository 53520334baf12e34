"""The sole of a foot from its geometry: a few spheres that stand for it, and its axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robots.derive.anatomy import Array, Guess


@dataclass(frozen=True)
class Sole:
    """A flat sole in the frame of the foot's body.

    Attributes:
        points: [4, 3] m, corners of the sole: heel left, heel right, ball left, ball right.
        radius: m, of the spheres that stand for it; they touch the sole from within.
        up, forward: [3] unit vectors.
    """

    points: Array
    radius: float
    up: Array
    forward: Array
    guess: Guess

    def centres(self) -> Array:
        """[4, 3] m centres of the spheres."""
        return self.points + self.radius * self.up


def find_sole(points: Array, pos: Array, mat: Array, leg: float) -> Sole:
    """Sole of a foot whose geometry has world `points` [K, 3] m at the zero pose.

    Args:
        pos, mat: [3] m, [3, 3] of the foot's body. leg: length of the leg, m, as a scale.
    """
    lowest = float(points[:, 2].min())
    flat = points[points[:, 2] < lowest + 0.004 * leg]
    for slab in (0.02, 0.05, 0.1):  # round feet touch the ground in a few points only
        low = points[points[:, 2] < lowest + slab * leg]
        x0, x1 = np.percentile(low[:, 0], (1, 99))
        length = float(x1 - x0)
        if length > 0.12 * leg:
            break
    radius = 0.006 * leg
    corners = []
    for end, sign in ((x0, 1.0), (x1, -1.0)):
        # Width near that end: feet taper.
        near = low[sign * (low[:, 0] - end) <= 0.3 * length]
        y0, y1 = np.percentile(near[:, 1], (2, 98))
        if y1 - y0 < 2.0 * radius:
            y0 = y1 = 0.5 * (y0 + y1)
            y0, y1 = y0 - 0.5 * radius, y1 + 0.5 * radius
        else:
            y0, y1 = y0 + radius, y1 - radius
        corners += [[end + sign * radius, y1, lowest], [end + sign * radius, y0, lowest]]
    world = np.array(corners)
    spread = float(np.ptp(flat[:, 0])) / max(length, 1e-9)
    good = 0.12 * leg < length < 0.6 * leg
    confidence = (0.9 if good else 0.4) * (1.0 if spread > 0.5 else 0.7)
    reason = (
        f"lowest geometry of the foot: {1000 * length:.0f} mm long, "
        f"{'level' if spread > 0.5 else 'touching the ground in part'} at the zero pose"
    )
    return Sole(
        points=(world - pos) @ mat,
        radius=radius,
        up=mat.T @ np.array([0.0, 0.0, 1.0]),
        forward=mat.T @ np.array([1.0, 0.0, 0.0]),
        guess=Guess(round(confidence, 2), reason),
    )
