"""Quaternions in torch: wxyz, unit, batched as [..., 4]; angles in radians."""

from __future__ import annotations

import torch


def quat_mul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Hamilton product: the rotation ``b`` followed by ``a``; leading dimensions broadcast."""
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
