"""Start states, pushes and randomised physics stay in the published ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mimic.envs.commands.motion import ResetNoise, motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import events
from mimic.envs.terms import EventTerm
from mimic.tasks.tracking import tracking
from motions import RobotMotion

MANY = 2000


def reference_state(
    env: Environment, row: torch.Tensor, noise: ResetNoise
) -> tuple[torch.Tensor, torch.Tensor]:
    """Start states as generalised coordinates and velocities."""
    state = motion_command(env).reference_state(row, noise)
    qpos = torch.cat([state.root_pos_w, state.root_quat_w, state.joint_pos], -1)
    return qpos, torch.cat([state.root_lin_vel_w, state.root_ang_vel_b, state.joint_vel], -1)


def rotation(quat: Any) -> Rotation:
    return Rotation.from_quat(np.asarray(quat)[..., [1, 2, 3, 0]])


def fills(values: NDArray, half_widths: Any) -> None:
    """Values stay within +-half_widths and reach nearly to both ends."""
    widths = np.asarray(half_widths, dtype=float)
    assert (np.abs(values) <= widths + 1e-4).all()
    reached = 0.95 * widths - 1e-4
    assert (values.max(0) >= reached).all() and (values.min(0) <= -reached).all()


def test_published_ranges() -> None:
    noise = ResetNoise()
    assert noise.position == (0.05, 0.05, 0.01)
    assert noise.roll_pitch_yaw == (0.1, 0.1, 0.2)
    assert noise.lin_vel == (0.5, 0.5, 0.2)
    assert noise.ang_vel == (0.52, 0.52, 0.78)
    assert noise.joint_pos == 0.1
    terms = tracking().events
    assert terms["foot_friction"].parameters == {"friction": (0.3, 1.2)}
    assert terms["anchor_com"].parameters == {"offset": (0.025, 0.05, 0.05)}
    assert terms["joint_default"].parameters == {"offset": 0.01}
    assert terms["push"].interval_s == (1.0, 3.0)
    assert terms["push"].parameters == {"lin_vel": noise.lin_vel, "ang_vel": noise.ang_vel}


def test_start_state_without_noise_is_the_reference(
    build, quiet: TaskConfig, motion: RobotMotion
) -> None:
    env = build(quiet)
    frames = torch.tensor([0, 31, 64])
    motion_command(env).restart(torch.arange(3), torch.zeros(3).long(), frames)
    engine, rows = env.engine, frames.numpy()
    np.testing.assert_allclose(engine.qpos[:, :3], motion.root_pos[rows], atol=1e-6)
    np.testing.assert_allclose(engine.qpos[:, 3:7], motion.root_quat[rows], atol=1e-6)
    np.testing.assert_allclose(engine.qpos[:, 7:], motion.joint_pos[rows], atol=1e-6)
    np.testing.assert_allclose(engine.qvel[:, 6:], motion.joint_vel[rows], atol=1e-5)
    np.testing.assert_allclose(
        engine.body_lin_vel_w[:, 0], motion.body_lin_vel_w[rows, 0], atol=1e-5
    )
    np.testing.assert_allclose(
        engine.body_ang_vel_w[:, 0], motion.body_ang_vel_w[rows, 0], atol=1e-5
    )


def test_start_noise_ranges(build, quiet: TaskConfig, motion: RobotMotion) -> None:
    env = build(quiet)
    row = 40
    qpos, qvel = reference_state(env, torch.full((MANY,), row), ResetNoise())
    qpos, qvel = qpos.double().numpy(), qvel.double().numpy()
    root = rotation(qpos[:, 3:7])
    fills(qpos[:, :3] - motion.root_pos[row], ResetNoise().position)
    turn = (root * rotation(motion.root_quat[row]).inv()).as_euler("xyz")
    fills(turn, ResetNoise().roll_pitch_yaw)
    fills(qvel[:, :3] - motion.body_lin_vel_w[row, 0], ResetNoise().lin_vel)
    # MuJoCo wants the base's angular velocity in the base frame; the noise is in the world's.
    fills(root.apply(qvel[:, 3:6]) - motion.body_ang_vel_w[row, 0], ResetNoise().ang_vel)
    inner = env.robot.soft_lower + 0.1 < motion.joint_pos[row]
    inner &= env.robot.soft_upper - 0.1 > motion.joint_pos[row]
    assert inner.sum() > 20
    fills((qpos[:, 7:] - motion.joint_pos[row])[:, inner], 0.1)
    np.testing.assert_allclose(qvel[:, 6:] - motion.joint_vel[row], 0.0, atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_of_start_noise_and_pushes(
    strength: float, build, quiet: TaskConfig, motion: RobotMotion
) -> None:
    env = build(quiet, num_envs=200)
    assert env.randomisation == 1.0
    env.randomisation = strength
    qpos, qvel = reference_state(env, torch.full((MANY,), 40), ResetNoise())
    fills(qpos[:, :3].numpy() - motion.root_pos[40], strength * np.array(ResetNoise().position))
    fills(
        qvel[:, :3].numpy() - motion.body_lin_vel_w[40, 0],
        strength * np.array(ResetNoise().lin_vel),
    )
    joints = np.abs(qpos[:, 7:].numpy() - motion.joint_pos[40]).max()
    assert joints == pytest.approx(0.1 * strength, abs=1e-3)
    before = env.engine.qvel.clone()
    events.push(env, torch.arange(200), lin_vel=(0.5, 0.5, 0.2), ang_vel=(0.0, 0.0, 0.0))
    change = (env.engine.qvel - before)[:, 0].abs().max()
    assert float(change) == pytest.approx(0.5 * strength, rel=0.1)


def test_noisy_joints_are_clipped_to_soft_limits(build, quiet: TaskConfig) -> None:
    env = build(quiet)
    joint_pos = motion_command(env).library.joint_pos
    joint_pos.copy_(env.soft_upper.expand_as(joint_pos))
    qpos, _ = reference_state(env, torch.zeros(200).long(), ResetNoise())
    assert (qpos[:, 7:] <= env.soft_upper).all()
    assert (qpos[:, 7:] == env.soft_upper).float().mean() == pytest.approx(0.5, abs=0.05)
    joint_pos.copy_(env.soft_lower.expand_as(joint_pos) - 0.05)
    qpos, _ = reference_state(env, torch.zeros(200).long(), ResetNoise())
    assert (qpos[:, 7:] >= env.soft_lower).all()


def test_reset_leaves_other_environments_alone(build, play) -> None:
    env = build(num_envs=4)
    play(env, 3)
    qpos, qvel = env.engine.qpos.clone(), env.engine.qvel.clone()
    frames, lengths = motion_command(env).frame.clone(), env.episode_length_buf.clone()
    actions = env.actions.clone()
    env.reset_envs(torch.tensor([1, 2]))
    others = [0, 3]
    assert torch.equal(env.engine.qpos[others], qpos[others])
    assert torch.equal(env.engine.qvel[others], qvel[others])
    assert torch.equal(motion_command(env).frame[others], frames[others])
    assert torch.equal(env.episode_length_buf[others], lengths[others])
    assert torch.equal(env.actions[others], actions[others])
    assert not env.actions[[1, 2]].any() and not env.previous_actions[[1, 2]].any()


def test_push_adds_to_the_velocity(build, quiet: TaskConfig) -> None:
    env = build(quiet, num_envs=400)
    fast = env.engine.qvel.clone()
    fast[:, :3] = torch.tensor([3.0, -2.0, 1.0])
    fast[:, 3:6] = torch.tensor([1.0, 2.0, -4.0])
    ids = torch.arange(400)
    env.engine.set_velocity(ids, fast)
    pushed = torch.arange(0, 400, 2)
    before, qpos = env.engine.qvel.clone(), env.engine.qpos.clone()
    events.push(env, pushed, lin_vel=(0.5, 0.5, 0.2), ang_vel=(0.52, 0.52, 0.78))
    change = (env.engine.qvel - before).double().numpy()
    assert torch.equal(env.engine.qpos, qpos)
    assert not change[1::2].any() and not change[:, 6:].any()
    root = rotation(qpos[pushed, 3:7].double().numpy())
    for values, widths in (
        (change[::2, :3], (0.5, 0.5, 0.2)),
        (root.apply(change[::2, 3:6]), (0.52, 0.52, 0.78)),
    ):
        assert (np.abs(values) <= np.array(widths) + 1e-4).all()
        assert (np.abs(values).max(0) > 0.9 * np.array(widths)).all()


def recorder(times: list[list[float]]) -> Callable[..., None]:
    def record(env: Environment, env_ids: torch.Tensor) -> None:
        for index in env_ids.tolist():
            times[index].append(float(env.episode_length_buf[index]) * env.control_dt)

    return record


def test_interval_events_fire_in_their_interval_from_the_start_of_an_episode(
    build, endless: TaskConfig
) -> None:
    times: list[list[float]] = [[] for _ in range(4)]
    term = EventTerm(function=recorder(times), mode="interval", interval_s=(0.1, 0.2))
    env = build(replace(endless, events={"knock": term}), num_envs=4)
    for _ in range(50):
        env.step(torch.zeros(4, 29))
    for fired in times:
        gaps = np.diff([0.0, *fired])
        assert 5 <= len(fired) <= 10
        assert gaps.min() >= 0.1 - 1e-6 and gaps.max() <= 0.2 + 0.021
    for fired in times:
        fired.clear()
    # An episode that begins now is left in peace for the shortest interval.
    for _ in range(12):
        env.reset_envs(torch.arange(4))
        for _ in range(4):
            env.step(torch.zeros(4, 29))
    assert not any(times)


def test_pushed_velocity_is_observed(build, endless: TaskConfig) -> None:
    term = EventTerm(
        function=events.push, mode="interval", interval_s=(0.0, 0.0),
        parameters={"lin_vel": (5.0, 0.0, 0.0), "ang_vel": (0.0, 0.0, 0.0)},
    )  # fmt: skip
    env = build(replace(endless, events={"push": term}), num_envs=8)
    observed, _, _, _ = env.step(torch.zeros(8, 29))
    start = sum(entry["size"] for entry in env.observation_layout("actor")[:3])
    assert observed["actor"][:, start].abs().max() > 1.0
    torch.testing.assert_close(motion_command(env).robot_body_lin_vel_w, env.engine.body_lin_vel_w[
        :, [env.robot.body_names.index(name) for name in env.robot.key_bodies]
    ])  # fmt: skip


def only(name: str) -> dict[str, EventTerm]:
    return {name: tracking().events[name]}


def test_joint_offset_shifts_observation_and_action(
    build, quiet: TaskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = build(replace(quiet, events=only("joint_default")), num_envs=60)
    shift = (env.default_joint_pos_of_env - env.default_joint_pos).numpy()
    assert np.abs(shift).max() <= 0.01 + 1e-6 and np.abs(shift).max() > 0.0095
    assert len(np.unique(shift.round(6))) > 1000  # drawn for each joint of each environment
    term = env.cfg.observations["actor"]["joint_pos"]
    wanted = env.engine.qpos[:, 7:].numpy() - env.robot.default_joint_pos - shift
    np.testing.assert_allclose(term.function(env), wanted, atol=1e-6)
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(env.engine, "step", lambda targets: sent.append(targets.clone()))
    action = torch.full((60, 29), 0.5)
    env.step(action)
    np.testing.assert_allclose(
        sent[0], env.robot.default_joint_pos + shift + 0.5 * env.robot.action_scale, atol=1e-6
    )
    # The contract that leaves with a policy keeps the nominal pose.
    np.testing.assert_allclose(env.default_joint_pos, env.robot.default_joint_pos, atol=1e-6)


def test_friction_is_drawn_for_the_feet(build, quiet: TaskConfig) -> None:
    env = build(replace(quiet, events=only("foot_friction")), num_envs=300)
    values = env.engine.model_field("geom_friction").numpy()
    model = env.scene.model
    feet = [model.body(name).id for name in env.robot.feet]
    ours = np.isin(model.geom_bodyid, feet)
    drawn = values[:, ours, 0]
    assert (drawn == drawn[:, :1]).all()  # both feet of a robot alike
    assert 0.3 <= drawn.min() < 0.32 and 1.18 < drawn.max() <= 1.2
    assert drawn.mean() == pytest.approx(0.75, abs=0.06)
    np.testing.assert_allclose(values[:, ~ours], model.geom_friction[~ours][None].repeat(300, 0))
    np.testing.assert_allclose(
        values[:, ours, 1:], model.geom_friction[ours, 1:][None].repeat(300, 0)
    )


def test_centre_of_mass_of_the_torso_is_drawn(build, quiet: TaskConfig) -> None:
    env = build(replace(quiet, events=only("anchor_com")), num_envs=500)
    values = env.engine.model_field("body_ipos").numpy()
    model = env.scene.model
    torso = model.body("torso_link").id
    fills(values[:, torso] - model.body_ipos[torso], (0.025, 0.05, 0.05))
    others = np.arange(model.nbody) != torso
    np.testing.assert_allclose(values[:, others], model.body_ipos[others][None].repeat(500, 0))


def test_randomisation_changes_the_physics(build, endless: TaskConfig) -> None:
    plain = build(endless)
    other = build(replace(endless, events=only("anchor_com")))
    for _ in range(10):
        plain.step(torch.zeros(3, 29))
        other.step(torch.zeros(3, 29))
    assert torch.equal(plain.engine.qpos[0], plain.engine.qpos[1])
    difference = (other.engine.qpos - plain.engine.qpos).abs().amax(1)
    assert (difference > 1e-5).all()
    assert not torch.allclose(other.engine.qpos[0], other.engine.qpos[1], atol=1e-5)
