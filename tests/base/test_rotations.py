"""Quaternions against scipy, and the places where formulas break."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mimic_base import rotations as r

RNG = np.random.default_rng(0)
A = r.quat_normalize(RNG.normal(size=(40, 4)))
B = r.quat_normalize(RNG.normal(size=(40, 4)))
V = RNG.normal(size=(40, 3))


def _scipy(q: np.ndarray) -> Rotation:
    return Rotation.from_quat(q, scalar_first=True)


def test_against_scipy() -> None:
    assert np.allclose(r.quat_to_matrix(r.quat_mul(A, B)), (_scipy(A) * _scipy(B)).as_matrix())
    assert np.allclose(r.quat_rotate(A, V), _scipy(A).apply(V))
    assert np.allclose(r.quat_inv_rotate(A, V), _scipy(A).inv().apply(V))
    assert np.allclose(r.quat_log(A), _scipy(A).as_rotvec())
    assert np.allclose(r.quat_to_matrix(r.quat_exp(V)), Rotation.from_rotvec(V).as_matrix())


def test_matrix_to_quat_near_half_turns() -> None:
    turns = np.concatenate([A, np.eye(4), [[1e-9, 0.6, 0.8, 0]]])
    q = r.matrix_to_quat(r.quat_to_matrix(turns))
    assert np.allclose(np.abs(np.sum(q * turns, axis=-1)), 1)


def test_small_and_zero_rotations() -> None:
    tiny = np.array([[0.0, 0, 0], [1e-12, 0, 0], [0, 3e-5, 0]])
    assert np.allclose(r.quat_log(r.quat_exp(tiny)), tiny, atol=1e-18, rtol=1e-9)


def test_slerp_takes_the_short_way_and_is_even() -> None:
    assert np.allclose(r.slerp(A, B, np.zeros(40)), A)
    assert np.allclose(r.quat_to_matrix(r.slerp(A, -B, np.ones(40))), r.quat_to_matrix(B))
    angle = np.linalg.norm(
        r.quat_log(r.quat_mul(r.quat_conj(A), r.slerp(A, B, np.full(40, 0.25)))), axis=-1
    )
    assert np.allclose(
        angle, 0.25 * np.linalg.norm(r.quat_log(r.quat_mul(r.quat_conj(A), B)), axis=-1)
    )


def test_continuous_signs() -> None:
    q = r.quat_exp(np.linspace(0, 8, 50)[:, None] * np.array([0, 0, 1.0]))[:, None]
    q = np.concatenate([q, q], axis=1)
    q[::3, 0] *= -1
    smooth = r.quat_continuous(q)
    assert (np.sum(smooth[1:] * smooth[:-1], axis=-1) > 0).all()
    assert np.allclose(r.quat_to_matrix(smooth), r.quat_to_matrix(q))


@pytest.mark.parametrize("yaw", [-3.0, -1.0, 0.0, 2.0])
def test_yaw(yaw: float) -> None:
    assert r.yaw_of_quat(r.quat_of_yaw(yaw)) == pytest.approx(yaw)
    tilted = r.quat_mul(r.quat_of_yaw(yaw), r.quat_exp([0, 0.4, 0]))
    assert r.yaw_of_quat(tilted) == pytest.approx(yaw)


def test_angular_velocity_in_the_world_frame() -> None:
    t = np.arange(20) / 50
    q = r.quat_mul(r.quat_exp(t[:, None] * np.array([0.0, 2.0, 0])), r.quat_exp([0.7, 0, 0]))
    assert np.allclose(r.angular_velocity(q, 50), [0, 2.0, 0])
