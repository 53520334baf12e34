"""Left-right symmetry found in the kinematics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic_base.errors import RobotError
from robots import Robot
from robots.kinematics import forward_kinematics
from robots.symmetry import mirror_map


def test_a_mirrored_configuration_has_mirrored_poses(g1: Robot) -> None:
    mirror = mirror_map(g1)
    rng = np.random.default_rng(0)
    joints = rng.uniform(g1.joint_lower, g1.joint_upper, (6, g1.num_joints))
    root = rng.normal(size=(6, 3))
    turn = rng.normal(size=(6, 4))
    pos, quat = forward_kinematics(g1, root, turn, joints)
    mirrored_joints = mirror.joint_sign * joints[:, mirror.joint_index]
    other_pos, other_quat = forward_kinematics(
        g1, root * [1, -1, 1], turn * [1, -1, 1, -1], mirrored_joints
    )
    expected = (pos * [1, -1, 1])[:, mirror.body_index]
    np.testing.assert_allclose(other_pos, expected, atol=2e-5)
    cosine = np.abs((other_quat * (quat * [1, -1, 1, -1])[:, mirror.body_index]).sum(-1))
    np.testing.assert_allclose(cosine, 1.0, atol=1e-9)


def test_pairs_are_left_and_right(g1: Robot) -> None:
    mirror = mirror_map(g1)
    partners = [g1.joint_names[i] for i in mirror.joint_index]
    for name, partner in zip(g1.joint_names, partners, strict=True):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert partner == swapped
    signs = dict(zip(g1.joint_names, mirror.joint_sign, strict=True))
    assert signs["left_knee_joint"] == 1 and signs["left_hip_roll_joint"] == -1
    assert signs["waist_pitch_joint"] == 1 and signs["waist_yaw_joint"] == -1


def test_mirroring_twice_changes_nothing(g1: Robot) -> None:
    mirror = mirror_map(g1)
    values = np.arange(1.0, g1.num_joints + 1)
    once = mirror.joint_sign * values[mirror.joint_index]
    np.testing.assert_array_equal(mirror.joint_sign * once[mirror.joint_index], values)


def test_a_lopsided_robot_is_refused(g1: Robot) -> None:
    spec = g1.spec()
    spec.body("left_knee_link").pos[0] += 0.05
    lopsided = replace(g1, model=spec.compile())
    with pytest.raises(RobotError, match="left_knee.*no mirror image"):
        mirror_map(lopsided)
