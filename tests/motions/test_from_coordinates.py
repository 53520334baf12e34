"""A motion from base pose and joint angles, with whatever can tell where the bodies are."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import cast

import mujoco
import numpy as np
import pytest

import robots
from motions import InputError, RobotMotion
from robots.kinematics import forward_kinematics
from robots.robot import Robot

PENDULUM = """
<mujoco><worldbody><body name="base"><freejoint/><geom size="0.1"/>
  <body name="rod"><joint name="hinge" axis="1 0 0"/>
    <geom size="0.1"/>
    <body name="tip" pos="0 0 -1"><geom size="0.1"/></body>
  </body>
</body></worldbody></mujoco>
"""
"""A base, and the end of a rod of 1 m below it that turns about the base's x axis."""


def pendulum() -> Robot:
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    robot = SimpleNamespace(
        name="pendulum", model=model, joint_names=("hinge",), num_joints=1,
        body_names=("base", "rod", "tip"),
    )  # fmt: skip
    robot.body_poses = partial(forward_kinematics, cast(Robot, robot))
    return cast(Robot, robot)


def test_all_bodies_move_as_the_coordinates_say() -> None:
    time = np.arange(11) / 10.0
    root = np.stack([time, 0.0 * time, 2.0 + 0.0 * time], axis=1)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (11, 1))
    contact = np.ones((11, 2))
    motion = RobotMotion.from_coordinates(
        pendulum(), root, upright, 0.5 * time[:, None], fps=10.0, contact=contact,
        quality={"frames": 11}, source="clip.bvh", licence="CC0", name="swing",
    )  # fmt: skip
    names = ("base", "rod", "tip")
    assert (motion.robot, motion.body_names, motion.name) == ("pendulum", names, "swing")
    assert (motion.source, motion.licence, motion.quality["frames"]) == ("clip.bvh", "CC0", 11)
    np.testing.assert_array_equal(motion.root_pos, root)
    np.testing.assert_allclose(motion.joint_vel, 0.5)
    tip = np.stack([time, np.sin(0.5 * time), 2.0 - np.cos(0.5 * time)], axis=1)
    np.testing.assert_allclose(motion.body_pos_w[:, 2], tip, atol=1e-12)
    np.testing.assert_allclose(motion.body_lin_vel_w[:, 0], [[1.0, 0.0, 0.0]] * 11, atol=1e-12)
    np.testing.assert_allclose(motion.body_ang_vel_w[:, 1], [[0.5, 0.0, 0.0]] * 11, atol=1e-9)
    np.testing.assert_array_equal(motion.contact, contact)
    short = root[:1], upright[:1], np.zeros((1, 1))
    with pytest.raises(InputError, match="at least two frames"):
        RobotMotion.from_coordinates(pendulum(), *short, fps=10.0)


def test_a_robot_is_all_it_needs() -> None:
    g1 = robots.load("unitree_g1")
    joints = np.stack([g1.default_joint_pos, 0.5 * g1.default_joint_pos])
    root, quat = np.array([[0.0, 0.0, 0.8], [0.1, 0.0, 0.8]]), np.tile([1.0, 0, 0, 0], (2, 1))
    motion = RobotMotion.from_coordinates(g1, root, quat, joints, fps=50.0)
    pos, turned = forward_kinematics(g1, root, quat, joints)
    np.testing.assert_allclose(motion.body_pos_w, pos)
    np.testing.assert_allclose(np.abs((motion.body_quat_w * turned).sum(-1)), 1.0)
    assert motion.robot == "unitree_g1" and motion.joint_names == g1.joint_names
