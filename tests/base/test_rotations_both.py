"""Every function on quaternions in torch does what its numpy counterpart does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mimic_base import rotations as n
from mimic_base import rotations_torch as t

RNG = np.random.default_rng(0)
A = n.quat_normalize(RNG.normal(size=(50, 3, 4)))
B = n.quat_normalize(RNG.normal(size=(50, 3, 4)))
V = RNG.normal(size=(50, 3, 3))


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(n.quat_log(n.quat_mul(n.quat_conj(a), b)), axis=-1)


def from_euler(angles: np.ndarray) -> np.ndarray:
    x, y, z = (n.quat_exp(angles[..., i, None] * np.eye(3)[i]) for i in range(3))
    return n.quat_mul(z, n.quat_mul(y, x))


COUNTERPARTS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "quat_mul": (n.quat_mul, (A, B)),
    "quat_product": (n.quat_mul, (A, B)),
    "quat_to_matrix": (n.quat_to_matrix, (A,)),
    "quat_exp": (n.quat_exp, (V,)),
    "quat_log": (n.quat_log, (A,)),
    "quat_conj": (n.quat_conj, (A,)),
    "quat_rotate": (n.quat_rotate, (A, V)),
    "quat_inv_rotate": (n.quat_inv_rotate, (A, V)),
    "quat_angle": (angle, (A, B)),
    "yaw_quat": (lambda q: n.quat_of_yaw(n.yaw_of_quat(q)), (A,)),
    "first_two_columns": (
        lambda q: n.quat_to_matrix(q)[..., :2].reshape(*q.shape[:-1], 6), (A,)
    ),
    "quat_from_euler_xyz": (from_euler, (V,)),
    "gravity_z": (lambda q: n.quat_inv_rotate(q, np.array([0.0, 0.0, -1.0]))[..., 2], (A,)),
}  # fmt: skip
"""Name in torch: the numpy function or formula, and arguments to compare them on."""


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_torch_and_numpy_agree(name: str) -> None:
    function, arguments = COUNTERPARTS[name]
    found = getattr(t, name)(*(torch.tensor(a) for a in arguments)).numpy()
    np.testing.assert_allclose(found, function(*arguments), atol=1e-9)


def test_no_function_in_torch_is_left_out() -> None:
    public = {
        name
        for name, value in inspect.getmembers(t, inspect.isfunction)
        if value.__module__ == t.__name__ and not name.startswith("_")
    }
    assert public == set(COUNTERPARTS)
