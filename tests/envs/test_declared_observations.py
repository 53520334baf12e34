"""Every declared observation is the same in torch, in numpy and in the mirror; so are features."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mimic.envs import features
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.features import BodyState
from mimic.envs.mdp import observations as ours
from mimic.envs.observation import (
    find_observation,
    observable,
    observations,
    reference_to,
    unchanged,
)
from mimic.envs.symmetry import reflections
from mimic.envs.terms import ObservationTerm
from mimic.policy.contract import ObservationInfo, contract_of_env
from mimic.policy.observations import ObservationBuilder, Reference, RobotState, Situation
from mimic_base.errors import MimicError
from mimic_base.frame_fields import FRAME_FIELDS
from mimic_base.trust import consent
from motions import RobotMotion
from robots import Robot
from robots.kinematics import forward_kinematics
from robots.symmetry import mirror_map

Build = Callable[..., Environment]
REPO = Path(__file__).resolve().parents[2]
NAMES = sorted(
    reference.partition(":")[2] for reference in observations()
    if reference.startswith(ours.__name__)
)  # fmt: skip
FEATURES = (
    features.root_height, features.projected_gravity, features.root_lin_vel_b,
    features.root_ang_vel_b, features.joint_pos, features.joint_vel, features.body_pos_heading,
)  # fmt: skip


def with_every_observation(config: TaskConfig) -> TaskConfig:
    terms = {name: ObservationTerm(function=getattr(ours, name)) for name in NAMES}
    return replace(config, observations={"actor": terms})


def numpy_of(values: torch.Tensor, index: int) -> Any:
    return values[index].double().numpy()


def measured(env: Environment, index: int) -> RobotState:
    command, robot = motion_command(env), env.state.robot
    return RobotState(
        joint_pos=numpy_of(robot.joint_pos, index),
        joint_vel=numpy_of(robot.joint_vel, index),
        root_ang_vel_b=numpy_of(robot.root_ang_vel_b, index),
        root_lin_vel_b=numpy_of(robot.root_lin_vel_b, index),
        root_pos_w=numpy_of(robot.root_pos_w, index),
        root_quat_w=numpy_of(robot.root_quat_w, index),
        anchor_pos_w=numpy_of(command.robot_anchor_pos_w, index),
        anchor_quat_w=numpy_of(command.robot_anchor_quat_w, index),
        body_pos_w=numpy_of(command.robot_body_pos_w, index),
        body_quat_w=numpy_of(command.robot_body_quat_w, index),
    )


def test_all_that_the_tasks_observe_is_declared() -> None:
    assert {"command", "joint_pos", "body_ori_b", "projected_gravity", "root_height"} <= set(NAMES)
    assert len(NAMES) >= 12


def test_torch_and_numpy_observe_the_same(build: Build, endless: TaskConfig, play) -> None:
    env = build(with_every_observation(endless), num_envs=3)
    play(env, 7)
    contract = contract_of_env(env, {})
    library = motion_command(env).library
    clip = Reference(**{name: getattr(library, name).double().numpy() for name in FRAME_FIELDS})
    for index in range(3):
        frame = clip.frame(int(motion_command(env).frame[index]) + contract.reference_lead)
        situation = Situation(contract, measured(env, index), frame, numpy_of(env.actions, index))
        built = ObservationBuilder(contract)(situation)
        expected = env.get_observations()["actor"][index].numpy()
        at = 0
        for entry in contract.observations:
            part = slice(at, at + entry.size)
            np.testing.assert_allclose(
                built[part], expected[part], rtol=1e-4, atol=3e-5, err_msg=entry.name
            )
            at += entry.size


def mirrored_clip(robot: Robot, motion: RobotMotion) -> RobotMotion:
    mirror = mirror_map(robot)
    joints = mirror.joint_sign * motion.joint_pos[:, mirror.joint_index]
    pos, quat = forward_kinematics(
        robot, motion.body_pos_w[:, 0] * [1, -1, 1], motion.body_quat_w[:, 0] * [1, -1, 1, -1],
        joints,
    )  # fmt: skip
    return RobotMotion.build(
        fps=motion.fps, joint_pos=joints, body_pos_w=pos, body_quat_w=quat, robot=robot.name,
        joint_names=robot.joint_names, body_names=robot.body_names, name="mirrored",
    )  # fmt: skip


def test_every_mirror_rule_is_what_the_mirrored_world_shows(
    build: Build, g1: Robot, motion: RobotMotion, endless: TaskConfig
) -> None:
    mirror, flip = mirror_map(g1), torch.tensor([1.0, -1.0, 1.0])
    config = with_every_observation(endless)
    env = build(config, num_envs=4)
    other = build(config, num_envs=4, motions=[mirrored_clip(g1, motion)])
    reflect = reflections(env)
    actions = 0.3 * torch.randn(4, 29, generator=torch.Generator().manual_seed(1))
    env.step(actions)
    other.step(reflect["actions"](actions))
    robot, sign = env.state.robot, torch.from_numpy(mirror.joint_sign).float()
    index = torch.from_numpy(mirror.joint_index)
    other.engine.reset_to(
        torch.arange(4),
        root_pos_w=robot.root_pos_w * flip,
        root_quat_w=robot.root_quat_w * torch.tensor([1.0, -1, 1, -1]),
        joint_pos=sign * robot.joint_pos[:, index],
        root_lin_vel_w=robot.root_lin_vel_w * flip,
        root_ang_vel_b=robot.root_ang_vel_b * -flip,
        joint_vel=sign * robot.joint_vel[:, index],
    )
    seen, expected = other.observe()["actor"], reflect["actor"](env.get_observations()["actor"])
    at = 0
    for entry in env.spec.observations["actor"]:
        part = slice(at, at + entry.width)
        torch.testing.assert_close(
            seen[:, part], expected[:, part], atol=3e-4, rtol=1e-4,
            msg=lambda text, name=entry.name: f"{name}: {text}",
        )  # fmt: skip
        at += entry.width


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.__name__)
def test_features_agree_on_simulation_library_and_player(
    feature: Callable[[Any], Any], build: Build, quiet: TaskConfig
) -> None:
    """A robot that stands exactly on its reference shows what the reference shows."""
    env = build(quiet)
    command = motion_command(env)
    rows = torch.tensor([3, 40, 77])
    command.restart(torch.arange(3), torch.zeros(3).long(), rows)
    env.observe()
    bodies = [env.robot.body_names.index(name) for name in env.robot.key_bodies]
    simulated = feature(BodyState.of_robot(env.state.robot, bodies))
    library = feature(BodyState.of_frames(command.library, rows))
    torch.testing.assert_close(simulated, library, atol=2e-4, rtol=1e-3)
    clip = Reference(**{
        name: getattr(command.library, name).double().numpy() for name in FRAME_FIELDS
    })  # fmt: skip
    for index, row in enumerate(rows.tolist()):
        played = feature(BodyState.of_frames(clip, row))
        np.testing.assert_allclose(played, library[index].numpy(), atol=1e-5, rtol=1e-4)


def test_body_positions_in_the_heading_frame_forget_place_and_heading_only() -> None:
    turn = np.array([np.cos(0.6), 0, 0, np.sin(0.6)])
    zero = np.zeros(3)

    def state(pos: list[float], quat: Any, bodies: Any) -> BodyState:
        return BodyState(
            root_pos_w=np.array(pos), root_quat_w=quat, root_lin_vel_w=zero, root_ang_vel_b=zero,
            joint_pos=zero, joint_vel=zero, body_pos_w=bodies, body_quat_w=None,
            body_lin_vel_w=None, body_ang_vel_w=None,
        )  # fmt: skip

    bodies = np.array([[0.0, 0, 0.8], [1.0, 2.0, 0.5]])
    plain = features.body_pos_heading(state([0, 0, 0.8], np.array([1.0, 0, 0, 0]), bodies))
    np.testing.assert_allclose(plain, bodies.reshape(-1))
    angle = 1.2
    rotation = np.array([
        [np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1],
    ])  # fmt: skip
    moved = bodies @ rotation.T + [3, 4, 0]
    np.testing.assert_allclose(features.body_pos_heading(state([3, 4, 0.8], turn, moved)), plain,
                               atol=1e-12)  # fmt: skip


def test_declarations_and_features_need_no_torch() -> None:
    code = (
        "import sys, mimic.envs.mdp.observations, mimic.envs.features, mimic.envs.failure; "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False)
    assert done.returncode == 0


def test_observations_of_ones_own_are_found_by_module_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_observations.py").write_text(
        "from mimic.envs.observation import observable, unchanged\n\n\n"
        "@observable(mirror=unchanged())\n"
        "def height(env):\n    return env.state.robot.root_pos_w[..., 2:]\n\n\n"
        "def plain(env):\n    return env\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    consent(["my_observations"])
    assert find_observation("my_observations:height").__name__ == "height"
    with pytest.raises(MimicError, match="not declared there"):
        find_observation("my_observations:plain")
    with pytest.raises(MimicError, match="cannot be imported"):
        find_observation("no_such_package:height")
    assert observable  # what the module above declares with


@observable(mirror=unchanged())
def box_to_goal(env: Any) -> Any:
    return env.commands["goal"].height - env.state.objects["box"].pos_w[..., 2:]


def test_a_player_is_told_of_commands_and_objects(build: Build, endless: TaskConfig) -> None:
    env = build(endless)
    contract = replace(
        contract_of_env(env, {}),
        observations=(ObservationInfo(name="to_goal", size=1, function=reference_to(box_to_goal)),),
    )
    state, nothing = measured(env, 0), np.zeros(29)
    goal = {"goal": SimpleNamespace(height=np.array([1.0]))}
    box = {"box": SimpleNamespace(pos_w=np.array([0.0, 0.0, 0.3]))}
    builder = ObservationBuilder(contract)
    built = builder(Situation(contract, state, None, nothing, goal, box))
    np.testing.assert_allclose(built, [0.7], rtol=1e-6)
    with pytest.raises(MimicError, match="'to_goal' looks at 'goal', which is not given"):
        builder(Situation(contract, state, None, nothing))
    with pytest.raises(MimicError, match="looks at 'box', which is not given; given are goal"):
        builder(Situation(contract, state, None, nothing, goal))
