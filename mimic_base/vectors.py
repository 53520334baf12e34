"""Small helpers for vectors and angles; arrays are [..., 3] in metres or of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import cross, dot, norm

Array = NDArray[Any]

UP = np.array([0.0, 0.0, 1.0])
_TINY = 1e-12


def unit(v: Array) -> Array:
    """Vectors of length one; a zero vector stays zero instead of becoming NaN."""
    return v / np.maximum(norm(v)[..., None], _TINY)


def across(v: Array, axis: Array) -> Array:
    """The unit part of `v` that is perpendicular to the unit vector `axis`."""
    return unit(v - dot(v, axis)[..., None] * axis)


def rotate_about(v: Array, axis: Array, angle: Array) -> Array:
    """`v` turned by `angle` [...] about the unit vector `axis` (Rodrigues)."""
    c, s = np.cos(angle)[..., None], np.sin(angle)[..., None]
    return c * v + s * cross(axis, v) + (1 - c) * dot(axis, v)[..., None] * axis


def angle_about(a: Array, b: Array, axis: Array) -> Array:
    """Signed angle [...] about `axis` that turns `a` into `b`, both perpendicular to it."""
    return np.arctan2(dot(cross(a, b), axis), dot(a, b))


def smoothstep(x: Array, lower: float, upper: float) -> Array:
    """0 below `lower`, 1 above `upper`, a smooth cubic between."""
    t = np.minimum(np.maximum((x - lower) / (upper - lower), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def robust_direction(v: Array, weight: Array) -> Array:
    """Weighted mean direction [3] of unit vectors [T, 3], outliers beyond 20 degrees left out."""
    weight = np.maximum(weight, 1e-6)
    mean = unit((weight[:, None] * v).sum(axis=0))
    for _ in range(5):
        near = weight * smoothstep(dot(v, mean), np.cos(np.radians(20)), np.cos(np.radians(8)))
        if near.sum() < 0.05 * weight.sum():
            break
        mean = unit((near[:, None] * v).sum(axis=0))
    return mean


def turned_within(v: Array, centre: Array, most: float) -> Array:
    """Unit vector `v` [3], or what of its turn away from `centre` is allowed (rad)."""
    angle = float(np.arccos(np.clip(v @ centre, -1.0, 1.0)))
    if angle <= most:
        return v
    return rotate_about(centre, unit(cross(centre, v)), np.array(most))


def median(x: Array, weight: Array) -> float:
    """The weighted median of `x` [T]; the plain one where all weights [T] are zero."""
    order = np.argsort(x)
    total = np.cumsum(weight[order])
    return (
        float(x[order][np.searchsorted(total, 0.5 * total[-1])])
        if total[-1] > 0
        else float(np.median(x))
    )


def circular_median(angle: Array, weight: Array) -> float:
    """The weighted median of angles [T] rad, taken around their weighted mean direction."""
    if weight.sum() <= 1e-9:
        weight = np.ones_like(weight)
    centre = np.angle((weight * np.exp(1j * angle)).sum())
    offset = np.angle(np.exp(1j * (angle - centre)))
    return float(centre + median(offset, weight))
