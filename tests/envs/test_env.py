"""The environment as a whole: the trainer's contract, seeds, resumption, broken states."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.tasks.tracking import faithful, tracking
from motions import RobotMotion
from robots import Robot


def actions(steps: int, envs: int = 3) -> torch.Tensor:
    return 0.3 * torch.randn(steps, envs, 29, generator=torch.Generator().manual_seed(4))


def test_step_keeps_the_contract(build) -> None:
    env = build()
    assert env.num_envs == 3 and env.num_actions == 29 and env.control_dt == pytest.approx(0.02)
    assert env.cfg.task == env.task_name == "tracking"
    observed, reward, dones, extras = env.step(torch.zeros(3, 29))
    assert observed is env.get_observations()
    assert reward.shape == dones.shape == extras["time_outs"].shape == (3,)
    assert reward.dtype == torch.float32
    assert dones.dtype == extras["time_outs"].dtype == torch.bool
    # Numbers that stay on the device: nobody waits for them in a step.
    assert all(torch.as_tensor(value).numel() == 1 for value in extras["log"].values())
    assert {"reward/total", "error/key_body_mm", "sampling/entropy", "non_finite_resets"} <= set(
        extras["log"]
    )
    assert {f"reward/{name}" for name in env.cfg.rewards} <= set(extras["log"])
    assert {f"termination/{name}" for name in env.cfg.terminations} <= set(extras["log"])
    assert env.episode_length_buf.max() <= 1


def test_a_tracked_clip_is_tracked(build, quiet: TaskConfig, motion: RobotMotion) -> None:
    # Asking the servos for the reference a little ahead follows a slow sway for half a second.
    env = build(quiet)
    for step in range(25):
        wanted = torch.tensor(motion.joint_pos[step + 1], dtype=torch.float32)
        action = ((wanted - env.default_joint_pos) / env.action_scale).expand(3, -1)
        _, reward, dones, extras = env.step(action)
        assert not dones.any()
    assert reward.min() > 0.02 * 3.5
    assert extras["log"]["error/key_body_mm"] < 100


def test_observations_after_a_reset_belong_to_the_new_episode(
    build, quiet: TaskConfig, motion: RobotMotion
) -> None:
    env = build(quiet, motions=[motion.crop(0, 4)])
    first = env.get_observations()["critic"].clone()
    for _ in range(3):
        observed, _, dones, _ = env.step(actions(1)[0])
    assert dones.all()
    torch.testing.assert_close(observed["critic"], first)


def test_only_finished_environments_restart(build, endless: TaskConfig) -> None:
    terms = {"time_out": tracking().terminations["time_out"]}
    env = build(replace(endless, terminations=terms))
    twin = build(endless)
    env.episode_length_buf = torch.tensor([0, 499, 0])
    for action in actions(4):
        env.step(action)
        twin.step(action)
    assert torch.equal(env.engine.qpos[[0, 2]], twin.engine.qpos[[0, 2]])
    assert motion_command(env).frame.tolist() == [4, 3, 4]
    torch.testing.assert_close(
        env.get_observations()["critic"][[0, 2]], twin.get_observations()["critic"][[0, 2]]
    )


def run(env: Environment, steps: int = 12) -> list[torch.Tensor]:
    outputs = []
    for action in actions(steps, env.num_envs):
        observed, reward, dones, _ = env.step(action)
        outputs += [observed["actor"].clone(), observed["critic"].clone(), reward, dones.float()]
    return outputs


def test_same_seed_same_run(build) -> None:
    first, second = run(build(seed=3)), run(build(seed=3))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = run(build(seed=4))
    assert not torch.equal(first[0], other[0])


def test_global_random_state_does_not_matter(build) -> None:
    torch.manual_seed(0)
    first = run(build(seed=3), 4)
    torch.manual_seed(1)
    second = run(build(seed=3), 4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_resumed_environment_continues_its_statistics_and_random_numbers(build) -> None:
    env = build(num_envs=6, seed=1)
    for action in actions(30, 6) * 5:
        env.step(action)
    assert motion_command(env).sampler.failures.any()
    file = io.BytesIO()
    torch.save(env.state_dict(), file)
    file.seek(0)
    resumed = build(num_envs=6, seed=2)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(
        motion_command(resumed).sampler.probabilities(), motion_command(env).sampler.probabilities()
    )
    assert resumed.non_finite_resets == env.non_finite_resets
    ids = torch.arange(6)
    env.reset_envs(ids)
    resumed.reset_envs(ids)
    assert torch.equal(env.engine.qpos, resumed.engine.qpos)
    assert torch.equal(motion_command(env).frame, motion_command(resumed).frame)


def test_state_says_what_it_belongs_to(build) -> None:
    env = build()
    state = env.state_dict()
    assert state["task"] == "tracking" and state["robot"] == "unitree_g1"
    assert state["motion_hashes"] == list(motion_command(env).library.hashes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_a_broken_environment_does_not_poison_the_run(
    value: float, build, endless: TaskConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends warnings to a log in the working directory
    env, calm = build(endless), build(endless)
    first, second, third = actions(3)
    env.step(first)
    calm.step(first)
    qvel = env.engine.qvel[[1]].clone()
    qvel[0, 9] = value
    env.engine.set_velocity(torch.tensor([1]), qvel)
    given = second.clone()
    observed, reward, dones, extras = env.step(given)
    wanted, wanted_reward, _, _ = calm.step(second)
    assert torch.equal(given, second)  # the trainer's actions are not touched
    assert dones.tolist() == [False, True, False] and not extras["time_outs"].any()
    assert reward[1] == 0.0
    assert torch.isfinite(reward).all()
    assert all(torch.isfinite(part).all() for part in observed.values())
    assert env.non_finite_resets == 1 and extras["log"]["non_finite_resets"] == 1.0
    assert extras["log"]["termination/non_finite"] == pytest.approx(1 / 3)
    assert all(value == value for value in extras["log"].values())
    torch.testing.assert_close(reward[[0, 2]], wanted_reward[[0, 2]])
    torch.testing.assert_close(observed["critic"][[0, 2]], wanted["critic"][[0, 2]])
    observed, reward, dones, extras = env.step(third)
    assert not dones.any() and (reward > 0).all() and torch.isfinite(observed["actor"]).all()
    assert extras["log"]["non_finite_resets"] == 1.0


def test_failures_reach_the_sampler(build, quiet: TaskConfig) -> None:
    env = build(replace(faithful(quiet), terminations=quiet.terminations), num_envs=2)
    motion_command(env).restart(torch.arange(2), torch.zeros(2).long(), torch.tensor([10, 80]))
    qpos = env.engine.qpos.clone()
    qpos[1, 2] += 0.5
    env.engine.reset(torch.arange(2), qpos, env.engine.qvel)
    env.observe()
    _, _, dones, _ = env.step(torch.zeros(2, 29))
    assert dones.tolist() == [False, True]
    hit = int(motion_command(env).sampler.bin_of_row[81])
    failures = motion_command(env).sampler.failures
    assert failures.nonzero().squeeze(-1).tolist() == [hit]
    assert float(failures[hit]) == pytest.approx(1e-3)


def test_time_outs_do_not_count_as_failures(build, quiet: TaskConfig, motion: RobotMotion) -> None:
    env = build(faithful(quiet), motions=[motion.crop(0, 5)])
    motion_command(env).restart(torch.arange(3), torch.zeros(3).long(), torch.zeros(3).long())
    for _ in range(4):
        _, _, dones, extras = env.step(torch.zeros(3, 29))
    assert dones.all() and extras["time_outs"].all()
    assert not motion_command(env).sampler.failures.any()


def test_own_robot_runs(build, tiny: Robot, make_motion) -> None:
    env = build(robot=tiny, motions=[make_motion(tiny)], num_envs=4)
    for _ in range(30):
        observed, reward, _, _ = env.step(torch.zeros(4, 4))
    assert torch.isfinite(reward).all() and torch.isfinite(observed["critic"]).all()


def test_many_clips(build, g1: Robot, make_motion) -> None:
    clips = [make_motion(g1, seconds=s, name=f"clip{s}") for s in (0.5, 1.0, 2.0)]
    env = build(motions=clips, num_envs=32)
    assert motion_command(env).library.names == ("clip0.5", "clip1.0", "clip2.0")
    command = motion_command(env)
    for action in actions(60, 32):
        env.step(action)
        assert (command.frame < command.library.length[command.clip]).all()
    assert len(command.clip.unique()) == 3
