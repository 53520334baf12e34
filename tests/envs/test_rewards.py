"""Reward terms against hand-written formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import rewards
from mimic.tasks.tracking import tracking_rewards
from motions import RobotMotion

KERNELS = {
    "anchor_position": (0.5, 0.3),
    "anchor_orientation": (0.5, 0.4),
    "body_position": (1.0, 0.3),
    "body_orientation": (1.0, 0.4),
    "body_linear_velocity": (1.0, 1.0),
    "body_angular_velocity": (1.0, 3.14),
}


def rotation(quat: NDArray) -> Rotation:
    return Rotation.from_quat(np.asarray(quat)[..., [1, 2, 3, 0]])


def heading(turn: Rotation) -> Rotation:
    matrix = turn.as_matrix()
    return Rotation.from_euler("z", np.arctan2(matrix[1, 0], matrix[0, 0]))


def expected_kernels(env: Environment, motion: RobotMotion, index: int) -> dict[str, float]:
    robot = env.robot
    frame = int(motion_command(env).frame[index])
    ours = [robot.body_names.index(name) for name in robot.key_bodies]
    theirs = [motion.body_names.index(name) for name in robot.key_bodies]
    anchor = robot.key_bodies.index(robot.anchor_body)
    engine = env.engine
    pos = engine.body_pos_w[index].double().numpy()[ours]
    rot = rotation(engine.body_quat_w[index].double().numpy()[ours])
    lin = engine.body_lin_vel_w[index].double().numpy()[ours]
    ang = engine.body_ang_vel_w[index].double().numpy()[ours]
    ref_pos = motion.body_pos_w[frame, theirs]
    ref_rot = rotation(motion.body_quat_w[frame, theirs])
    turn = heading(rot[anchor] * ref_rot[anchor].inv())
    origin = np.array([*pos[anchor, :2], ref_pos[anchor, 2]])
    relative_pos = origin + turn.apply(ref_pos - ref_pos[anchor])
    squares = {
        "anchor_position": np.sum((ref_pos[anchor] - pos[anchor]) ** 2),
        "anchor_orientation": (ref_rot[anchor].inv() * rot[anchor]).magnitude() ** 2,
        "body_position": np.sum((relative_pos - pos) ** 2, -1).mean(),
        "body_orientation": (((turn * ref_rot).inv() * rot).magnitude() ** 2).mean(),
        "body_linear_velocity": np.sum(
            (motion.body_lin_vel_w[frame, theirs] - lin) ** 2, -1
        ).mean(),
        "body_angular_velocity": np.sum(
            (motion.body_ang_vel_w[frame, theirs] - ang) ** 2, -1
        ).mean(),
    }
    return {name: float(np.exp(-squares[name] / KERNELS[name][1] ** 2)) for name in KERNELS}


def scattered(env: Environment, *, tilt: bool = True) -> None:
    """Random states around the reference, as far off as a bad policy gets."""
    rng = np.random.default_rng(6)
    n = env.num_envs
    qpos = env.engine.qpos.clone()
    noise = torch.tensor(rng.normal(size=tuple(qpos.shape)), dtype=torch.float32)
    qpos[:, :3] += 0.15 * noise[:, :3]
    if not tilt:
        noise[:, 4:6] = 0.0
        noise[:, [7 + i for i, name in enumerate(env.robot.joint_names) if "waist" in name]] = 0.0
    qpos[:, 3:7] += 0.2 * noise[:, 3:7]
    qpos[:, 3:7] /= qpos[:, 3:7].norm(dim=1, keepdim=True)
    qpos[:, 7:] += 0.2 * noise[:, 7:]
    qvel = torch.tensor(rng.normal(size=(n, env.engine.qvel.shape[1])), dtype=torch.float32)
    env.engine.reset(torch.arange(n), qpos, qvel)
    frame = torch.arange(n) * 7 + 3 if tilt else torch.zeros(n).long()
    motion_command(env).assign(torch.arange(n), torch.zeros(n).long(), frame)
    env.observe()


def test_weights_and_widths_are_the_published() -> None:
    terms = tracking_rewards()
    found = {
        name: (term.weight, term.parameters["std"])
        for name, term in terms.items()
        if term.weight > 0
    }
    assert found == KERNELS
    penalties = {name: term.weight for name, term in terms.items() if term.weight < 0}
    assert penalties == {"action_rate": -0.1, "joint_limit": -10.0, "undesired_contacts": -0.1}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name: str, build, quiet: TaskConfig, motion: RobotMotion) -> None:
    env = build(quiet, num_envs=8)
    scattered(env)
    term = env.cfg.rewards[name]
    values = term.function(env, **term.parameters)
    assert values.shape == (8,)
    wanted = [expected_kernels(env, motion, index)[name] for index in range(8)]
    np.testing.assert_allclose(values, wanted, atol=2e-4, rtol=1e-3)
    assert min(wanted) > 0.0 and max(wanted) < 0.999  # the states do exercise the kernel


def test_action_rate_is_the_squared_difference(build, endless: TaskConfig) -> None:
    env = build(endless)
    first, second = torch.randn(2, 3, 29)
    env.step(first)
    # The action before the first is zero.
    torch.testing.assert_close(rewards.action_rate_l2(env), first.square().sum(-1))
    env.step(second)
    torch.testing.assert_close(rewards.action_rate_l2(env), (second - first).square().sum(-1))


def test_action_rate_survives_a_reused_buffer(build, endless: TaskConfig) -> None:
    env = build(endless)
    buffer = torch.ones(3, 29)
    env.step(buffer)
    buffer.fill_(-1.0)
    env.step(buffer)
    torch.testing.assert_close(rewards.action_rate_l2(env), torch.full((3,), 4.0 * 29))


def test_joint_limit_counts_the_excess_beyond_soft_limits(build, quiet: TaskConfig) -> None:
    env = build(quiet)
    qpos = env.engine.qpos.clone()
    qpos[:, 7:] = env.default_joint_pos
    qpos[0, 7 + 3] = env.soft_upper[3] + 0.05
    qpos[1, 7 + 3] = env.soft_lower[3] - 0.02
    qpos[1, 7 + 14] = env.soft_upper[14] + 0.03
    env.engine.reset(torch.arange(3), qpos, torch.zeros(3, 35))
    wanted = torch.tensor([0.05, 0.05, 0.0])
    torch.testing.assert_close(rewards.joint_limit(env), wanted, atol=1e-5, rtol=0)


def test_undesired_contacts_count_bodies_over_the_threshold(build, quiet: TaskConfig) -> None:
    env = build(quiet)
    force = torch.zeros_like(env.engine.contact_force)
    force[0, 0], force[0, 2], force[1, 1] = 1.1, 300.0, 0.9
    env.engine.contact_force = force
    assert rewards.undesired_contacts(env, threshold=1.0).tolist() == [2.0, 0.0, 0.0]


def test_lying_robot_is_charged_for_its_contacts(build, endless: TaskConfig) -> None:
    env = build(endless)
    qpos = env.engine.qpos.clone()
    qpos[:, 2] = 0.12
    qpos[:, 3:7] = torch.tensor([0.7071068, 0.0, -0.7071068, 0.0])
    env.engine.reset(torch.arange(3), qpos, torch.zeros(3, 35))
    for _ in range(5):
        _, _, _, extras = env.step(torch.zeros(3, 29))
    assert extras["log"]["reward/undesired_contacts"] < -0.05


def test_perfect_tracking_earns_five(build, quiet: TaskConfig, motion: RobotMotion) -> None:
    env = build(quiet)
    assert env.max_reward == pytest.approx(5.0)
    ids = torch.arange(3)
    motion_command(env).restart(ids, torch.zeros(3).long(), torch.tensor([5, 40, 77]))
    env.observe()
    total = torch.zeros(3)
    for name, term in env.cfg.rewards.items():
        value = term.weight * term.function(env, **term.parameters)
        if name in KERNELS:
            # Reference velocities are central differences: exact but for their truncation.
            torch.testing.assert_close(value, torch.full((3,), term.weight), atol=5e-3, rtol=0)
        else:
            assert not value.any(), name
        total += value
    assert (total <= 5.0 + 1e-5).all() and (total > 4.98).all()


def test_step_reward_is_the_weighted_sum_times_the_control_step(
    build, endless: TaskConfig, play
) -> None:
    env = build(endless)
    play(env, 3)
    _, reward, dones, extras = env.step(torch.randn(3, 29))
    assert not dones.any()
    total = sum(t.weight * t.function(env, **t.parameters) for t in env.cfg.rewards.values())
    assert isinstance(total, torch.Tensor)
    torch.testing.assert_close(reward, total * 0.02)
    assert extras["log"]["reward/total"] == pytest.approx(float(total.mean()), rel=1e-4)


def test_reward_compares_state_and_reference_of_the_same_time(build, endless: TaskConfig) -> None:
    # After k steps from the first frame the clip is at frame k.
    env = build(endless)
    assert motion_command(env).frame.tolist() == [0, 0, 0]
    for step in range(1, 4):
        env.step(torch.zeros(3, 29))
        assert motion_command(env).frame.tolist() == [step] * 3


def planar(env: Environment, *, robot: bool) -> None:
    """Move and turn the robot, or the reference, in the ground plane."""
    turn = Rotation.from_euler("z", 2.1)
    quat = torch.tensor(turn.as_quat()[[3, 0, 1, 2]], dtype=torch.float32)
    matrix = torch.tensor(turn.as_matrix(), dtype=torch.float32)
    shift = torch.tensor([3.0, -1.5, 0.0])

    def multiply(b: torch.Tensor) -> torch.Tensor:
        out = turn * rotation(b.reshape(-1, 4).numpy())
        return torch.tensor(out.as_quat()[:, [3, 0, 1, 2]], dtype=torch.float32).reshape(b.shape)

    assert quat.shape == (4,)
    if robot:
        qpos, qvel = env.engine.qpos.clone(), env.engine.qvel.clone()
        qpos[:, :3] = qpos[:, :3] @ matrix.T + shift
        qpos[:, 3:7] = multiply(qpos[:, 3:7])
        qvel[:, :3] = qvel[:, :3] @ matrix.T
        env.engine.reset(torch.arange(env.num_envs), qpos, qvel)
    else:
        library = motion_command(env).library
        library.body_pos_w.copy_(library.body_pos_w @ matrix.T + shift)
        library.body_quat_w.copy_(multiply(library.body_quat_w))
    env.observe()


@pytest.mark.parametrize("moved", ["robot", "reference"])
def test_relative_targets_ignore_place_and_heading(moved: str, build, quiet: TaskConfig) -> None:
    # The published heading difference is exact in the robot's heading, and in the reference's as
    # long as the two torsos differ by a turn about the vertical only.
    env = build(quiet, num_envs=5)
    scattered(env, tilt=moved == "robot")

    def relative() -> torch.Tensor:
        return torch.stack(
            [
                rewards.relative_body_position(env, std=0.3),
                rewards.relative_body_orientation(env, std=0.4),
            ]
        )

    before, place = relative(), rewards.anchor_position(env, std=0.3)
    planar(env, robot=moved == "robot")
    torch.testing.assert_close(relative(), before, atol=1e-4, rtol=1e-3)
    assert (rewards.anchor_position(env, std=0.3) < 1e-6).all() and (place > 1e-6).any()


def test_relative_targets_keep_the_height_of_the_reference(build, quiet: TaskConfig) -> None:
    env = build(quiet)
    qpos = env.engine.qpos.clone()
    qpos[:, 2] += 0.1
    env.engine.reset(torch.arange(3), qpos, env.engine.qvel)
    env.observe()
    value = rewards.relative_body_position(env, std=0.3)
    torch.testing.assert_close(
        value, torch.full((3,), float(np.exp(-0.01 / 0.09))), atol=1e-3, rtol=0
    )


def test_terms_can_be_replaced(build, endless: TaskConfig) -> None:
    only = {"action_rate": tracking_rewards()["action_rate"]}
    env = build(replace(endless, rewards=only))
    _, reward, _, _ = env.step(torch.ones(3, 29))
    torch.testing.assert_close(reward, torch.full((3,), -0.1 * 29 * 0.02))
    assert env.max_reward == 0
