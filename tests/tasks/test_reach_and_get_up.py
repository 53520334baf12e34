"""Reaching for a point and getting up: what is commanded, paid, begun with and failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import robots
from mimic.cli import run as mimic
from mimic.envs.commands import FallenStartConfig, ReachCommandConfig
from mimic.envs.commands.reach import hand_in_heading
from mimic.envs.environment import Environment
from mimic.envs.imagination import Imagination
from mimic.envs.mdp import reach as terms
from mimic.policy.contract import contract_of_env
from mimic.policy.player import PolicyPlayer
from mimic.tasks import make_env
from mimic.tasks.get_up import get_up
from mimic.tasks.reach import reach
from mimic_base.errors import MimicError
from robots import Robot
from tests.conftest import TINY
from tests.envs.conftest import sway


@pytest.fixture(scope="module")
def reaching() -> Environment:
    return make_env("reach", num_envs=64, engine="mujoco", threads=1, seed=3)


def test_points_lie_on_the_side_of_their_hand(reaching: Environment) -> None:
    command: Any = reaching.commands["reach"]
    c = command.config
    outward = command.point[:, 1] * command.side[:, 0]
    assert set(command.side[:, 0].tolist()) == {1.0, -1.0}
    for values, (least, most) in (
        (command.point[:, 0], c.forward), (outward, c.outward), (command.point[:, 2], c.height)
    ):  # fmt: skip
        assert least <= values.min() and values.max() <= most


def test_the_reward_is_one_where_the_hand_is_and_falls_with_the_square(
    reaching: Environment,
) -> None:
    command: Any = reaching.commands["reach"]
    hand = hand_in_heading(reaching.state.robot, command.hands, command.side)
    # Standing in the default pose the left hand is on the left, both ahead of nothing behind.
    assert torch.equal(hand[:, 1].sign(), command.side[:, 0])
    there = SimpleNamespace(point=hand, side=command.side, hands=command.hands)
    at = SimpleNamespace(commands={"reach": there}, state=reaching.state)
    torch.testing.assert_close(terms.hand_at_point(at, 5.0), torch.ones(64))  # type: ignore[arg-type]
    there.point = hand + torch.tensor([0.0, 0.3, 0.4])
    torch.testing.assert_close(
        terms.hand_at_point(at, 5.0),  # type: ignore[arg-type]
        torch.full((64,), float(np.exp(-5 * 0.25))),
    )


def test_the_mirror_image_reaches_with_the_other_hand(reaching: Environment) -> None:
    mirror = reaching.spec.reflections()["actor"]
    seen = torch.zeros(1, reaching.spec.sizes["actor"])
    seen[0, :4] = torch.tensor([0.3, 0.2, 1.0, 1.0])
    torch.testing.assert_close(mirror(seen)[0, :4], torch.tensor([0.3, -0.2, 1.0, -1.0]))


def test_a_point_can_be_held_and_imagined(reaching: Environment) -> None:
    command: Any = reaching.commands["reach"]
    point = torch.tensor([0.3, 0.1, 0.9]).repeat(64, 1)
    before = (command.point, command.side)
    command.hold(point, torch.ones(64, 1))
    for _ in range(400):
        command.advance()
    assert torch.equal(command.point, point)
    seen = command.imagined(command.moment, reaching.state.robot)
    assert torch.equal(seen.point, point) and torch.equal(seen.side, command.side)
    command._held = False
    command.point, command.side = before
    told = contract_of_env(reaching, {}).commands["reach"]
    assert set(told["inputs"]) == {"point", "side"}
    with pytest.raises(MimicError, match="height must be two finite numbers"):
        ReachCommandConfig(height=(1.0, 0.5))
    simple = replace(
        reach(),
        commands={"reach": ReachCommandConfig()},
        observations={"actor": {"reach_command": reach().observations["actor"]["reach_command"]}},
        terminations={},
    )
    env = make_env(simple, num_envs=2, engine="mujoco", threads=1)
    imagined = Imagination(env)
    assert list(imagined.reward_terms) == ["reach"] and not imagined.left_out


def test_a_robot_without_hands_is_refused() -> None:
    with pytest.raises(MimicError, match="robot 'tiny' has no hands to reach with"):
        make_env("reach", num_envs=1, robot=str(TINY), engine="mujoco", threads=1)


# getting up ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Robot:
    return robots.load(TINY)


def lying(tiny: Robot, motions: list[Any], count: int = 64, **numbers: Any) -> Environment:
    task = replace(get_up(), commands={"motions": FallenStartConfig(**numbers)})
    return make_env(task, motions, num_envs=count, robot=tiny, engine="mujoco", threads=1, seed=1)


def test_robots_are_dropped_in_every_orientation_just_above_the_floor(tiny: Robot) -> None:
    env = lying(tiny, [])
    robot, command = env.state.robot, env.commands["motions"]
    assert bool(command.dropped.all())  # type: ignore[attr-defined]
    lowest = robot.body_pos_w[..., 2].amin(-1)
    torch.testing.assert_close(lowest, torch.full((64,), 0.1), atol=1e-4, rtol=0)
    up = 1 - 2 * robot.root_quat_w[:, 1:3].square().sum(-1)
    # Orientations even over the sphere: the cosine of the tilt is even between -1 and 1.
    assert up.min() < -0.8 and up.max() > 0.8 and abs(float(up.mean())) < 0.25
    assert (robot.joint_pos - env.default_joint_pos).abs().mean() > 0.05


def test_some_begin_at_frames_of_clips_and_remember_what_was_before(tiny: Robot) -> None:
    clip = sway(tiny, fps=30.0)
    env = lying(tiny, [clip], dropped=0.5)
    command: Any = env.commands["motions"]
    assert 15 < int(command.dropped.sum()) < 49
    row = command.library.start[command.clip] + command.frame
    of_clip = command.library.joint_pos[row]
    same = (env.state.robot.joint_pos - of_clip).abs().amax(-1) < 1e-5
    assert torch.equal(same, ~command.dropped)
    past = env.frames_before(torch.arange(64), 3)
    assert past is not None
    held = past.joint_pos[command.dropped]
    here = env.state.robot.joint_pos[command.dropped]
    torch.testing.assert_close(held, here[:, None].expand_as(held))


def test_only_who_is_up_at_the_end_has_succeeded(tiny: Robot) -> None:
    env = lying(tiny, [], count=8, dropped=1.0)
    # Standing in the default pose pays all there is.
    env._put(torch.arange(4), env.default_state(4))
    half = 0.5**0.5
    lying_down = replace(
        env.default_state(4),
        root_pos_w=torch.tensor([[0.0, 0.0, 0.1]]).repeat(4, 1),
        root_quat_w=torch.tensor([[half, 0.0, half, 0.0]]).repeat(4, 1),
    )
    env._put(torch.arange(4, 8), lying_down)
    _, terms_of = env._reward_terms()
    for name in ("head", "base", "upright"):
        torch.testing.assert_close(
            terms_of[name][:4], torch.full((4,), env.cfg.rewards[name].weight), atol=1e-3, rtol=0
        )
    assert bool((terms_of["head"][4:] < 0.2).all())
    torch.testing.assert_close(terms_of["upright"][4:], torch.full((4,), 0.125))
    failed, late, _ = env._termination_terms()
    assert not failed.any() and not late.any()
    env.episode_length_buf[:] = env.max_episode_length
    failed, late, _ = env._termination_terms()
    assert bool(late.all()) and failed[:4].sum() == 0 and bool(failed[4:].all())


def test_shares_are_checked() -> None:
    with pytest.raises(MimicError, match="dropped is a share from 0 to 1, got 2"):
        FallenStartConfig(dropped=2)


@pytest.mark.parametrize("algorithm", ["amp", "ppo"])
def test_get_up_is_trained_played_and_judged(
    algorithm: str, tiny: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sway(tiny, fps=30.0).save(tmp_path / "sway.npz")
    few = ["--algorithm.discriminator-hidden", "8", "--algorithm.remembered", "20"]
    line = ["train", "get-up", "--algorithm", algorithm, "--motion", str(tmp_path / "sway.npz"),
            "--robot", str(TINY), "--loop.num-envs", "4", "--loop.iterations", "1",
            "--device", "cpu", "--algorithm.steps", "4", "--algorithm.networks.actor-hidden", "8",
            "--algorithm.networks.critic-hidden", "8", "--task.episode-length-s", "0.5",
            "--out", str(tmp_path)]  # fmt: skip
    assert mimic([*line, *(few if algorithm == "amp" else [])]) == 0
    (run,) = (tmp_path / "get-up").iterdir()
    assert mimic(["train", "--resume", str(run), "--loop.iterations", "2"]) == 0
    assert PolicyPlayer(run / "policy.onnx").contract.commands["motions"]["dropped"] == 0.5
    capsys.readouterr()
    assert mimic(["play", str(run)]) == 0
    assert mimic(["evaluate", str(run), "--episodes", "2"]) == 0
    assert "robot/head_height" in capsys.readouterr().out
