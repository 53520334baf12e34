"""Quaternions in torch: wxyz, unit, batched as [..., 4]; angles in radians.

Where a gradient is wanted, products are written as one matrix product with a table: thirty small
operations would be ninety on the way back.
"""

from __future__ import annotations

from functools import cache

import torch


def _wants_gradient(*values: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(each.requires_grad for each in values)


def _products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[..., 16] the products of every component of a with every one of b."""
    return (a[..., :, None] * b[..., None, :]).flatten(-2)


@cache
def _hamilton_table(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[16, 4]: the Hamilton product as a linear function of the products a_i b_j."""
    table = torch.zeros(4, 4, 4, dtype=dtype)
    table[0, 0, 0] = 1.0
    for i in range(1, 4):
        table[0, i, i] = table[i, 0, i] = 1.0
        table[i, i, 0] = -1.0
    for i, j, k in ((1, 2, 3), (2, 3, 1), (3, 1, 2)):
        table[i, j, k], table[j, i, k] = 1.0, -1.0
    return table.reshape(16, 4).to(device)


@cache
def _matrix_table(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[16, 9]: the rotation matrix, row by row, as a linear function of the products q_i q_j."""
    table = torch.zeros(4, 4, 3, 3, dtype=dtype)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        table[0, 0, i, i] = table[i + 1, i + 1, i, i] = 1.0
        table[j + 1, j + 1, i, i] = table[k + 1, k + 1, i, i] = -1.0
        table[i + 1, j + 1, i, j] = table[i + 1, j + 1, j, i] = 2.0
        table[0, k + 1, i, j], table[0, k + 1, j, i] = -2.0, 2.0
    return table.reshape(16, 9).to(device)


def quat_to_matrix(quat: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] of unit quaternions."""
    table = _matrix_table(quat.dtype, quat.device)
    return (_products(quat, quat) @ table).unflatten(-1, (3, 3))


def quat_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``quat_mul`` in few operations, whether or not a gradient is wanted."""
    return _products(a, b) @ _hamilton_table(a.dtype, a.device)


def quat_mul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Hamilton product: the rotation ``b`` followed by ``a``; leading dimensions broadcast."""
    if _wants_gradient(a, b):
        return quat_product(a, b)
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def quat_conj(quat: torch.Tensor) -> torch.Tensor:
    """Inverse rotation of a unit quaternion."""
    return torch.cat([quat[..., :1], -quat[..., 1:]], -1)


def quat_rotate(quat: torch.Tensor, vec: torch.Tensor) -> torch.Tensor:
    """Rotate vectors [..., 3] from the body frame into the world; leading dimensions broadcast."""
    if _wants_gradient(quat, vec):
        return (quat_to_matrix(quat) @ vec[..., None]).squeeze(-1)
    w, x, y, z = quat.unbind(-1)
    a, b, c = vec.unbind(-1)
    tx = 2.0 * (y * c - z * b)
    ty = 2.0 * (z * a - x * c)
    tz = 2.0 * (x * b - y * a)
    return torch.stack(
        [
            a + w * tx + y * tz - z * ty,
            b + w * ty + z * tx - x * tz,
            c + w * tz + x * ty - y * tx,
        ],
        -1,
    )


def quat_inv_rotate(quat: torch.Tensor, vec: torch.Tensor) -> torch.Tensor:
    """Rotate vectors [..., 3] from the world into the body frame."""
    return quat_rotate(quat_conj(quat), vec)


def quat_angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angle in [0, pi] between two rotations, exact also near zero."""
    # Half the angle between the unit 4-vectors a and b (or -b, the same rotation) is a quarter of
    # the rotation's.
    difference = (a - b).square().sum(-1)
    total = (a + b).square().sum(-1)
    # The smallest normal number keeps the root's derivative finite between equal rotations.
    small = torch.minimum(difference, total).clamp_min(torch.finfo(a.dtype).tiny)
    large = torch.maximum(difference, total)
    return 4.0 * torch.atan2(small.sqrt(), large.sqrt())


def yaw_quat(quat: torch.Tensor) -> torch.Tensor:
    """The rotation about the world's z axis contained in ``quat``."""
    w, x, y, z = quat.unbind(-1)
    half = 0.5 * torch.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    zero = torch.zeros_like(half)
    return torch.stack([torch.cos(half), zero, zero, torch.sin(half)], -1)


def first_two_columns(quat: torch.Tensor) -> torch.Tensor:
    """First two columns of the rotation matrix, row by row, [..., 6] (Zhou et al. 2019)."""
    if _wants_gradient(quat):
        return quat_to_matrix(quat)[..., :2].flatten(-2)
    w, x, y, z = quat.unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
            2 * (x * z - w * y), 2 * (y * z + w * x),
        ],
        -1,
    )  # fmt: skip


def quat_from_euler_xyz(roll_pitch_yaw: torch.Tensor) -> torch.Tensor:
    """Quaternion of roll, pitch, yaw [..., 3] (rotation about z after y after x)."""
    half = 0.5 * roll_pitch_yaw
    cr, cp, cy = torch.cos(half).unbind(-1)
    sr, sp, sy = torch.sin(half).unbind(-1)
    return torch.stack(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ],
        -1,
    )


def gravity_z(quat: torch.Tensor) -> torch.Tensor:
    """z component, in the body frame, of the unit gravity vector (-1 when upright)."""
    x, y = quat[..., 1], quat[..., 2]
    return 2.0 * (x * x + y * y) - 1.0


def quat_exp(vector: torch.Tensor) -> torch.Tensor:
    """Quaternions [..., 4] of rotation vectors [..., 3] (rad)."""
    angle = (vector.square().sum(-1, keepdim=True) + 1e-14).sqrt()
    half = 0.5 * angle
    return torch.cat([torch.cos(half), vector * (torch.sin(half) / angle)], -1)


def quat_log(quat: torch.Tensor) -> torch.Tensor:
    """Rotation vectors [..., 3] (rad, at most pi long) of unit quaternions [..., 4]."""
    w, v = quat[..., :1], quat[..., 1:]
    v = torch.where(w < 0, -v, v)
    sine = (v.square().sum(-1, keepdim=True) + 1e-14).sqrt()
    return v * (2.0 * torch.atan2(sine, w.abs()) / sine)
