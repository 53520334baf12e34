"""Terminations on both sides of their thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import terminations
from mimic.envs.terms import TerminationTerm
from mimic.tasks.tracking import tracking, with_drift_limit
from motions import RobotMotion


def shifted(env: Environment, heights: list[float]) -> None:
    qpos = env.engine.qpos.clone()
    qpos[:, 2] += torch.tensor(heights)
    env.engine.reset(torch.arange(env.num_envs), qpos, env.engine.qvel)
    env.observe()


def tilted(env: Environment, degrees: list[float]) -> None:
    """Lean the base by angles about its own pitch axis, the torso along with it."""
    lean = Rotation.from_euler("y", np.array(degrees)[:, None], degrees=True)
    qpos = env.engine.qpos.clone()
    base = Rotation.from_quat(qpos[:, [4, 5, 6, 3]].numpy())
    qpos[:, 3:7] = torch.tensor((base * lean).as_quat()[:, [3, 0, 1, 2]])
    env.engine.reset(torch.arange(env.num_envs), qpos, env.engine.qvel)
    env.observe()


def test_thresholds_are_the_published() -> None:
    terms = tracking().terminations
    assert {n: dict(t.parameters) for n, t in terms.items() if not t.time_out} == {
        "anchor_height": {"threshold": 0.25},
        "anchor_tilt": {"threshold": 0.8},
        "end_effector_height": {"threshold": 0.25},
    }
    assert {n for n, t in terms.items() if t.time_out} == {"time_out", "clip_end"}
    assert tracking().episode_length_s == 10.0


HEIGHTS = [0.0, 0.24, 0.26, -0.24, -0.26]


@pytest.mark.parametrize("term", [terminations.anchor_height, terminations.root_height])
def test_height_off_the_reference(term, build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=5)
    shifted(env, HEIGHTS)
    assert term(env, threshold=0.25).tolist() == [False, False, True, False, True]


def test_anchor_tilt_compares_projected_gravity(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=5)
    # The reference's torso is not quite upright: measure from where it is.
    anchor = motion_command(env).anchor_quat_w[0].numpy()
    start = Rotation.from_quat(anchor[[1, 2, 3, 0]]).inv().apply([0, 0, -1])[2]
    limit = float(np.degrees(np.arccos(0.2)))  # 1 - cos = 0.8 from upright
    assert start == pytest.approx(-1.0, abs=5e-3)
    tilted(env, [0.0, limit - 4, limit + 4, -limit + 4, -limit - 4])
    assert terminations.anchor_tilt(env, threshold=0.8).tolist() == [
        False, False, True, False, True,
    ]  # fmt: skip


def test_root_tilt_is_the_length_of_the_difference(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=5)
    limit = float(np.degrees(2 * np.arcsin(0.4)))  # chord of 0.8 on the unit sphere
    tilted(env, [0.0, limit - 1, limit + 1, -limit + 1, -limit - 1])
    assert terminations.root_tilt(env, threshold=0.8).tolist() == [
        False, False, True, False, True,
    ]  # fmt: skip


def test_tilt_ignores_heading(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=2)
    qpos = env.engine.qpos.clone()
    qpos[:, 3:7] = torch.tensor([[0.0, 0, 0, 1.0], [0.7071068, 0, 0, 0.7071068]])
    env.engine.reset(torch.arange(2), qpos, env.engine.qvel)
    env.observe()
    assert not terminations.anchor_tilt(env, threshold=0.05).any()
    assert not terminations.root_tilt(env, threshold=0.05).any()


def test_each_end_effector_height(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=1)
    assert len(env.robot.end_effectors) == 4
    for name in env.robot.end_effectors:
        column = motion_command(env).library.body_pos_w[:, env.robot.key_bodies.index(name), 2]
        exact = column.clone()
        for height, ends in ((0.24, False), (0.26, True), (-0.24, False), (-0.26, True)):
            column.copy_(exact + height)
            env.observe()
            assert terminations.end_effector_height(env, threshold=0.25).tolist() == [ends]
        column.copy_(exact)


def test_only_height_and_only_end_effectors_count(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=1)
    wrist = env.robot.key_bodies.index("left_wrist_yaw_link")
    elbow = env.robot.key_bodies.index("left_elbow_link")
    motion_command(env).library.body_pos_w[:, wrist, :2] += 1.0
    motion_command(env).library.body_pos_w[:, elbow, 2] += 1.0
    env.observe()
    assert not terminations.end_effector_height(env, threshold=0.25).any()


def test_end_effectors_do_not_see_drift_along_the_ground(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=2)
    qpos = env.engine.qpos.clone()
    qpos[:, :2] += 2.0
    env.engine.reset(torch.arange(2), qpos, env.engine.qvel)
    env.observe()
    for name, term in env.cfg.terminations.items():
        assert not term.function(env, **term.parameters).any(), name


def test_drift_limit_ends_what_drifts_along_the_ground(build, quiet: TaskConfig) -> None:
    limited = with_drift_limit(quiet, 0.5)
    assert set(limited.terminations) == {*quiet.terminations, "anchor_drift"}
    env = build(limited, num_envs=4)
    qpos = env.engine.qpos.clone()
    qpos[:, :3] += torch.tensor([[0.49, 0, 0], [0.51, 0, 0], [0.4, -0.4, 0], [0, 0, 0.6]])
    env.engine.reset(torch.arange(4), qpos, env.engine.qvel)
    env.observe()
    term = limited.terminations["anchor_drift"]
    assert term.function(env, **term.parameters).tolist() == [False, True, True, False]


def test_clip_end_is_a_time_out(build, quiet: TaskConfig, motion: RobotMotion) -> None:
    env = build(quiet, motions=[motion.crop(0, 6)], num_envs=2)
    for step in range(1, 5):
        _, _, dones, extras = env.step(torch.zeros(2, 29))
        assert not dones.any() and not extras["time_outs"].any(), step
    _, _, dones, extras = env.step(torch.zeros(2, 29))
    assert dones.all() and extras["time_outs"].all() and not env.terminated.any()
    assert extras["log"]["termination/clip_end"] == 1.0
    # The next episode has begun at a start frame.
    assert motion_command(env).frame.tolist() == [0, 0]
    assert env.episode_length_buf.tolist() == [0, 0]


def test_episodes_time_out_after_ten_seconds(build, endless: TaskConfig) -> None:
    terms = {"time_out": tracking().terminations["time_out"]}
    env = build(replace(endless, terminations=terms), num_envs=3)
    assert env.max_episode_length == 500
    env.episode_length_buf = torch.tensor([498, 499, 7])  # as a runner staggers episodes
    _, _, dones, extras = env.step(torch.zeros(3, 29))
    assert dones.tolist() == extras["time_outs"].tolist() == [False, True, False]
    assert env.episode_length_buf.tolist() == [499, 0, 8]
    assert extras["log"]["episode_length_s"] == pytest.approx(10.0)


def test_a_failure_is_no_time_out(build, endless: TaskConfig) -> None:
    terms = {
        "late": TerminationTerm(
            function=lambda env: torch.tensor([True, True, False]), time_out=True
        ),
        "fell": TerminationTerm(function=lambda env: torch.tensor([True, False, False])),
    }
    env = build(replace(endless, terminations=terms))
    _, _, dones, extras = env.step(torch.zeros(3, 29))
    assert dones.tolist() == [True, True, False]
    assert env.terminated.tolist() == [True, False, False]
    assert extras["time_outs"].tolist() == [False, True, False]


def test_falling_ends_the_episode(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=2)
    shifted(env, [0.0, 0.4])
    _, reward, dones, extras = env.step(torch.zeros(2, 29))
    assert dones.tolist() == [False, True] and not extras["time_outs"].any()
    assert extras["log"]["termination/anchor_height"] == 0.5
    assert torch.isfinite(reward).all() and reward[1] > 0  # a failed step keeps its reward
