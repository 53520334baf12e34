"""A robot that moves exactly like a clip looks like it; episodes that begin on clips."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mimic.envs.commands import MotionSetConfig
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import TaskConfig
from mimic.envs.mdp import heading as terms
from mimic.envs.mdp import motion_frames, observations
from mimic.envs.observing import ObservationGroups
from mimic.envs.terms import ObservationTerm
from mimic.tasks.heading import heading, heading_privileged
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_from_euler_xyz
from tests.envs.conftest import MakeEnv

FRAMES = 4


def with_style(task: TaskConfig, frames: int = FRAMES) -> TaskConfig:
    style = {"motion": ObservationTerm(function=motion_frames.motion_frame, history=frames)}
    return replace(task, observations={**task.observations, "style": style})


def test_windows_of_a_clip_are_what_a_robot_shows_that_moves_like_it(
    build: MakeEnv, quiet: TaskConfig
) -> None:
    env = build(with_style(quiet))
    command = motion_command(env)
    demonstrated = env.spec.demonstrations("style")
    rows = torch.tensor([9, 40, 77])
    assert demonstrated.frames == FRAMES and demonstrated.size == env.spec.sizes["style"]
    # Put, not simulated: frame after frame of the clip, observed each time.
    everyone = torch.arange(3)
    command.restart(everyone, torch.zeros(3).long(), rows - 2)
    env.observe()
    for row in (rows - 1, rows):
        command.assign(everyone, torch.zeros(3).long(), row)
        env._put(everyone, command.initial_state(everyone, noise=False))
        env.parts.commands()
        seen = env.parts.observations()["style"]
    # The two steps before the episode are the clip's too.
    expected = demonstrated.windows((torch.zeros(3).long(), rows))
    torch.testing.assert_close(seen, expected, atol=3e-4, rtol=1e-3)
    width = env.spec.observations["style"][0].size
    assert (expected[:, :width] != expected[:, -width:]).any()


def test_a_history_begins_with_the_frames_before_whoever_observes_first(
    build: MakeEnv, quiet: TaskConfig
) -> None:
    env = build(with_style(quiet))
    command = motion_command(env)
    everyone, clip = torch.arange(3), torch.zeros(3).long()
    rows = torch.tensor([9, 40, 2])
    command.restart(everyone, clip, rows)
    again = env.observe()["style"]
    command.restart(everyone, clip, rows)
    env.parts.commands()
    first = env.parts.observations()["style"]
    twice = env.observe()["style"]
    expected = env.spec.demonstrations("style").windows((clip, rows))
    for seen in (again, first, twice):
        torch.testing.assert_close(seen, expected, atol=3e-4, rtol=1e-3)


def test_windows_of_many_frames_are_computed_when_they_are_drawn(
    build: MakeEnv, quiet: TaskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = build(with_style(quiet))
    ends = torch.zeros(3).long(), torch.tensor([2, 40, 77])
    kept = env.spec.demonstrations("style").windows(ends)
    monkeypatch.setattr("mimic.envs.demonstrations.KEPT", 0)
    torch.testing.assert_close(env.spec.demonstrations("style").windows(ends), kept)


def test_drawn_windows_lie_within_one_clip(build: MakeEnv, quiet: TaskConfig) -> None:
    env = build(with_style(quiet))
    demonstrated = env.spec.demonstrations("style")
    torch.manual_seed(3)
    clip, row = demonstrated._drawn(4000)
    library = demonstrated.library
    assert row.min() == FRAMES - 1 and row.max() == library.length[0] - 1 and (clip == 0).all()
    counts = torch.bincount(row, minlength=int(library.length[0]))[FRAMES - 1 :].float()
    assert counts.std() / counts.mean() < 3 / counts.mean() ** 0.5
    assert demonstrated.sample(5).shape == (5, demonstrated.size)


def test_what_no_clip_can_tell_is_refused(build: MakeEnv, quiet: TaskConfig) -> None:
    bad = {"vel": ObservationTerm(function=observations.base_lin_vel)}
    env = build(replace(quiet, observations={**quiet.observations, "style": bad}))
    with pytest.raises(MimicError, match="'vel' of the group 'style' cannot be computed from a"):
        env.spec.demonstrations("style")
    with pytest.raises(MimicError, match="no observation group 'windows'; it has actor, critic"):
        env.spec.demonstrations("windows")
    late = {"motion": ObservationTerm(function=motion_frames.motion_frame, delay=(0, 1))}
    env = build(replace(quiet, observations={**quiet.observations, "style": late}))
    with pytest.raises(MimicError, match="noisy, late or filtered"):
        env.spec.demonstrations("style")


def test_the_frame_forgets_place_and_heading_only(build: MakeEnv, quiet: TaskConfig) -> None:
    env = build(with_style(quiet))
    before = motion_frames.motion_frame(env)
    state = motion_command(env).initial_state(torch.arange(3), noise=False)
    turn = quat_from_euler_xyz(torch.tensor([[0.0, 0.0, 2.0]]))
    from mimic_base.rotations_torch import quat_mul, quat_rotate

    moved = replace(
        state,
        root_pos_w=state.root_pos_w + torch.tensor([3.0, -2.0, 0.0]),
        root_quat_w=quat_mul(turn, state.root_quat_w),
        root_lin_vel_w=quat_rotate(turn, state.root_lin_vel_w),
    )
    env._put(torch.arange(3), moved)
    torch.testing.assert_close(motion_frames.motion_frame(env), before, atol=2e-4, rtol=1e-3)
    env._put(torch.arange(3), replace(moved, root_pos_w=moved.root_pos_w + 0.1))
    assert not torch.allclose(motion_frames.motion_frame(env), before, atol=0.05)


def test_the_difference_is_zero_on_the_reference_and_only_there(
    build: MakeEnv, quiet: TaskConfig
) -> None:
    env = build(quiet)
    command = motion_command(env)
    everyone = torch.arange(3)
    command.restart(everyone, torch.zeros(3).long(), torch.tensor([3, 40, 77]))
    env.observe()
    none = motion_frames.motion_difference(env)
    torch.testing.assert_close(none, torch.zeros_like(none), atol=3e-4, rtol=0)
    state = command.initial_state(everyone, noise=False)
    env._put(everyone, replace(state, root_pos_w=state.root_pos_w + torch.tensor([0.3, 0.4, 0.0])))
    env.parts.commands()
    off = motion_frames.motion_difference(env)
    torch.testing.assert_close(off[:, :3].norm(dim=-1), torch.full((3,), 0.5), atol=1e-3, rtol=0)
    # Places of bodies are counted from their own base.
    torch.testing.assert_close(off[:, 3:], torch.zeros_like(off[:, 3:]), atol=1e-3, rtol=0)


# the heading task ------------------------------------------------------------------------------


def test_episodes_begin_at_frames_of_the_clips(build: MakeEnv) -> None:
    env = build(heading_privileged(), num_envs=64)
    library = env.commands["motions"].library  # type: ignore[attr-defined]
    joints = env.state.robot.joint_pos
    nearest = torch.cdist(joints, library.joint_pos).amin(1)
    assert nearest.max() < 5e-3 and joints.std(0).max() > 0.01


def test_the_command_is_drawn_within_its_range_and_stays_for_a_while(build: MakeEnv) -> None:
    env = build(heading_privileged(), num_envs=64)
    command = env.commands["heading"]
    first = command.direction_w.clone()  # type: ignore[attr-defined]
    speed = command.speed  # type: ignore[attr-defined]
    assert ((speed >= 0.4) & (speed <= 1.2)).all() and speed.std() > 0.1
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(64))
    for _ in range(40):
        command.advance()
        command.update()
    torch.testing.assert_close(command.direction_w, first)  # type: ignore[attr-defined]
    for _ in range(400):
        command.advance()
        command.update()
    assert not torch.allclose(command.direction_w, first)  # type: ignore[attr-defined]
    seen = terms.heading_command(env)
    torch.testing.assert_close(seen[:, 2:], command.speed)  # type: ignore[attr-defined]
    torch.testing.assert_close(seen[:, :2].norm(dim=-1), torch.ones(64))


def test_the_reward_is_the_papers_formula(build: MakeEnv) -> None:
    env = build(heading_privileged(), num_envs=3)
    state = env.default_state(3)
    velocity = torch.tensor([[0.6, 0.0, 0.0], [0.0, 0.5, 0.0], [-0.3, 0.0, 0.0]])
    env._put(torch.arange(3), replace(state, root_lin_vel_w=velocity))
    command = env.commands["heading"]
    ahead = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    command.hold(ahead, torch.full((3, 1), 1.0))  # type: ignore[attr-defined]
    got = terms.heading_speed(env, scale=4.0)
    along = 0.5 / 2**0.5
    expected = torch.tensor([
        torch.e ** (-4.0 * 0.4**2), torch.e ** (-4.0 * ((1 - along) ** 2 + 0.1 * along**2)), 0.0,
    ])  # fmt: skip
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)
    assert not terms.fallen(env).any()
    lying = quat_from_euler_xyz(torch.tensor([[0.0, 1.5, 0.0]])).repeat(3, 1)
    env._put(torch.arange(3), replace(state, root_quat_w=lying))
    assert terms.fallen(env).all()


def test_it_can_be_played_without_clips(build: MakeEnv) -> None:
    task = heading()
    commands = {**task.commands, "motions": MotionSetConfig(optional=True, start="default")}
    env = build(replace(task, commands=commands))
    assert env.state.robot.root_pos_w[:, 2].min() > 0.5
    assert isinstance(env.observing, ObservationGroups)
