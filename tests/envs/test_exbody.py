"""ExBody's task by its definition: kernels of unsquared norms, a gait's state, what is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import robots
from mimic.commands.train import parse, train
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, quiet_task
from mimic.envs.symmetry import reflections
from mimic.policy.contract import PolicyContract, contract_of_env
from mimic.policy.observations import ObservationBuilder, Reference, Situation
from mimic.policy.player import PolicyPlayer
from mimic.tasks.exbody import exbody, gait, heading_error
from mimic.viewer.rollout import roll_out
from mimic_base.frame_fields import FRAME_FIELDS
from mimic_base.rotations_torch import quat_mul
from motions import RobotMotion
from robots import Robot
from tests.conftest import TINY
from tests.envs.conftest import sway
from tests.envs.test_declared_observations import measured, mirrored_clip, numpy_of

Build = Callable[..., Environment]


@pytest.fixture
def env(build: Build) -> Environment:
    quiet = replace(quiet_task(exbody()), terminations={})
    return build(quiet, num_envs=3)


def term(env: Environment, name: str) -> torch.Tensor:
    found = env.cfg.rewards[name]
    return found.function(env, **found.parameters)


def put(env: Environment, joint_pos: torch.Tensor, turn: float = 0.0) -> None:
    """All robots as in their reference, but for their joints and a turn about the vertical."""
    c, n = motion_command(env), env.num_envs
    spin = torch.tensor([math.cos(turn / 2), 0.0, 0.0, math.sin(turn / 2)]).repeat(n, 1)
    state = c.reference_state(c.row, c.reset_noise.none())
    env.engine.reset_to(
        torch.arange(n), root_pos_w=state.root_pos_w, root_quat_w=quat_mul(spin, state.root_quat_w),
        joint_pos=joint_pos, root_lin_vel_w=0 * state.root_lin_vel_w,
        root_ang_vel_b=0 * state.root_ang_vel_b, joint_vel=0 * state.joint_vel,
    )  # fmt: skip
    env.observe()


def test_the_legs_are_not_asked_to_follow_and_the_upper_body_is(env: Environment) -> None:
    c = motion_command(env)
    wanted, legs = c.joint_pos.clone(), gait(env).legs.bool()
    put(env, wanted + 0.1 * legs)
    torch.testing.assert_close(term(env, "upper_joints"), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(term(env, "upper_bodies"), torch.ones(3), atol=1e-3, rtol=0)
    put(env, wanted + 0.1 * ~legs)
    error = 0.1 * math.sqrt(17)
    expected = torch.full((3,), math.exp(-0.7 * error))
    torch.testing.assert_close(term(env, "upper_joints"), expected, atol=1e-3, rtol=0)
    assert (term(env, "upper_bodies") < 0.97).all()
    off = env.state.robot.joint_pos - env.default_joint_pos
    torch.testing.assert_close(
        term(env, "legs_off_default"), (off[:, legs] ** 2).sum(-1), atol=1e-5, rtol=1e-5
    )


def test_the_base_is_asked_for_velocity_heading_and_tilt(env: Environment) -> None:
    c = motion_command(env)
    put(env, c.joint_pos.clone(), turn=0.5)
    expected = torch.full((3,), math.exp(-0.5))
    torch.testing.assert_close(term(env, "heading"), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(term(env, "roll_pitch"), torch.ones(3), atol=1e-3, rtol=0)
    speed = torch.linalg.vector_norm(c.body_lin_vel_w[:, 0], dim=-1)
    torch.testing.assert_close(
        term(env, "base_velocity"), torch.exp(-4.0 * speed), atol=1e-3, rtol=0
    )
    # The robot has turned 0.5 to the left, so the way back is to the right.
    c.assign(torch.arange(3), torch.zeros(3).long(), torch.full((3,), 0))
    env.observe()
    seen = heading_error(env)
    assert (seen[:, 0] < -0.4).all() and (seen[:, 1] > 0.8).all()


def test_flights_are_measured_from_lift_to_touch(env: Environment) -> None:
    state = gait(env)
    height = torch.tensor([0.0, 0.0, 0.3])
    c = motion_command(env)
    start = c.reference_state(c.row, c.reset_noise.none())
    env.engine.reset_to(
        torch.arange(3), root_pos_w=start.root_pos_w + height, root_quat_w=start.root_quat_w,
        joint_pos=start.joint_pos, root_lin_vel_w=start.root_lin_vel_w,
        root_ang_vel_b=start.root_ang_vel_b, joint_vel=start.joint_vel,
    )  # fmt: skip
    env.observe()
    landed = torch.zeros(3, 2)
    for _ in range(30):
        env.step(torch.zeros(3, 29))
        landed = torch.maximum(landed, state.landed_s)
        assert (state.air_s[state.down] == 0).all()
        assert (state.landed_s[~state.touched] == 0).all()
    # sqrt(2 h / g), give or take the steps' grid and how the feet hang.
    assert ((landed - 0.247).abs() < 0.06).all()
    env.reset_envs(torch.arange(3))
    assert not state.air_s.any() and not state.joint_acc.any() and state.down.all()


def test_accelerations_are_differences_of_this_episodes_velocities(env: Environment) -> None:
    state = gait(env)
    before = env.state.robot.joint_vel.clone()
    env.step(0.3 * torch.ones(3, 29))
    after = env.state.robot.joint_vel
    torch.testing.assert_close(state.joint_acc, (after - before) / 0.02, atol=1e-2, rtol=1e-3)
    assert torch.isfinite(term(env, "energy")).all() and (term(env, "energy") > 0).all()
    # A restart is no acceleration.
    env.reset_envs(torch.arange(3))
    env.observe()
    start = env.state.robot.joint_vel.clone()
    env.step(torch.zeros(3, 29))
    moved = (env.state.robot.joint_vel - start) / 0.02
    torch.testing.assert_close(state.joint_acc, moved, atol=1e-2, rtol=1e-3)


def test_what_the_actor_sees_is_the_same_for_a_player_and_in_the_mirror(
    build: Build, env: Environment, g1: Robot, motion: RobotMotion
) -> None:
    contract = PolicyContract.from_json(contract_of_env(env, {}).to_json())
    library = motion_command(env).library
    clip = Reference(**{name: getattr(library, name).double().numpy() for name in FRAME_FIELDS})
    frame = int(motion_command(env).frame[1]) + contract.reference_lead
    situation = Situation(
        contract, measured(env, 1), clip.frame(frame), numpy_of(env.actions, 1),
        later=lambda steps: clip.frame(frame + steps),
    )  # fmt: skip
    np.testing.assert_allclose(
        ObservationBuilder(contract)(situation), env.get_observations()["actor"][1].numpy(),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    of_clip = {name: env.cfg.observations["actor"][name]
               for name in ("command", "reference_root", "upper_body_pos")}  # fmt: skip
    config = replace(env.cfg, observations={"actor": of_clip}, commands={
        name: each for name, each in exbody().commands.items()})  # fmt: skip
    one, other = build(config), build(config, motions=[mirrored_clip(g1, motion)])
    for each in (one, other):
        motion_command(each).assign(torch.arange(3), torch.zeros(3).long(), torch.arange(3) * 9)
    reflect = reflections(one)["actor"]
    torch.testing.assert_close(
        other.observe()["actor"], reflect(one.observe()["actor"]), atol=3e-4, rtol=1e-4
    )


def test_the_task_trains_on_mirrored_samples_and_is_played(tmp_path: Path) -> None:
    clip = tmp_path / "sway.npz"
    sway(robots.load(TINY), fps=30.0).save(clip)
    arguments = [
        "exbody", "--motion", str(clip), "--robot", str(TINY), "--num-envs", "8",
        "--steps-per-iteration", "6", "--workers", "1", "--actor-hidden", "8", "--critic-hidden",
        "8", "--device", "cpu", "--iterations", "1", "--algorithm", "ppo", "--symmetry",
    ]  # fmt: skip
    assert train(parse([*arguments, "--out", str(tmp_path)])) == 0
    (folder,) = (tmp_path / "exbody").iterdir()
    player = PolicyPlayer(folder / "policy.onnx")
    assert player.interface == "exbody"
    reference = player.reference(RobotMotion.load(clip))
    assert len(roll_out(player, reference, robots.load(TINY)).states) > 5
