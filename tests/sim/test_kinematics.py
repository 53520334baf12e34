"""Batched kinematics in torch agree with MuJoCo and are differentiable."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

import robots
from mimic.sim.kinematics import Kinematics
from robots import Robot

CPU = torch.device("cpu")
TINY = Path(__file__).parents[1] / "robots"


def random_states(robot: Robot, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(7)
    quat = rng.normal(size=(count, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    joints = rng.uniform(robot.joint_lower, robot.joint_upper, (count, robot.num_joints))
    qpos = np.hstack([rng.normal(size=(count, 3)), quat, joints])
    qvel = rng.normal(size=(count, 6 + robot.num_joints)) * 3
    return torch.from_numpy(qpos), torch.from_numpy(qvel)


def assert_like_mujoco(robot: Robot) -> None:
    qpos, qvel = random_states(robot, 5)
    outputs = Kinematics(robot, CPU, torch.float64)(qpos, qvel)
    pos, quat, lin_vel, ang_vel = (output.numpy() for output in outputs)
    assert pos.shape == (5, len(robot.body_names), 3) and quat.shape[-1] == 4
    data = mujoco.MjData(robot.model)
    for env in range(5):
        data.qpos[:], data.qvel[:] = qpos[env].numpy(), qvel[env].numpy()
        mujoco.mj_forward(robot.model, data)
        np.testing.assert_allclose(pos[env], data.xpos[1:], atol=1e-12)
        np.testing.assert_allclose(np.abs((quat[env] * data.xquat[1:]).sum(-1)), 1.0, atol=1e-12)
        for body in range(1, robot.model.nbody):
            velocity = np.zeros(6)  # angular, linear; of the frame's origin, world axes
            mujoco.mj_objectVelocity(
                robot.model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0
            )
            np.testing.assert_allclose(ang_vel[env, body - 1], velocity[:3], atol=1e-11)
            np.testing.assert_allclose(lin_vel[env, body - 1], velocity[3:], atol=1e-11)


def test_g1_agrees_with_mujoco(g1: Robot) -> None:
    assert_like_mujoco(g1)


def test_welded_bodies_agree_with_mujoco(tiny: Robot) -> None:
    assert_like_mujoco(tiny)


def own_robot(folder: Path, old: str, new: str) -> Robot:
    for name in ("tiny.toml", "tiny.xml"):
        text = (TINY / name).read_text()
        (folder / name).write_text(text.replace(old, new) if name == "tiny.xml" else text)
    return robots.load(folder / "tiny.toml")


def test_joint_reference_angle_agrees_with_mujoco(tmp_path: Path) -> None:
    assert_like_mujoco(own_robot(tmp_path, 'range="-0.8 0.8"', 'range="-0.8 0.8" ref="0.2"'))


def test_single_precision_is_close_to_double(g1: Robot) -> None:
    qpos, qvel = random_states(g1, 16)
    exact = Kinematics(g1, CPU, torch.float64)(qpos, qvel)
    single = Kinematics(g1, CPU)(qpos.float(), qvel.float())
    for a, b in zip(single, exact, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, atol=2e-5, rtol=1e-5)


def test_derivatives_are_right(tiny: Robot) -> None:
    kinematics = Kinematics(tiny, CPU, torch.float64)
    qpos, qvel = random_states(tiny, 2)
    assert torch.autograd.gradcheck(
        kinematics, (qpos.requires_grad_(), qvel.requires_grad_()), fast_mode=True
    )


def test_linear_velocity_is_the_derivative_of_position(g1: Robot) -> None:
    # An independent check of frames: base linear velocity in the world, angular in the base.
    kinematics = Kinematics(g1, CPU, torch.float64)
    qpos, qvel = random_states(g1, 3)
    step = 1e-6
    data_qpos = qpos.numpy().copy()
    for row, velocity in zip(data_qpos, qvel.numpy(), strict=True):
        mujoco.mj_integratePos(g1.model, row, velocity, step)
    moved = kinematics(torch.from_numpy(data_qpos), qvel)
    here = kinematics(qpos, qvel)
    torch.testing.assert_close((moved[0] - here[0]) / step, here[2], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<joint name="left_ankle"', '<joint name="left_ankle" pos="0.1 0 0"'),
        (
            '<joint name="left_ankle" axis="0 1 0" range="-0.8 0.8"/>',
            '<joint name="left_ankle" axis="0 1 0" range="-0.8 0.8"/>'
            '<joint name="left_twist_ankle" axis="1 0 0" range="-0.8 0.8"/>',
        ),
    ],
)
def test_hinges_anywhere_agree_with_mujoco(old: str, new: str, tmp_path: Path) -> None:
    assert_like_mujoco(own_robot(tmp_path, old, new))
