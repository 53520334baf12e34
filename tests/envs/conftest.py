from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from mimic.envs.environment import Environment, TaskConfig, quiet_task
from mimic.sim import make_engine
from mimic.sim.scene import make_scene
from mimic.tasks.registry import with_motions
from mimic.tasks.tracking import tracking
from motions import RobotMotion
from robots import Robot
from robots.kinematics import forward_kinematics

MakeMotion = Callable[..., RobotMotion]
MakeEnv = Callable[..., Environment]


def sway(
    robot: Robot, *, seconds: float = 2.0, fps: float = 50.0, name: str = "sway"
) -> RobotMotion:
    """All joints swing about the default pose on a drifting, turning base, soles on the ground."""
    frames = round(seconds * fps) + 1
    time = np.arange(frames) / fps
    rng = np.random.default_rng(11)
    phase = rng.uniform(0, 2 * np.pi, robot.num_joints)
    swing = 0.08 * (np.sin(2 * np.pi * 0.5 * time[:, None] + phase) - np.sin(phase))
    joint_pos = np.clip(robot.default_joint_pos + swing, robot.soft_lower, robot.soft_upper)
    yaw = 0.4 * np.sin(0.7 * time)
    root_pos = np.stack([0.1 * time, 0.05 * np.sin(time), np.zeros(frames)], 1)
    root_quat = np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], 1)
    pos, quat = forward_kinematics(robot, root_pos, root_quat, joint_pos)
    lowest = np.full(frames, np.inf)
    for foot, points in zip(robot.feet, robot.sole_points, strict=True):
        body = robot.body_names.index(foot)
        down = 2 * np.stack(  # third row of the foot's rotation matrix
            [
                quat[:, body, 1] * quat[:, body, 3] - quat[:, body, 0] * quat[:, body, 2],
                quat[:, body, 2] * quat[:, body, 3] + quat[:, body, 0] * quat[:, body, 1],
                0.5 - quat[:, body, 1] ** 2 - quat[:, body, 2] ** 2,
            ],
            1,
        )
        lowest = np.minimum(lowest, pos[:, body, 2] + (down @ points.T).min(1))
    root_pos[:, 2] -= lowest
    pos, quat = forward_kinematics(robot, root_pos, root_quat, joint_pos)
    return RobotMotion.build(
        fps=fps, joint_pos=joint_pos, body_pos_w=pos, body_quat_w=quat, robot=robot.name,
        joint_names=robot.joint_names, body_names=robot.body_names, name=name,
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_motion() -> MakeMotion:
    return sway


@pytest.fixture(scope="session")
def motion(g1: Robot) -> RobotMotion:
    return sway(g1)


@pytest.fixture(scope="session")
def long_motion(g1: Robot) -> RobotMotion:
    return sway(g1, seconds=12.0)


@pytest.fixture
def quiet() -> TaskConfig:
    """The task without noise, pushes and randomisation, starting at the first frame."""
    return quiet_task(tracking(), observation_noise=False)


@pytest.fixture
def endless(quiet: TaskConfig) -> TaskConfig:
    """The quiet task without any termination."""
    return replace(quiet, terminations={})


@pytest.fixture(scope="session")
def build(g1: Robot, motion: RobotMotion) -> MakeEnv:
    """Make an environment: G1 on the swaying clip unless told otherwise."""
    scene_of = cache(make_scene)  # compiling the meshes is most of the work

    def make(
        config: TaskConfig | None = None,
        num_envs: int = 3,
        *,
        robot: Robot | None = None,
        motions: Sequence[RobotMotion] | None = None,
        seed: int = 0,
    ) -> Environment:
        scene = scene_of(robot or g1)
        engine = make_engine("mujoco", scene, num_envs, threads=1)
        task = with_motions(config or tracking(), motions or [motion])
        return Environment(task, engine, seed=seed)

    return make


@pytest.fixture
def play() -> Callable[[Environment, int], None]:
    """Advance some steps with small random actions."""

    def run(env: Environment, steps: int) -> None:
        generator = torch.Generator().manual_seed(1)
        for _ in range(steps):
            env.step(0.3 * torch.randn(env.num_envs, env.num_actions, generator=generator))

    return run
