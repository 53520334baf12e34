"""Reflected observations are those of the reflected world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.symmetry import reflections
from mimic.envs.terms import ObservationTerm
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot
from robots.kinematics import forward_kinematics
from robots.symmetry import mirror_map

FLIP = torch.tensor([1.0, -1.0, 1.0])


def mirrored_clip(robot: Robot, motion: RobotMotion) -> RobotMotion:
    mirror = mirror_map(robot)
    joints = mirror.joint_sign * motion.joint_pos[:, mirror.joint_index]
    pos, quat = forward_kinematics(
        robot, motion.body_pos_w[:, 0] * [1, -1, 1], motion.body_quat_w[:, 0] * [1, -1, 1, -1],
        joints,
    )  # fmt: skip
    return RobotMotion.build(
        fps=motion.fps, joint_pos=joints, body_pos_w=pos, body_quat_w=quat, robot=robot.name,
        joint_names=robot.joint_names, body_names=robot.body_names, name="mirrored",
    )  # fmt: skip


def test_a_reflected_world_is_seen_reflected(
    build: Callable[..., Environment], g1: Robot, motion: RobotMotion, endless: TaskConfig
) -> None:
    mirror = mirror_map(g1)
    env = build(endless, num_envs=4)
    other = build(endless, num_envs=4, motions=[mirrored_clip(g1, motion)])
    reflect = reflections(env)
    generator = torch.Generator().manual_seed(1)
    actions = 0.3 * torch.randn(4, g1.num_joints, generator=generator)
    env.step(actions)
    # The other robot is put into the mirror image of this state instead of stepped there: the
    # vendor's masses are not symmetric to the last gram.
    qpos, qvel = env.engine.qpos.clone(), env.engine.qvel.clone()
    sign = torch.from_numpy(mirror.joint_sign).float()
    index = torch.from_numpy(mirror.joint_index)
    qpos = torch.cat(
        [qpos[:, :3] * FLIP, qpos[:, 3:7] * torch.tensor([1.0, -1, 1, -1]),
         sign * qpos[:, 7:][:, index]], 1,
    )  # fmt: skip
    qvel = torch.cat([qvel[:, :3] * FLIP, qvel[:, 3:6] * -FLIP, sign * qvel[:, 6:][:, index]], 1)
    other.step(reflect["actions"](actions))
    other.engine.reset(torch.arange(4), qpos, qvel)
    seen, expected = other.observe(), env.get_observations()
    for group in ("actor", "critic"):
        torch.testing.assert_close(
            seen[group], reflect[group](expected[group]), atol=2e-4, rtol=1e-4
        )
        values = torch.randn(5, seen[group].shape[1])
        assert torch.equal(reflect[group](reflect[group](values)), values)


def test_an_unknown_term_is_named(build: Callable[..., Environment]) -> None:
    config = tracking()
    actor = {
        **config.observations["actor"],
        "odd": ObservationTerm(function=lambda env: torch.zeros(env.num_envs, 2)),
    }
    observations = {**config.observations, "actor": actor}
    env = build(replace(config, observations=observations), num_envs=2)
    with pytest.raises(MimicError, match="'odd' has no left-right reflection"):
        reflections(env)


def test_reflections_cover_both_tasks(build: Callable[..., Environment]) -> None:
    env = build(tracking(state_estimation=False), num_envs=2)
    assert len(reflections(env)["actor"].index) == 154
    np.testing.assert_array_equal(sorted(reflections(env)["actor"].index), np.arange(154))
