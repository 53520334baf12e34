"""Bodies with several hinges, and hinges off their body's origin: train as they retarget."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from mimic.cli import run
from mimic.sim.kinematics import Kinematics
from motions import read_human_motion
from motions.human import demo
from retarget.pipeline import retarget
from robots import Robot
from robots.derive.add import add_robot
from robots.symmetry import mirror_map
from tests.robots.toy_character import mjcf


@pytest.fixture(scope="module")
def character(tmp_path_factory: pytest.TempPathFactory) -> tuple[Robot, Path]:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.xml").write_text(mjcf())
    return add_robot(folder / "toy.xml", out=folder / "toy.toml").robot, folder


def test_kinematics_agree_with_mujoco(character: tuple[Robot, Path]) -> None:
    robot = character[0]
    model, data = robot.model, mujoco.MjData(robot.model)
    assert max(model.body_jntnum) == 3 and np.abs(model.jnt_pos).max() > 0.05
    model.qpos0[9] = 0.3  # a hinge that reads 0.3 rad where the model is drawn
    kinematics = Kinematics(robot, torch.device("cpu"), torch.float64)
    rng = np.random.default_rng(3)
    for _ in range(5):
        qpos, qvel = rng.normal(size=model.nq), rng.normal(size=model.nv)
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(model, data)
        q = torch.tensor(qpos)[None]
        pos, quat, linear, angular = kinematics(q, torch.tensor(qvel)[None])
        np.testing.assert_allclose(pos[0], data.xpos[1:], atol=1e-9)
        same = np.abs((quat[0].numpy() * data.xquat[1:]).sum(-1))
        np.testing.assert_allclose(same, 1.0, atol=1e-9)
        for body in range(1, model.nbody):
            speed = np.zeros(6)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, speed, 0)
            np.testing.assert_allclose(angular[0, body - 1], speed[:3], atol=1e-9)
            np.testing.assert_allclose(linear[0, body - 1], speed[3:], atol=1e-9)
            one, turn = kinematics.pose_of(body - 1, q[:, :3], q[:, 3:7], q[:, 7:])
            np.testing.assert_allclose(one[0], data.xpos[body], atol=1e-9)
            assert abs(float(turn[0].numpy() @ data.xquat[body])) == pytest.approx(1.0)
    model.qpos0[9] = 0.0


def test_a_character_retargets_and_trains(character: tuple[Robot, Path]) -> None:
    robot, folder = character
    mirror = mirror_map(robot)
    assert sorted(mirror.joint_index) == list(range(robot.num_joints))
    walk = read_human_motion(demo.write("walk", folder / "walk.bvh")).crop(0, 120)
    motion = retarget(walk, robot)
    assert motion.quality["fidelity"]["leg_deg"] < 1.0
    motion.save(folder / "walk.npz")
    arguments = [
        "train", "tracking", "--robot", str(folder / "toy.toml"), "--algorithm", "ppo",
        "--motion", str(folder / "walk.npz"), "--num-envs", "8", "--iterations", "2",
        "--out", str(folder / "runs"),
    ]  # fmt: skip
    assert run(arguments) == 0
    assert list((folder / "runs").glob("*/*/policy.onnx"))
