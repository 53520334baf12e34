"""The player needs no torch and sees what the environment sees."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robots
from mimic.envs import Environment
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import quiet_task
from mimic.envs.observation import is_observable
from mimic.learning import run_config
from mimic.learning.runner import start_runner
from mimic.policy.observations import RobotState
from mimic.policy.player import PolicyPlayer
from mimic.tasks import make_env
from mimic.tasks.tracking import tracking
from mimic_base.errors import MimicError
from motions import InputError, RobotMotion
from tests.conftest import TINY
from tests.envs.conftest import sway

REPO = Path(__file__).resolve().parents[2]
CONFIG = run_config(
    num_envs=4, iterations=1, steps_per_iteration=4, actor_hidden=(8,), critic_hidden=(8,),
    workers=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def motion() -> RobotMotion:
    return sway(robots.load(TINY), fps=30.0)


def player_and_env(
    motion: RobotMotion, folder: Path, state_estimation: bool
) -> tuple[PolicyPlayer, Environment]:
    config = quiet_task(tracking(state_estimation=state_estimation), observation_noise=False)
    env = make_env(config, [motion], num_envs=4, robot=TINY, threads=1)
    runner = start_runner(env, CONFIG)
    runner.export(folder / "policy.onnx")
    return PolicyPlayer(folder / "policy.onnx"), env


def state_of(env: Environment, index: int, *, estimated: bool) -> RobotState:
    def row(tensor: torch.Tensor) -> Any:
        return tensor[index].double().numpy()

    extra = {}
    if estimated:
        extra = {
            "anchor_pos_w": row(motion_command(env).robot_anchor_pos_w),
            "root_lin_vel_b": row(TERMS_OF_ENV["base_lin_vel"](env)),
        }
    return RobotState(
        joint_pos=row(env.engine.qpos[:, 7:]),
        joint_vel=row(env.engine.qvel[:, 6:]),
        root_ang_vel_b=row(env.engine.qvel[:, 3:6]),
        anchor_quat_w=row(motion_command(env).robot_anchor_quat_w),
        **extra,
    )


def terms_of_env() -> dict[str, Any]:
    terms = tracking(state_estimation=True).observations["actor"]
    return {name: term.function for name, term in terms.items()}


TERMS_OF_ENV = terms_of_env()


def test_importing_the_player_does_not_import_torch() -> None:
    code = (
        "import sys, mimic.policy.player; "
        "sys.exit(any(n.split('.')[0] in ('torch', 'tensordict', 'rsl_rl') for n in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_every_actor_term_of_the_task_is_declared_for_the_player() -> None:
    assert len(TERMS_OF_ENV) == 8
    assert all(is_observable(function) for function in TERMS_OF_ENV.values())


def test_playing_a_policy_in_one_simulated_robot_does_not_import_torch() -> None:
    code = (
        "import sys, numpy as np, robots, mimic.viewer.rollout; "
        "from mimic.sim.scene import make_scene; "
        "assert make_scene(robots.load('unitree_g1')).height(0.0, 0.0) == 0.0; "
        "sys.exit('torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_the_player_rebuilds_histories_and_filters_but_no_delays(
    motion: RobotMotion, tmp_path: Path
) -> None:
    task = tracking(state_estimation=False)
    terms = task.observations["actor"]
    actor = {
        **terms,
        "joint_pos": replace(terms["joint_pos"], history=4),
        "base_ang_vel": replace(terms["base_ang_vel"], filter=8.0, history=2),
        "joint_vel": replace(terms["joint_vel"], delay=(0, 2)),
    }
    config = quiet_task(replace(task, observations={**task.observations, "actor": actor}))
    config = replace(config, terminations={})
    env = make_env(config, [motion], num_envs=4, robot=TINY, threads=1)
    runner = start_runner(env, CONFIG)
    runner.export(tmp_path / "policy.onnx")
    player = PolicyPlayer(tmp_path / "policy.onnx")
    told = {each.name: each for each in player.contract.observations}
    assert player.contract.schema == "humanoid-mimic/policy/2"
    assert told["joint_pos"].history == 4 and told["base_ang_vel"].filter == 8.0
    assert told["joint_vel"].delay == (0, 2)
    assert player.contract.commands["motion"]["reference_lead"] == 1
    reference = player.reference(motion)
    late = slice(-told["joint_vel"].size - told["actions"].size, -told["actions"].size)
    for episode in range(2):
        env.reset()
        player.restart()
        for step in range(7):
            expected = env.get_observations()["actor"][0].numpy().copy()
            built = player.observe(
                state_of(env, 0, estimated=False), reference,
                int(motion_command(env).frame[0]), env.actions[0].numpy(),
            )  # fmt: skip
            # The delay is the simulated robot's own; a real one has its own.
            built[late], expected[late] = 0.0, 0.0
            np.testing.assert_allclose(
                built, expected, rtol=1e-4, atol=3e-5, err_msg=f"{episode} {step}"
            )
            env.step(0.3 * torch.from_numpy(player.act(env.get_observations()["actor"].numpy())))


@pytest.mark.parametrize("state_estimation", [True, False])
def test_the_player_observes_and_acts_as_the_environment(
    motion: RobotMotion, tmp_path: Path, state_estimation: bool
) -> None:
    player, env = player_and_env(motion, tmp_path, state_estimation)
    reference = player.reference(motion)
    assert reference.num_frames == motion_command(env).library.num_frames
    action = np.zeros((4, env.num_actions), np.float32)
    for step in range(12):
        expected = env.get_observations()["actor"]
        for index in (0, 3):
            built = player.observe(
                state_of(env, index, estimated=state_estimation),
                reference, int(motion_command(env).frame[index]), env.actions[index].numpy(),
            )  # fmt: skip
            np.testing.assert_allclose(built, expected[index].numpy(), rtol=1e-4, atol=2e-5)
        action = player.act(expected.numpy())
        targets = env.default_joint_pos + env.action_scale * torch.from_numpy(action)
        np.testing.assert_allclose(player.joint_targets(action), targets.numpy(), atol=1e-6)
        env.step(torch.from_numpy(action) + 0.1 * step)


def test_the_reference_is_found_by_name_and_ends_on_its_last_frame(
    motion: RobotMotion, tmp_path: Path
) -> None:
    player, _ = player_and_env(motion, tmp_path, False)
    plain = player.reference(motion)
    shuffled = motion.with_joint_order(motion.joint_names[::-1])
    np.testing.assert_array_equal(player.reference(shuffled).joint_pos, plain.joint_pos)
    end = plain.frame(10_000)
    np.testing.assert_array_equal(end.joint_pos, plain.joint_pos[-1])
    np.testing.assert_array_equal(plain.frame(-1).body_pos_w, plain.body_pos_w[0])


def test_what_does_not_fit_is_refused(motion: RobotMotion, tmp_path: Path) -> None:
    player, env = player_and_env(motion, tmp_path, True)
    other = replace(motion, robot="atlas")
    with pytest.raises(InputError, match="'sway': the motion is for robot 'atlas'.*--robot"):
        player.reference(other)
    with pytest.raises(MimicError, match="holds no clip"):
        player.reference_inside()
    state = state_of(env, 0, estimated=False)
    with pytest.raises(MimicError, match="observes 'anchor_pos_w', which the robot does not"):
        player.observe(state, player.reference(motion), 0, np.zeros(env.num_actions))
    state = state_of(env, 0, estimated=True)
    with pytest.raises(MimicError, match=r"'actions' has shape \(1,\)"):
        player.observe(state, player.reference(motion), 0, np.zeros(1))


def test_torques_are_the_motors_law_within_its_limits(motion: RobotMotion, tmp_path: Path) -> None:
    player, env = player_and_env(motion, tmp_path, False)
    robot = env.robot
    q = robot.default_joint_pos
    torque = player.torques(q + 0.01, q, np.full_like(q, 0.1))
    np.testing.assert_allclose(torque, robot.kp * 0.01 - robot.kd * 0.1)
    np.testing.assert_allclose(player.torques(q + 1e3, q, 0 * q), robot.effort_limit)
    np.testing.assert_allclose(player.torques(q - 1e3, q, 0 * q), -robot.effort_limit)
