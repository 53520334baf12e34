"""Task names, their variants, and the one function that builds an environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import robots
from mimic.envs.commands.motion import ResetNoise, motion_command
from mimic.envs.environment import quiet_task
from mimic.envs.sampling import SamplingConfig
from mimic.tasks import TASKS, make_env, task_names
from mimic.tasks.registry import task_config
from mimic.tasks.tracking import motion_commands, tracking
from mimic_base.errors import InputError, MimicError, UserError
from motions import RobotMotion
from robots import Robot
from robots.kinematics import forward_kinematics


@pytest.fixture(scope="module")
def g1() -> Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="module")
def standing(g1: Robot) -> RobotMotion:
    root = np.array([[0.0, 0.0, g1.default_root_height]]).repeat(60, 0)
    quat = np.array([[1.0, 0.0, 0.0, 0.0]]).repeat(60, 0)
    joints = g1.default_joint_pos[None].repeat(60, 0)
    pos, quats = forward_kinematics(g1, root, quat, joints)
    return RobotMotion.build(
        fps=50.0, joint_pos=joints, body_pos_w=pos, body_quat_w=quats, robot=g1.name,
        joint_names=g1.joint_names, body_names=g1.body_names, name="standing",
    )  # fmt: skip


def test_known_tasks() -> None:
    assert task_names() == list(TASKS) == [
        "tracking", "tracking-no-state-estimation", "tracking-teacher",
        "tracking-teacher-states", "tracking-student", "tracking-student-heading",
        "tracking-student-interfaces", "exbody", "deepmimic", "deepmimic-product", "heading",
        "heading-privileged", "skills", "reach", "get-up",
    ]  # fmt: skip
    for name in task_names():
        assert task_config(name).task == name


def test_unknown_task_lists_the_known() -> None:
    with pytest.raises(MimicError) as caught:
        task_config("running")
    text = str(caught.value)
    assert "unknown task 'running'" in text and "\n" not in text
    assert isinstance(caught.value, UserError)
    assert all(name in text for name in task_names())


def test_sampling_variants() -> None:
    usual = motion_commands(task_config("tracking"))["motion"]
    assert usual.sampling == SamplingConfig(mode="adaptive")
    faithful = task_config("tracking", sampling="beyondmimic")
    assert motion_commands(faithful)["motion"].sampling.mode == "beyondmimic"
    assert faithful.rewards == task_config("tracking").rewards
    known = "adaptive, return, beyondmimic"
    with pytest.raises(MimicError, match=f"unknown sampling 'luck'; known: {known}"):
        task_config("tracking", sampling="luck")


def test_deployable_task_drops_what_a_robot_must_estimate() -> None:
    full, deployable = tracking(), tracking(state_estimation=False)
    dropped = set(full.observations["actor"]) - set(deployable.observations["actor"])
    assert dropped == {"motion_anchor_pos_b", "base_lin_vel"}
    assert list(full.observations["critic"]) == list(deployable.observations["critic"])


def test_evaluation_variant_is_without_chance() -> None:
    config = quiet_task(tracking(), observation_noise=False)
    assert not config.events and not config.observation_noise
    motion = motion_commands(config)["motion"]
    assert motion.sampling.mode == "start" and motion.reset_noise == ResetNoise.none()
    assert config.terminations == tracking().terminations


def test_environment_from_files_and_folders(
    g1: Robot, standing: RobotMotion, tmp_path: Path
) -> None:
    standing.save(tmp_path / "one.npz")
    standing.crop(0, 30).save(tmp_path / "two.npz")
    env = make_env("tracking-no-state-estimation", [tmp_path], num_envs=2, robot=g1, threads=1)
    assert env.task_name == "tracking-no-state-estimation"
    assert motion_command(env).library.length.tolist() == [60, 30]
    assert env.get_observations()["actor"].shape == (2, 154)
    mixed = make_env("tracking", [tmp_path / "one.npz", standing], num_envs=1, robot=g1, threads=1)
    assert motion_command(mixed).library.num_clips == 2


def test_standing_still_tracks_a_standing_clip(g1: Robot, standing: RobotMotion) -> None:
    config = quiet_task(tracking(), observation_noise=False)
    env = make_env(config, [standing], num_envs=1, robot=g1, threads=1)
    _, reward, dones, _ = env.step(torch.zeros(1, 29))
    assert not dones.any()
    assert float(reward[0]) == pytest.approx(5.0 * env.control_dt, rel=0.05)


@pytest.mark.parametrize("count", [0, -3])
def test_number_of_environments_must_be_positive(count: int, standing: RobotMotion) -> None:
    with pytest.raises(MimicError, match=f"at least 1, got {count}"):
        make_env("tracking", [standing], num_envs=count)


def test_wrong_names_are_refused(standing: RobotMotion, tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="unknown engine"):
        make_env("tracking", [standing], num_envs=1, engine="warpdrive")
    with pytest.raises(ValueError, match="unknown robot 'r2d2'"):
        make_env("tracking", [standing], num_envs=1, robot="r2d2")
    with pytest.raises(InputError, match="no motion given"):
        make_env("tracking", [], num_envs=1)
    with pytest.raises(UserError, match="does not exist"):
        make_env("tracking", [tmp_path / "x.npz"], num_envs=1)
