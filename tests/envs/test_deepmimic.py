"""DeepMimic's terms: kernels by hand, targets as the robot sees them, what ends an episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.mdp import deepmimic as d
from mimic.envs.symmetry import reflections
from mimic.policy.contract import contract_of_env
from mimic.policy.observations import ObservationBuilder, Reference, Situation
from mimic.tasks.deepmimic import SCALES, WEIGHTS, deepmimic, deepmimic_product
from mimic_base.frame_fields import FRAME_FIELDS
from motions import RobotMotion
from robots import Robot
from tests.envs.test_declared_observations import measured, mirrored_clip, numpy_of

Build = Callable[..., Environment]


def scattered(build: Build, endless: TaskConfig, num_envs: int = 3) -> Environment:
    """Robots somewhat off their references."""
    config = replace(endless, observations=deepmimic().observations)
    env = build(config, num_envs=num_envs)
    command = motion_command(env)
    frame = torch.arange(num_envs) * 12
    command.assign(torch.arange(num_envs), torch.zeros(num_envs).long(), frame)
    g, robot = torch.Generator().manual_seed(4), env.state.robot

    def some(like: torch.Tensor, size: float) -> torch.Tensor:
        return size * torch.randn(like.shape, generator=g)

    quat = robot.root_quat_w + some(robot.root_quat_w, 0.1)
    env.engine.reset_to(
        torch.arange(num_envs),
        root_pos_w=robot.root_pos_w + some(robot.root_pos_w, 0.1),
        root_quat_w=quat / quat.norm(dim=-1, keepdim=True),
        joint_pos=robot.joint_pos + some(robot.joint_pos, 0.1),
        root_lin_vel_w=some(robot.root_lin_vel_w, 0.3),
        root_ang_vel_b=some(robot.root_ang_vel_b, 0.3),
        joint_vel=some(robot.joint_vel, 0.3),
    )
    env.observe()
    return env


def test_the_kernels_by_hand(build: Build, endless: TaskConfig) -> None:
    env = scattered(build, endless)
    c, robot, library = motion_command(env), env.state.robot, motion_command(env).library
    expected: dict[str, list[float]] = {name: [] for name in d.ERRORS}
    for i in range(3):
        row = int(c.row[i])

        def of(values: torch.Tensor, at: int = i) -> np.ndarray:
            return values[at].double().numpy()

        expected["pose"].append(sum((of(library.joint_pos, row) - of(robot.joint_pos)) ** 2))
        expected["velocity"].append(sum((of(library.joint_vel, row) - of(robot.joint_vel)) ** 2))
        off = of(library.body_pos_w, row)[0] - of(robot.root_pos_w)
        turn = Rotation.from_quat(of(library.body_quat_w, row)[0], scalar_first=True)
        ours = Rotation.from_quat(of(robot.root_quat_w), scalar_first=True)
        angle = (turn * ours.inv()).magnitude()
        expected["root_pose"].append(off @ off + 0.1 * angle**2)
        slip = of(library.body_lin_vel_w, row)[0] - of(robot.root_lin_vel_w)
        spin = of(library.body_ang_vel_w, row)[0] - ours.apply(of(robot.root_ang_vel_b))
        expected["root_velocity"].append(slip @ slip + 0.1 * spin @ spin)
        ends = c.end_effectors.tolist()
        far = of(c.body_pos_relative_w)[ends] - of(c.robot_body_pos_w)[ends]
        expected["key_body"].append((far**2).sum())
    total = np.zeros(3)
    for name, error in expected.items():
        found = d.ERRORS[name](env).numpy()
        np.testing.assert_allclose(found, error, rtol=2e-3, atol=1e-5, err_msg=name)
        assert min(error) > 1e-3, name
        kernel = d.kernel(env, name, SCALES[name]).numpy()
        np.testing.assert_allclose(kernel, np.exp(-SCALES[name] * np.array(error)), rtol=5e-3)
        total += SCALES[name] * np.array(error)
    scales: Any = SCALES
    np.testing.assert_allclose(d.product(env, **scales).numpy(), np.exp(-total), rtol=1e-2)


def test_sum_and_product_are_one_at_most() -> None:
    added = deepmimic().rewards
    assert sum(each.weight for each in added.values() if each.tracking) == pytest.approx(1.0)
    assert {name for name, each in added.items() if each.tracking} == set(WEIGHTS)
    multiplied = deepmimic_product().rewards
    assert [name for name, each in multiplied.items() if each.tracking] == ["product"]
    assert multiplied["product"].parameters == SCALES and multiplied["product"].weight == 1.0


def test_targets_are_told_as_the_robot_sees_them(build: Build, endless: TaskConfig) -> None:
    env = scattered(build, endless)
    c, robot = motion_command(env), env.state.robot
    seen = d.target_root(env, (0, 2)).view(3, 2, 9)
    for i in range(3):
        ours = Rotation.from_quat(robot.root_quat_w[i].double().numpy(), scalar_first=True)
        facing = ours.as_matrix()[:2, 0]
        heading = Rotation.from_euler("z", np.arctan2(facing[1], facing[0]))
        for k, ahead in enumerate((1, 3)):
            row = int(c.row[i]) + ahead
            place = c.library.body_pos_w[row, 0] - robot.root_pos_w[i]
            expected = heading.inv().apply(place.double().numpy())
            np.testing.assert_allclose(seen[i, k, :3], expected, atol=1e-4)
            turn = Rotation.from_quat(
                c.library.body_quat_w[row, 0].double().numpy(), scalar_first=True
            )
            columns = (ours.inv() * turn).as_matrix()[:, :2]
            np.testing.assert_allclose(seen[i, k, 3:], columns.reshape(-1), atol=1e-4)


def test_a_player_builds_what_the_simulation_shows(build: Build, endless: TaskConfig) -> None:
    env = scattered(build, endless, num_envs=1)
    contract = contract_of_env(env, {})
    assert contract.observations[0].name == "command"
    library = motion_command(env).library
    clip = Reference(**{name: getattr(library, name).double().numpy() for name in FRAME_FIELDS})
    builder, coming = ObservationBuilder(contract), contract.reference_lead
    situation = Situation(
        contract, measured(env, 0), clip.frame(coming), numpy_of(env.actions, 0),
        later=lambda steps: clip.frame(coming + steps),
    )  # fmt: skip
    np.testing.assert_allclose(
        builder(situation), env.get_observations()["actor"][0].numpy(), rtol=1e-4, atol=5e-5
    )


def test_a_mirrored_world_is_seen_mirrored(
    build: Build, g1: Robot, motion: RobotMotion, endless: TaskConfig
) -> None:
    config = replace(endless, observations=deepmimic().observations)
    env, other = build(config), build(config, motions=[mirrored_clip(g1, motion)])
    for each in (env, other):
        motion_command(each).restart(
            torch.arange(3), torch.zeros(3).long(), torch.tensor([0, 20, 40])
        )
    seen, expected = other.observe()["actor"], env.observe()["actor"]
    torch.testing.assert_close(seen, reflections(env)["actor"](expected), atol=3e-4, rtol=1e-4)


def test_an_episode_ends_where_something_else_than_feet_touches(
    build: Build, endless: TaskConfig
) -> None:
    env = build(endless)
    force = torch.zeros_like(env.engine.contact_force)
    force[1, -1] = 5.0
    env.engine.contact_force = force
    assert d.touched_down(env, 1.0).tolist() == [False, True, False]
    assert not d.touched_down(env, 6.0).any()
    ends = deepmimic().terminations
    assert set(ends) == {"time_out", "clip_end", "contact", "body_distance", "root_height"}
    assert ends["contact"].function is d.touched_down and ends["clip_end"].time_out
