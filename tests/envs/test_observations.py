"""Observations against formulas written independently with scipy and MuJoCo."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import observations
from mimic.envs.terms import ObservationTerm
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot

ACTOR = {
    "command": 58, "motion_anchor_pos_b": 3, "motion_anchor_ori_b": 6, "base_lin_vel": 3,
    "base_ang_vel": 3, "joint_pos": 29, "joint_vel": 29, "actions": 29,
}  # fmt: skip
CRITIC = {
    "command": 58, "motion_anchor_pos_b": 3, "motion_anchor_ori_b": 6, "body_pos_b": 42,
    "body_ori_b": 84, "base_lin_vel": 3, "base_ang_vel": 3, "joint_pos": 29, "joint_vel": 29,
    "actions": 29,
}  # fmt: skip


def rotation(quat: NDArray) -> Rotation:
    return Rotation.from_quat(np.asarray(quat)[..., [1, 2, 3, 0]])


def expected_terms(env: Environment, motion: RobotMotion, index: int) -> dict[str, NDArray]:
    """The observation terms of one environment, from MuJoCo's own kinematics."""
    robot = env.robot
    model = robot.model
    data = mujoco.MjData(model)
    data.qpos[:] = env.engine.qpos[index].double()
    data.qvel[:] = env.engine.qvel[index].double()
    mujoco.mj_forward(model, data)
    # The policy sees the frame its action will be judged against.
    frame = min(int(motion_command(env).frame[index]) + 1, motion.num_frames - 1)
    reference = motion.body_names.index(robot.anchor_body)
    anchor = rotation(data.body(robot.anchor_body).xquat)
    anchor_pos = data.body(robot.anchor_body).xpos
    keys = [data.body(name) for name in robot.key_bodies]
    base = rotation(data.qpos[3:7])
    ori = anchor.inv() * rotation(motion.body_quat_w[frame, reference])
    positions = [anchor.inv().apply(body.xpos - anchor_pos) for body in keys]
    orientations = [(anchor.inv() * rotation(body.xquat)).as_matrix()[:, :2] for body in keys]
    return {
        "command": np.concatenate([motion.joint_pos[frame], motion.joint_vel[frame]]),
        "motion_anchor_pos_b": anchor.inv().apply(motion.body_pos_w[frame, reference] - anchor_pos),
        "motion_anchor_ori_b": ori.as_matrix()[:, :2].reshape(-1),
        "base_lin_vel": base.inv().apply(data.qvel[:3]),
        "base_ang_vel": data.qvel[3:6],
        "joint_pos": data.qpos[7:] - env.default_joint_pos_of_env[index].numpy(),
        "joint_vel": data.qvel[6:],
        "actions": env.actions[index].numpy(),
        "body_pos_b": np.concatenate(positions),
        "body_ori_b": np.concatenate([o.reshape(-1) for o in orientations]),
    }


@pytest.mark.parametrize(("state_estimation", "size"), [(True, 160), (False, 154)])
def test_sizes_and_order(state_estimation: bool, size: int, build) -> None:
    env = build(tracking(state_estimation=state_estimation))
    observed = env.get_observations()
    assert observed["actor"].shape == (3, size) and observed["critic"].shape == (3, 286)
    assert list(observed.batch_size) == [3]
    wanted = dict(ACTOR)
    if not state_estimation:
        del wanted["motion_anchor_pos_b"], wanted["base_lin_vel"]
    for group, table in (("actor", wanted), ("critic", CRITIC)):
        layout = env.observation_layout(group)
        assert [(entry["name"], entry["size"]) for entry in layout] == list(table.items())
        assert all(entry["scale"] == 1.0 and entry["history"] == 1 for entry in layout)


def test_sizes_follow_from_the_robot(build, tiny: Robot, make_motion) -> None:
    env = build(robot=tiny, motions=[make_motion(tiny)])
    joints, bodies = 4, len(tiny.key_bodies)
    observed = env.get_observations()
    assert observed["actor"].shape[1] == 5 * joints + 15
    assert observed["critic"].shape[1] == 5 * joints + 15 + 9 * bodies


def test_values_against_independent_formulas(
    build, quiet: TaskConfig, motion: RobotMotion, play
) -> None:
    # Joint offsets stay on, so that the randomised default is seen in joint_pos.
    events = {"joint_default": tracking().events["joint_default"]}
    env = build(replace(quiet, events=events, terminations={}))
    play(env, 7)
    observed = env.get_observations()
    for index in range(env.num_envs):
        terms = expected_terms(env, motion, index)
        for group, names in (("actor", ACTOR), ("critic", CRITIC)):
            wanted = np.concatenate([terms[name] for name in names])
            np.testing.assert_allclose(observed[group][index], wanted, atol=5e-4)


def test_term_functions_at_large_tilts(build, quiet: TaskConfig, motion: RobotMotion) -> None:
    # Far from upright a mistaken frame cannot hide.
    env = build(quiet, num_envs=6)
    rng = np.random.default_rng(4)
    quat = rng.normal(size=(6, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    qpos = env.engine.qpos.clone()
    qpos[:, 3:7] = torch.tensor(quat)
    qvel = torch.tensor(rng.normal(size=(6, 35)), dtype=torch.float32)
    env.engine.reset(torch.arange(6), qpos, qvel)
    observed = env.observe()["critic"]
    for index in range(6):
        terms = expected_terms(env, motion, index)
        wanted = np.concatenate([terms[name] for name in CRITIC])
        np.testing.assert_allclose(observed[index], wanted, atol=1e-4)


def test_noise_has_the_published_widths_and_spares_the_critic(
    build, quiet: TaskConfig, motion: RobotMotion
) -> None:
    widths = {
        "command": 0.0, "motion_anchor_pos_b": 0.25, "motion_anchor_ori_b": 0.05,
        "base_lin_vel": 0.5, "base_ang_vel": 0.2, "joint_pos": 0.01, "joint_vel": 0.5,
        "actions": 0.0,
    }  # fmt: skip
    env = build(replace(quiet, observation_noise=True), num_envs=2)
    draws = torch.stack([env.observe()["actor"] for _ in range(200)])
    critic = torch.stack([env.observe()["critic"] for _ in range(3)])
    assert torch.equal(critic[0], critic[1])
    start = 0
    for name, size in ACTOR.items():
        part = draws[..., start : start + size]
        exact = torch.tensor(expected_terms(env, motion, 0)[name], dtype=torch.float32)
        error = (part[:, 0] - exact).abs().max()
        assert error <= widths[name] + 1e-4, name
        assert error >= 0.9 * widths[name], name
        start += size


def test_noise_can_be_switched_off(build, quiet: TaskConfig) -> None:
    env = build(quiet)
    assert torch.equal(env.observe()["actor"], env.observe()["actor"])


def test_same_name_in_two_groups_may_mean_two_things(build, quiet: TaskConfig) -> None:
    groups = {
        "actor": {"x": ObservationTerm(function=observations.joint_pos)},
        "critic": {"x": ObservationTerm(function=observations.base_lin_vel, scale=2.0)},
    }
    env = build(replace(quiet, observations=groups))
    observed = env.get_observations()
    assert observed["actor"].shape == (3, 29) and observed["critic"].shape == (3, 3)
    torch.testing.assert_close(observed["critic"], 2.0 * observations.base_lin_vel(env))
    assert env.observation_layout("critic") == [
        {"name": "x", "size": 3, "scale": 2.0, "history": 1}
    ]


def test_term_of_wrong_shape_is_named(build, quiet: TaskConfig) -> None:
    broken = ObservationTerm(function=lambda env: torch.zeros(7, 2))
    with pytest.raises(MimicError, match="term 'odd' returned shape"):
        build(replace(quiet, observations={"actor": {"odd": broken}}))
