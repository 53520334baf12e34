"""Quaternions in numpy: wxyz, Hamilton product, unit length, batched as [..., 4].

Angles are in radians. Leading dimensions broadcast as in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.stretches import stretches

Array = NDArray[Any]

_SMALL = 1e-8


def quat_normalize(q: ArrayLike) -> Array:
    """Unit quaternions from non-zero ones, [..., 4]."""
    q = np.asarray(q, dtype=np.float64)
    return q / norm(q)[..., None]


def quat_mul(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product: the rotation `b` followed by `a`, [..., 4]."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b), -1, 0)
    w = aw * bw - ax * bx - ay * by - az * bz
    out = np.empty((*np.shape(w), 4), dtype=w.dtype)
    out[..., 0] = w
    out[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    out[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    out[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return out


def quat_conj(q: ArrayLike) -> Array:
    """Conjugate, the inverse of a unit quaternion, [..., 4]."""
    return np.asarray(q) * np.array([1.0, -1.0, -1.0, -1.0])


def cross(a: Array, b: Array) -> Array:
    """Cross product over the last axis, [..., 3]: `np.cross` at a third of its price for few rows.

    Its arithmetic is the same to the last bit.
    """
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    x = ay * bz - az * by
    out = np.empty((*np.shape(x), 3))
    out[..., 0], out[..., 1], out[..., 2] = x, az * bx - ax * bz, ax * by - ay * bx
    return out


def dot(a: Array, b: Array) -> Array:
    """Inner product over the last axis, [...]; ``(a * b).sum(-1)`` to the last bit.

    NumPy adds up an axis of three or four numbers at six times the price.
    """
    product = a * b
    if product.shape[-1] not in (3, 4):
        return product.sum(-1)
    total = product[..., 0] + product[..., 1]
    total = total + product[..., 2]
    return total if product.shape[-1] == 3 else total + product[..., 3]


def norm(v: Array) -> Array:
    """Length over the last axis, [...]; `np.linalg.norm` to the last bit, see `dot`."""
    return np.sqrt(dot(v, v))


def quat_rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotate vectors `v` [..., 3] by `q` [..., 4]."""
    q, v = np.asarray(q), np.asarray(v)
    w, u = q[..., :1], q[..., 1:]
    t = 2.0 * cross(u, v)
    return v + w * t + cross(u, t)


def quat_inv_rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotate vectors `v` [..., 3] by the inverse of `q` [..., 4]."""
    return quat_rotate(quat_conj(q), v)


def quat_to_matrix(q: ArrayLike) -> Array:
    """Rotation matrices [..., 3, 3] of unit quaternions [..., 4]."""
    w, x, y, z = np.moveaxis(np.asarray(q), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quat(m: ArrayLike) -> Array:
    """Unit quaternions [..., 4] (w >= 0) of rotation matrices [..., 3, 3].

    All four of Shepperd's formulas are evaluated and the best conditioned one is taken.
    """
    m = np.asarray(m, dtype=np.float64)
    m00, m01, m02 = m[..., 0, 0], m[..., 0, 1], m[..., 0, 2]
    m10, m11, m12 = m[..., 1, 0], m[..., 1, 1], m[..., 1, 2]
    m20, m21, m22 = m[..., 2, 0], m[..., 2, 1], m[..., 2, 2]
    candidates = np.stack(
        [
            np.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], axis=-1),
            np.stack([m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20], axis=-1),
            np.stack([m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m21 + m12], axis=-1),
            np.stack([m10 - m01, m02 + m20, m21 + m12, 1 - m00 - m11 + m22], axis=-1),
        ],
        axis=-2,
    )
    diagonal = np.diagonal(candidates, axis1=-2, axis2=-1)
    best = np.argmax(diagonal, axis=-1)[..., None, None]
    q = quat_normalize(np.take_along_axis(candidates, best, axis=-2)[..., 0, :])
    return np.where(q[..., :1] < 0, -q, q)


def quat_exp(v: ArrayLike) -> Array:
    """Unit quaternions [..., 4] of rotation vectors [..., 3] (axis times angle)."""
    v = np.asarray(v, dtype=np.float64)
    half = 0.5 * norm(v)[..., None]
    # np.sinc(x) is sin(pi x) / (pi x): smooth at zero, no division to guard.
    return np.concatenate([np.cos(half), 0.5 * v * np.sinc(half / np.pi)], axis=-1)


def quat_log(q: ArrayLike) -> Array:
    """Rotation vectors [..., 3] of unit quaternions, the short way round (angle <= pi)."""
    q = np.asarray(q, dtype=np.float64)
    q = np.where(q[..., :1] < 0, -q, q)
    w, u = q[..., :1], q[..., 1:]
    s = norm(u)[..., None]
    angle = 2.0 * np.arctan2(s, w)
    return u * np.where(s > _SMALL, angle / np.maximum(s, _SMALL), 2.0)


def slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Array:
    """Spherical interpolation from `a` (t=0) to `b` (t=1), the short way; `t` is [...]."""
    a = np.asarray(a, dtype=np.float64)
    step = quat_log(quat_mul(quat_conj(a), b))
    return quat_normalize(quat_mul(a, quat_exp(np.asarray(t)[..., None] * step)))


def quat_continuous(q: ArrayLike) -> Array:
    """Flip signs along the first axis so that neighbours never point opposite ways, [T, ..., 4]."""
    q = np.array(q, dtype=np.float64)
    if len(q) < 2:
        return q
    before, flipped = q[:1].copy(), np.zeros(q.shape[1:-1], int)
    for part in stretches(len(q)):
        # The neighbours as they were given: each flip turns all that follow.
        given = np.concatenate([before, q[part]])
        before = given[-1:].copy()
        opposite = dot(given[1:], given[:-1]) < 0
        turns = flipped + np.cumsum(opposite, axis=0)
        flipped = turns[-1]
        q[part][turns % 2 == 1] *= -1
    return q


def yaw_of_quat(q: ArrayLike) -> Array:
    """Heading [...]: the angle about world z of the body's x axis, in the ground plane."""
    w, x, y, z = np.moveaxis(np.asarray(q), -1, 0)
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def quat_of_yaw(yaw: ArrayLike) -> Array:
    """Rotation by `yaw` [...] about world z, [..., 4]."""
    half = 0.5 * np.asarray(yaw, dtype=np.float64)
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def yaw_quat(q: ArrayLike) -> Array:
    """The rotation [..., 4] about world z that has the heading of `q` [..., 4]."""
    return quat_of_yaw(yaw_of_quat(q))


def first_two_columns(q: ArrayLike) -> Array:
    """First two columns of the rotation matrix, row by row, [..., 6] (Zhou et al. 2019)."""
    matrix = quat_to_matrix(q)
    return matrix[..., :2].reshape(*matrix.shape[:-2], 6)


def angular_velocity(q: ArrayLike, fps: float) -> Array:
    """World-frame angular velocity [T, ..., 3] in rad/s of unit quaternions [T, ..., 4].

    Central differences inside, one-sided at both ends, as `numpy.gradient` does for positions.
    Needs at least two frames.
    """
    q = np.asarray(q, dtype=np.float64)
    last = len(q) - 1
    result = np.empty((*q.shape[:-1], 3))
    for part in stretches(len(q)):
        at = np.arange(part.start, part.stop)
        low, high = np.maximum(at - 1, 0), np.minimum(at + 1, last)
        rate = (fps / (high - low)).reshape(-1, *([1] * (q.ndim - 1)))
        result[part] = quat_log(quat_mul(q[high], quat_conj(q[low]))) * rate
    return result
