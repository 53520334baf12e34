"""What a trainer asks of an environment beside steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mimic.envs.commands.motion import motion_command
from mimic.evaluation.protocols import get_protocol
from mimic.tasks.tracking import tracking, with_difficulty_ramp, with_randomisation_ramp
from mimic_base.errors import MimicError
from motions import RobotMotion
from robots import Robot
from tests.envs.conftest import MakeEnv, sway


def test_randomisation_grows_with_the_iterations(build: MakeEnv) -> None:
    env = build(with_randomisation_ramp(tracking(), 0.25, 100))
    strengths = []
    for iteration in (0, 50, 100, 500):
        env.begin_iteration(iteration)
        strengths.append(env.randomisation)
    assert strengths == [0.25, 0.625, 1.0, 1.0]
    steady = build()
    steady.begin_iteration(0)
    assert steady.randomisation == 1.0


def test_an_environment_names_what_a_checkpoint_must_share(build: MakeEnv) -> None:
    env = build()
    sizes = {name: value.shape[1] for name, value in env.get_observations().items()}
    assert env.identity == {
        "task": env.task_name, "robot": env.robot.name, "robot_hash": env.robot.content_hash,
        "motions": list(motion_command(env).library.hashes), "actor_observations": sizes["actor"],
        "critic_observations": sizes["critic"], "actions": env.num_actions,
    }  # fmt: skip


def test_statistics_to_be_shared_are_the_samplers_own(build: MakeEnv) -> None:
    env = build()
    for statistic in env.shared_statistics():
        statistic.fill_(3.0)
    assert torch.all(motion_command(env).sampler.failures == 3.0)
    assert torch.all(motion_command(env).sampler.visits == 3.0)


def test_new_random_numbers_begin_where_they_are_told_to(build: MakeEnv) -> None:
    env = build()
    env.reseed(5)
    first = env.uniform((4,), 0.0, 1.0)
    env.reseed(5)
    assert torch.equal(env.uniform((4,), 0.0, 1.0), first)


def test_physics_is_coarser_in_training_alone() -> None:
    task = replace(tracking(), physics_hz=100.0)
    assert get_protocol("noisy-start").environment(task).physics_hz == 200.0
    with pytest.raises(MimicError, match="physics_hz must be positive"):
        replace(task, physics_hz=0.0)


def test_a_ramp_begins_at_a_share(build: MakeEnv) -> None:
    with pytest.raises(MimicError, match=r"start must lie in \[0, 1\]"):
        build(with_randomisation_ramp(tracking(), 2.0, 10)).begin_iteration(0)


def test_clips_come_in_from_the_easiest_to_the_hardest(
    build: MakeEnv, g1: Robot, motion: RobotMotion
) -> None:
    task = with_difficulty_ramp(tracking(), 10, start=0.0)
    with pytest.raises(MimicError, match="do not say how hard"):
        build(task).begin_iteration(0)
    env = build(task, motions=[motion, sway(g1, seconds=1.0, name="short")])
    command = motion_command(env)
    object.__setattr__(command.library, "difficulty", torch.tensor([0.8, 0.2]))
    drawn = []
    for iteration in (0, 5, 6, 10):
        env.begin_iteration(iteration)
        drawn.append(set(command.sampler.draw(100)[0].tolist()))
    assert drawn == [{1}, {1}, {0, 1}, {0, 1}]
    build(with_difficulty_ramp(tracking(), 0)).begin_iteration(0)
    with pytest.raises(MimicError, match=r"share must lie in \[0, 1\]"):
        build(with_difficulty_ramp(tracking(), 5, start=1.5)).begin_iteration(0)
