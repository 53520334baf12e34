"""Playback without torch does what the training environment does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import robots
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import quiet_task
from mimic.policy.contract import contract_of_env
from mimic.policy.export import export_policy
from mimic.policy.player import PolicyPlayer
from mimic.tasks import make_env
from mimic.tasks.registry import task_config
from mimic.viewer.rollout import reference_states, roll_out, to_anchor
from mimic_base.errors import MimicError
from mimic_base.rotations import quat_exp, quat_mul, quat_of_yaw, quat_rotate
from tests.viewer.support import small_policy, swaying_motion, write_policy


@pytest.fixture(scope="module", params=["tracking", "tracking-no-state-estimation"])
def exported(request, tmp_path_factory):
    robot = robots.load("unitree_g1")
    motion = swaying_motion(robot)
    config = quiet_task(task_config(request.param), observation_noise=False)
    env = make_env(config, [motion], num_envs=1, threads=1)
    obs = env.get_observations()["actor"]
    net = small_policy(obs.shape[1], env.num_actions)
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    export_policy(net, contract_of_env(env, {}), obs, path)
    return robot, motion, env, net, PolicyPlayer(path)


def test_playback_agrees_with_the_environment(exported) -> None:
    robot, motion, env, net, player = exported
    motion_command(env).restart(torch.tensor([0]), torch.tensor([0]), torch.tensor([0]))
    env.observe()
    rollout = roll_out(player, player.reference(motion), robot, clip="sway")
    for t in range(25):
        expected = env.get_observations()["actor"].numpy()[0]
        np.testing.assert_allclose(rollout.observations[t], expected, atol=1e-4)
        ours = rollout.states[t].coordinates
        np.testing.assert_allclose(ours, env.engine.qpos[0].numpy(), atol=1e-4)
        c = motion_command(env)
        error = torch.linalg.vector_norm(c.robot_body_pos_w - c.body_pos_w, dim=-1).mean()
        assert rollout.key_body_error[t] == pytest.approx(float(error), abs=1e-5)
        relative = torch.linalg.vector_norm(
            c.robot_body_pos_w - c.body_pos_relative_w, dim=-1
        ).mean()
        assert rollout.key_body_error_anchor[t] == pytest.approx(float(relative), abs=1e-5)
        with torch.inference_mode():
            env.step(net(env.get_observations()["actor"]))


def test_a_rollout_covers_the_clip_and_is_repeatable(exported) -> None:
    robot, motion, _, _, player = exported
    reference = player.reference(motion)
    first, second = (roll_out(player, reference, robot, clip="sway") for _ in range(2))
    assert len(first.states) == reference.num_frames
    assert len(first.actions) == len(first.torques) == reference.num_frames - 1
    assert first.duration == pytest.approx(motion.duration, abs=0.02)
    np.testing.assert_array_equal(first.states.coordinates, second.states.coordinates)
    assert np.abs(first.torques).max() <= robot.effort_limit.max() + 1e-9
    # A foot bears the weight as long as the robot stands.
    assert first.foot_contact[5].any()


def test_a_fall_is_noticed_and_the_rollout_goes_on(exported) -> None:
    robot, motion, _, _, player = exported
    # Without a floor under the reference: it rises half a metre.
    lifted = player.reference(motion)
    lifted.body_pos_w[len(lifted.body_pos_w) // 2 :, :, 2] += 0.5
    rollout = roll_out(player, lifted, robot)
    assert not rollout.success
    assert rollout.failed_at == len(lifted.body_pos_w) // 2
    assert "height" in rollout.failure
    assert len(rollout.states) == lifted.num_frames
    assert rollout.judged.stop == rollout.failed_at


def test_reference_states_put_joints_in_the_robots_order(exported) -> None:
    robot, motion, _, _, player = exported
    states = reference_states(player, player.reference(motion), robot)
    joint = robot.joint_names.index("left_elbow_joint")
    assert states.joint_pos[0, joint] == pytest.approx(motion.joint_pos[0, joint], abs=1e-6)
    np.testing.assert_allclose(states.root_pos_w[0], motion.root_pos[0], atol=1e-6)


def test_a_robot_without_the_policys_joints_is_refused(exported) -> None:
    robot, motion, _, _, player = exported
    with pytest.raises(MimicError, match="not for 'other'"):
        roll_out(player, player.reference(motion), replace(robot, name="other"))


def test_anchor_relative_error_ignores_place_and_heading() -> None:
    rng = np.random.default_rng(0)
    wanted, quats = rng.normal(size=(5, 3)), quat_exp(rng.normal(size=(5, 3)))
    turn = quat_of_yaw(np.array(0.7))
    moved = quat_rotate(turn, wanted) + [1.0, 2.0, 0.0]
    back = to_anchor(wanted, quats, moved, quat_mul(turn, quats), 2)
    np.testing.assert_allclose(back, moved, atol=1e-12)


def test_the_file_plays_its_own_clip(tmp_path: Path) -> None:
    robot = robots.load("unitree_g1")
    path = write_policy(tmp_path / "policy.onnx", swaying_motion(robot), clip_inside=True)
    player = PolicyPlayer(path)
    rollout = roll_out(player, player.reference_inside(), robot)
    assert len(rollout.states) == player.contract.motions[0].frames
