"""Torch quaternions against scipy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mimic_base import rotations_torch as r

RANDOM = Rotation.from_quat(np.random.default_rng(0).normal(size=(20, 4)))
OTHER = Rotation.from_quat(np.random.default_rng(1).normal(size=(20, 4)))
VECTOR = torch.tensor(np.random.default_rng(2).normal(size=(20, 3)))


def wxyz(rotation: Rotation) -> torch.Tensor:
    return torch.tensor(rotation.as_quat()[..., [3, 0, 1, 2]])


def scipy(quat: torch.Tensor) -> Rotation:
    return Rotation.from_quat(quat.numpy()[..., [1, 2, 3, 0]])


def same(a: Rotation, b: Rotation) -> None:
    np.testing.assert_allclose((a * b.inv()).magnitude(), 0.0, atol=1e-7)


def test_product_conjugate_and_rotation() -> None:
    same(scipy(r.quat_mul(wxyz(RANDOM), wxyz(OTHER))), RANDOM * OTHER)
    same(scipy(r.quat_conj(wxyz(RANDOM))), RANDOM.inv())
    np.testing.assert_allclose(r.quat_rotate(wxyz(RANDOM), VECTOR), RANDOM.apply(VECTOR.numpy()))
    np.testing.assert_allclose(
        r.quat_inv_rotate(wxyz(RANDOM), VECTOR), RANDOM.inv().apply(VECTOR.numpy())
    )


def test_rotation_broadcasts_over_bodies() -> None:
    quat, vectors = wxyz(RANDOM)[:, None], VECTOR[:, None].expand(-1, 4, -1)
    rotated = r.quat_rotate(quat, vectors)
    assert rotated.shape == (20, 4, 3)
    torch.testing.assert_close(rotated[:, 3], r.quat_rotate(wxyz(RANDOM), VECTOR))


def test_angle_is_the_shortest_whatever_the_signs() -> None:
    wanted = (RANDOM.inv() * OTHER).magnitude()
    np.testing.assert_allclose(r.quat_angle(wxyz(RANDOM), wxyz(OTHER)), wanted, atol=1e-9)
    np.testing.assert_allclose(r.quat_angle(-wxyz(RANDOM), wxyz(OTHER)), wanted, atol=1e-9)
    small = Rotation.from_rotvec([1e-5, 0, 0]) * RANDOM
    np.testing.assert_allclose(r.quat_angle(wxyz(RANDOM), wxyz(small)), 1e-5, rtol=1e-4)


def test_yaw_is_the_heading_of_the_x_axis() -> None:
    heading = RANDOM.apply([1.0, 0.0, 0.0])
    yaw = np.arctan2(heading[:, 1], heading[:, 0])
    wanted = Rotation.from_rotvec(yaw[:, None] * [0.0, 0.0, 1.0])
    same(scipy(r.yaw_quat(wxyz(RANDOM))), wanted)


def test_two_columns_row_by_row() -> None:
    wanted = RANDOM.as_matrix()[:, :, :2].reshape(20, 6)
    np.testing.assert_allclose(r.first_two_columns(wxyz(RANDOM)), wanted, atol=1e-12)


def test_euler_angles_turn_about_fixed_axes() -> None:
    angles = np.random.default_rng(3).uniform(-1, 1, (20, 3))
    same(scipy(r.quat_from_euler_xyz(torch.tensor(angles))), Rotation.from_euler("xyz", angles))


def test_projected_gravity() -> None:
    wanted = RANDOM.inv().apply([0.0, 0.0, -1.0])[:, 2]
    np.testing.assert_allclose(r.gravity_z(wxyz(RANDOM)), wanted, atol=1e-12)


def test_products_by_tables_are_the_same_and_have_the_same_gradients() -> None:
    """Where a gradient is wanted, other operations compute the same functions."""
    generator = torch.Generator().manual_seed(0)
    quats = torch.randn(5, 7, 4, generator=generator, dtype=torch.float64)
    quats = torch.nn.functional.normalize(quats, dim=-1)
    other = quats.flip(0)[:, :1]
    vec = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    for function, arguments in (
        (r.quat_mul, (quats, other)),
        (r.quat_rotate, (quats, vec)),
        (r.quat_inv_rotate, (other, vec)),
        (r.first_two_columns, (quats,)),
    ):
        plain = function(*arguments)
        wanted = tuple(each.clone().requires_grad_() for each in arguments)
        torch.testing.assert_close(function(*wanted), plain)
        assert torch.autograd.gradcheck(function, wanted)
    assert torch.equal(r.quat_product(quats, other), r.quat_mul(quats.requires_grad_(), other))
