"""What a step says about the last state of an episode that has just ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.rows import Rows
from mimic.envs.terms import ObservationTerm, RewardTerm
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError

Build = Callable[..., Environment]


def actions(steps: int, envs: int) -> torch.Tensor:
    return 0.3 * torch.randn(steps, envs, 29, generator=torch.Generator().manual_seed(4))


def ending(endless: TaskConfig) -> TaskConfig:
    return replace(endless, terminations={"time_out": tracking().terminations["time_out"]})


def test_final_observations_are_those_of_an_environment_that_goes_on(
    build: Build, endless: TaskConfig
) -> None:
    env, twin = build(ending(endless), num_envs=5), build(endless, num_envs=5)
    env.episode_length_buf = torch.tensor([0, 499, 0, 498, 499])
    for step, action in enumerate(actions(2, 5)):
        _, _, dones, extras = env.step(action)
        goes_on, _, _, _ = twin.step(action)
        ids = [[1, 4], [3]][step]
        assert extras["final_ids"].tolist() == ids == dones.nonzero().squeeze(-1).tolist()
        for group in ("actor", "critic"):
            final = extras["final_observations"][group]
            if step == 0:
                torch.testing.assert_close(final, goes_on[group][ids])
            assert final.shape == (len(ids), env.spec.sizes[group])


def test_no_episode_ends_no_rows(build: Build, endless: TaskConfig) -> None:
    env = build(endless)
    _, _, _, extras = env.step(actions(1, 3)[0])
    assert len(extras["final_ids"]) == 0
    assert extras["final_observations"]["critic"].shape == (0, 286)
    assert not extras["terminated"].any()


def test_failures_and_truncations_are_told_apart(build: Build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=3)
    env.episode_length_buf = torch.tensor([499, 0, 499])
    qpos = env.engine.qpos.clone()
    qpos[1:, 2] += 0.5
    env.engine.reset(torch.arange(3), qpos, env.engine.qvel)
    env.observe()
    _, _, dones, extras = env.step(torch.zeros(3, 29))
    assert dones.all()
    assert extras["terminated"].tolist() == [False, True, True]
    assert extras["time_outs"].tolist() == [True, False, False]


def test_noise_of_final_observations_is_the_terms_own(build: Build, endless: TaskConfig) -> None:
    config = replace(ending(endless), observation_noise=True)
    env, silent = build(config, num_envs=64), build(ending(endless), num_envs=64)
    for each in (env, silent):
        each.episode_length_buf = torch.full((64,), 499)
    action = actions(1, 64)[0]
    noisy = env.step(action)[3]["final_observations"]
    clean = silent.step(action)[3]["final_observations"]
    off = (noisy["actor"] - clean["actor"]).abs()
    command, anchor = off[:, :58], off[:, 58:61]
    assert command.max() == 0 and 0.2 < float(anchor.max()) <= 0.25
    assert torch.equal(noisy["critic"], clean["critic"])


def test_a_term_that_a_view_does_not_serve_is_asked_for_all(
    build: Build, endless: TaskConfig
) -> None:
    def stubborn(env: Environment) -> torch.Tensor:
        return torch.stack([env.engine.qpos[i, :3] for i in range(4)])

    group = {"stubborn": ObservationTerm(function=stubborn)}
    config = ending(endless)
    env = build(replace(config, observations={**config.observations, "odd": group}), num_envs=4)
    env.episode_length_buf = torch.tensor([0, 0, 0, 499])
    twin = build(endless, num_envs=4)
    action = actions(1, 4)[0]
    final = env.step(action)[3]["final_observations"]
    twin.step(action)
    torch.testing.assert_close(final["odd"], twin.engine.qpos[3:, :3])


def test_rows_cut_what_belongs_to_environments_only(build: Build, endless: TaskConfig) -> None:
    env = build(endless, num_envs=29)  # as many environments as joints
    rows = Rows(env, torch.tensor([3, 5]), 29)
    assert rows.num_envs == 2
    assert rows.actions.shape == (2, 29) and rows.default_joint_pos.shape == (29,)
    assert torch.equal(rows.engine.qpos, env.engine.qpos[[3, 5]])
    command, seen = motion_command(env), rows.commands["motion"]
    assert torch.equal(seen.anchor_pos_w, command.anchor_pos_w[[3, 5]])
    assert torch.equal(seen.end_effectors, command.end_effectors)
    assert torch.equal(rows.state.robot.joint_pos, env.state.robot.joint_pos[[3, 5]])
    assert torch.equal(
        rows.state.contacts["left_foot"].force, env.state.contacts["left_foot"].force[[3, 5]]
    )


def test_the_specification_says_what_is_observed(build: Build, endless: TaskConfig) -> None:
    env = build(endless)
    spec = env.spec
    assert spec.sizes == {"actor": 160, "critic": 286}
    assert (spec.num_envs, spec.num_actions, spec.task) == (3, 29, "tracking")
    assert [entry.name for entry in spec.observations["actor"]][:2] == [
        "command", "motion_anchor_pos_b",
    ]  # fmt: skip
    offset, gain = spec.command_feedthrough()
    wanted = env.get_observations()["actor"][:, :29]
    action = (wanted - torch.tensor(offset)) * torch.tensor(gain)
    torch.testing.assert_close(env.default_joint_pos + env.action_scale * action, wanted)
    assert len(spec.reflections()["critic"].index) == 286
    reversed_spec = replace(
        spec, observations={"actor": tuple(reversed(spec.observations["actor"]))}
    )
    with pytest.raises(MimicError, match="found 'actions'"):
        reversed_spec.command_feedthrough()


def test_only_declared_rewards_are_tracking(build: Build, endless: TaskConfig) -> None:
    bonus = RewardTerm(function=lambda env: torch.ones(env.num_envs), weight=100.0)
    env = build(replace(endless, rewards={**endless.rewards, "alive": bonus}))
    assert env.max_reward == pytest.approx(5.0)
    with pytest.raises(MimicError, match="positive weight"):
        RewardTerm(function=lambda env: torch.ones(env.num_envs), weight=-1.0, tracking=True)
