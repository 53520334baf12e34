"""Forward kinematics of trajectories agrees with MuJoCo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

import robots
from robots import Robot
from robots.kinematics import forward_kinematics


def random_states(robot: Robot, count: int) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(3)
    quat = rng.normal(size=(count, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    joints = rng.uniform(robot.joint_lower, robot.joint_upper, (count, robot.num_joints))
    return rng.normal(size=(count, 3)), quat, joints


def assert_like_mujoco(robot: Robot) -> None:
    pos, quat, joints = random_states(robot, 8)
    body_pos, body_quat = forward_kinematics(robot, pos, quat, joints)
    assert body_pos.shape == (8, len(robot.body_names), 3)
    data = mujoco.MjData(robot.model)
    for frame in range(8):
        data.qpos[:] = np.concatenate([pos[frame], quat[frame], joints[frame]])
        mujoco.mj_kinematics(robot.model, data)
        np.testing.assert_allclose(body_pos[frame], data.xpos[1:], atol=1e-12)
        alike = np.abs((body_quat[frame] * data.xquat[1:]).sum(-1))
        np.testing.assert_allclose(alike, 1.0, atol=1e-12)


def test_g1_agrees_with_mujoco(g1: Robot) -> None:
    assert_like_mujoco(g1)


def test_welded_bodies_agree_with_mujoco(tiny: Robot) -> None:
    assert_like_mujoco(tiny)


def test_joint_off_the_body_origin_and_reference_angle(write_tiny: Callable[..., Path]) -> None:
    path = write_tiny(
        xml=('axis="0 1 0" range="-0.8 0.8"', 'axis="0 0.8 0.6" range="-0.8 0.8" '
             'pos="0.02 0.01 0.1" ref="0.2"')
    )  # fmt: skip
    assert_like_mujoco(robots.load(path))


def test_unnormalised_root_quaternion_is_accepted(g1: Robot) -> None:
    pos, quat, joints = random_states(g1, 2)
    exact = forward_kinematics(g1, pos, quat, joints)
    scaled = forward_kinematics(g1, pos, 3.0 * quat, joints)
    np.testing.assert_allclose(scaled[0], exact[0], atol=1e-12)


def test_wrong_shapes_are_refused(g1: Robot) -> None:
    pos, quat, joints = random_states(g1, 3)
    with pytest.raises(ValueError, match="28 joint columns, unitree_g1 has 29"):
        forward_kinematics(g1, pos, quat, joints[:, :-1])
    with pytest.raises(ValueError, match="root pose"):
        forward_kinematics(g1, pos[:2], quat, joints)
