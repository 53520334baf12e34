"""What students and teachers see: nothing global, the same in torch, numpy and the mirror."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.imagination import STATE_TERMS, Imagination, StateRows
from mimic.envs.mdp.future import reference_frames, reference_root
from mimic.envs.observation import observable, unchanged
from mimic.envs.symmetry import reflections
from mimic.envs.terms import ObservationTerm
from mimic.policy.contract import contract_of_env
from mimic.policy.observations import ObservationBuilder, Reference, Situation
from mimic.tasks import make_env
from mimic.tasks.student import STUDENT_STEPS, student, student_with_heading, teacher
from mimic_base.errors import MimicError
from mimic_base.frame_fields import FRAME_FIELDS
from mimic_base.rotations_torch import quat_inv_rotate, quat_mul, yaw_quat
from motions import RobotMotion
from robots import Robot
from robots.symmetry import mirror_map
from tests.envs.test_declared_observations import REPO, measured, mirrored_clip, numpy_of

Build = Callable[..., Environment]


def seen_in(endless: TaskConfig, config: TaskConfig) -> TaskConfig:
    return replace(endless, observations=config.observations)


def columns(env: Environment, group: str, name: str) -> torch.Tensor:
    at = 0
    for entry in env.spec.observations[group]:
        if entry.name == name:
            return env.get_observations()[group][:, at : at + entry.width]
        at += entry.width
    raise AssertionError(name)


def test_a_student_sees_no_place_no_velocity_of_the_base_and_no_heading(
    build: Build, endless: TaskConfig
) -> None:
    """A world that is moved and turned looks the same to it; its critic knows better."""
    env = build(seen_in(endless, student()))
    here = env.get_observations().clone()
    robot, everyone = env.state.robot, torch.arange(3)
    turn = torch.tensor([np.cos(0.5), 0.0, 0.0, np.sin(0.5)]).float().repeat(3, 1)
    env.engine.reset_to(
        everyone,
        root_pos_w=robot.root_pos_w + torch.tensor([3.0, -2.0, 0.4]),
        root_quat_w=quat_mul(turn, robot.root_quat_w),
        joint_pos=robot.joint_pos,
        root_lin_vel_w=robot.root_lin_vel_w + 1.0,
        root_ang_vel_b=robot.root_ang_vel_b,
        joint_vel=robot.joint_vel,
    )
    there = env.observe()
    torch.testing.assert_close(there["actor"], here["actor"], atol=1e-5, rtol=1e-5)
    assert (there["critic"] - here["critic"]).abs().max() > 0.5
    names = [entry.name for entry in env.spec.observations["actor"]]
    assert names[:3] == ["command", "reference_root", "reference_frames"]
    assert not {"motion_anchor_pos_b", "base_lin_vel", "motion_anchor_ori_b"} & set(names)
    assert "motion_anchor_ori_b" in student_with_heading().observations["actor"]


def test_the_reference_is_told_as_its_own_heading_sees_it(
    build: Build, endless: TaskConfig
) -> None:
    env = build(endless)
    command = motion_command(env)
    command.assign(torch.arange(3), torch.zeros(3).long(), torch.tensor([0, 20, 95]))
    env.observe()
    library = command.library
    row = torch.tensor([1, 21, 96])
    quat, velocity = library.body_quat_w[row, 0], library.body_lin_vel_w[row, 0]
    seen = reference_root(env)
    torch.testing.assert_close(seen[:, 3:6], quat_inv_rotate(yaw_quat(quat), velocity))
    torch.testing.assert_close(seen[:, 6], library.body_ang_vel_w[row, 0, 2])
    torch.testing.assert_close(seen[:, 7], library.body_pos_w[row, 0, 2])
    # Frame by frame, the last one for all that would come after it.
    frames = reference_frames(env, (0, 7)).view(3, 2, -1)
    torch.testing.assert_close(frames[:, 0, 58:], seen)
    last = int(library.length[0]) - 1
    later = torch.tensor([8, 28, min(103, last)])
    torch.testing.assert_close(frames[:, 1, :29], library.joint_pos[later])


@pytest.mark.parametrize("make", [student, student_with_heading], ids=lambda f: f.__name__)
def test_a_player_builds_what_the_simulation_shows_with_its_history(
    make: Callable[[], TaskConfig], build: Build, endless: TaskConfig
) -> None:
    """Step after step from the start, so that the player's own history fills as the task's does."""
    env = build(seen_in(endless, make()), num_envs=1)
    contract = contract_of_env(env, {})
    assert {entry.history for entry in contract.observations} == {1, 5}
    library = motion_command(env).library
    clip = Reference(**{name: getattr(library, name).double().numpy() for name in FRAME_FIELDS})
    motion_command(env).restart(torch.tensor([0]), torch.tensor([0]), torch.tensor([88]))
    env.observe()
    builder = ObservationBuilder(contract)
    generator = torch.Generator().manual_seed(1)
    for _ in range(9):
        coming = int(motion_command(env).frame[0]) + contract.reference_lead
        situation = Situation(
            contract, measured(env, 0), clip.frame(coming), numpy_of(env.actions, 0),
            later=lambda steps, coming=coming: clip.frame(coming + steps),
        )  # fmt: skip
        np.testing.assert_allclose(
            builder(situation), env.get_observations()["actor"][0].numpy(), rtol=1e-4, atol=5e-5
        )
        env.step(0.3 * torch.randn(1, 29, generator=generator))
    with pytest.raises(MimicError, match="observes the reference 20 control steps ahead"):
        builder(Situation(contract, measured(env, 0), clip.frame(3), numpy_of(env.actions, 0)))


def test_mirrored_worlds_are_seen_mirrored(
    build: Build, g1: Robot, motion: RobotMotion, endless: TaskConfig
) -> None:
    groups = {"actor": student().observations["actor"], "critic": teacher().observations["actor"]}
    config = replace(endless, observations=groups)
    env = build(config, num_envs=4)
    other = build(config, num_envs=4, motions=[mirrored_clip(g1, motion)])
    mirror, flip = mirror_map(g1), torch.tensor([1.0, -1.0, 1.0])
    reflect = reflections(env)
    robot, sign = env.state.robot, torch.from_numpy(mirror.joint_sign).float()
    index = torch.from_numpy(mirror.joint_index)
    for each in (env, other):
        motion_command(each).assign(torch.arange(4), torch.zeros(4).long(), torch.arange(4) * 9)
    shift = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    angles = torch.randn(4, 29, generator=torch.Generator().manual_seed(3))
    env.drawn |= {
        "anchor_com": shift, "joint_default": angles, "foot_friction": shift[:, :1], "kd": angles,
    }  # fmt: skip
    other.drawn |= {
        "anchor_com": shift * flip, "joint_default": sign * angles[:, index],
        "foot_friction": shift[:, :1], "kd": angles[:, index],
    }  # fmt: skip
    other.engine.reset_to(
        torch.arange(4),
        root_pos_w=robot.root_pos_w * flip,
        root_quat_w=robot.root_quat_w * torch.tensor([1.0, -1, 1, -1]),
        joint_pos=sign * robot.joint_pos[:, index],
        root_lin_vel_w=robot.root_lin_vel_w * flip,
        root_ang_vel_b=robot.root_ang_vel_b * -flip,
        joint_vel=sign * robot.joint_vel[:, index],
    )
    seen, expected = other.observe(), env.observe()
    for group in groups:
        torch.testing.assert_close(
            seen[group], reflect[group](expected[group]), atol=3e-4, rtol=1e-4
        )


def test_a_rule_that_does_not_divide_its_observation_is_refused(
    build: Build, endless: TaskConfig
) -> None:
    @observable(mirror=unchanged(2))
    def odd(env: Environment) -> torch.Tensor:
        return env.actions[:, :3]

    actor = {"odd": ObservationTerm(function=odd)}
    env = build(replace(endless, observations={"actor": actor}))
    with pytest.raises(MimicError, match="'odd' has 3 columns, its left-right reflection 2"):
        reflections(env)


def test_final_observations_and_imagination_see_the_same(build: Build, endless: TaskConfig) -> None:
    env = build(seen_in(endless, student()), num_envs=4)
    assert env.observing._rows_agree
    here = StateRows.of_group(
        torch.cat([term.function(env) for term in STATE_TERMS.values()], -1), 29
    )
    imagined = Imagination(env).environment(here, env.actions, env.previous_actions)
    torch.testing.assert_close(
        reference_frames(imagined, STUDENT_STEPS), reference_frames(env, STUDENT_STEPS)
    )


def test_a_teacher_sees_what_was_drawn_and_zeros_where_nothing_was(
    build: Build, endless: TaskConfig, motion: RobotMotion, g1: Robot
) -> None:
    env = make_env("tracking-teacher", [motion], num_envs=4, robot=g1, seed=3)
    friction = columns(env, "actor", "drawn_numbers")
    feet = [env.scene.model.body(name).id for name in g1.feet]
    geom = next(g for g in range(env.scene.model.ngeom) if env.scene.model.geom_bodyid[g] in feet)
    simulated = env.engine.model_field("geom_friction")[:, geom, 0]
    nominal = float(env.scene.model.geom_friction[geom, 0])
    torch.testing.assert_close(friction[:, 0] + nominal, simulated.float())
    assert len(friction[:, 0].unique()) == 4
    shift = columns(env, "actor", "drawn_joint_angles")
    torch.testing.assert_close(env.default_joint_pos + shift, env.default_joint_pos_of_env)
    assert columns(env, "actor", "foot_contacts").shape == (4, 2)
    quiet = build(seen_in(endless, teacher()))
    assert not columns(quiet, "actor", "drawn_vectors").any()
    assert quiet.spec.sizes["actor"] == env.spec.sizes["actor"]


def test_the_players_observations_need_no_torch() -> None:
    code = "import sys, mimic.envs.mdp.future; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False).returncode == 0
