"""What a policy is shown of its reference through each interface: in torch, numpy and mirror."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import robots
from mimic.envs.body_parts import hands, leg_joints, upper_key_bodies
from mimic.envs.commands import Interface, InterfaceCommandConfig
from mimic.envs.commands.motion import motion_command
from mimic.envs.environment import Environment, TaskConfig
from mimic.envs.imagination import STATE_TERMS, Imagination, StateRows
from mimic.envs.mdp.interfaces import HEAD, PARTS, shown_points
from mimic.envs.symmetry import reflections
from mimic.policy.contract import PolicyContract, contract_of_env
from mimic.policy.interfaces import interface_of, with_interface
from mimic.policy.observations import ObservationBuilder, Reference, Situation
from mimic.tasks import interfaces as task
from mimic.tasks.interfaces import shown, student_with_interfaces
from mimic_base.errors import MimicError
from mimic_base.frame_fields import FRAME_FIELDS
from mimic_base.rotations_torch import quat_inv_rotate, quat_rotate, yaw_quat
from motions import RobotMotion
from robots import Robot
from robots.symmetry import mirror_map
from tests.conftest import TINY
from tests.envs.test_declared_observations import REPO, measured, mirrored_clip, numpy_of

Build = Callable[..., Environment]
NAMES = tuple(InterfaceCommandConfig().interfaces)
REFERENCE = tuple(shown())


@pytest.fixture
def config(endless: TaskConfig) -> TaskConfig:
    """The student's task without anything random but the interface."""
    made = student_with_interfaces()
    commands = {**endless.commands, "interface": made.commands["interface"]}
    return replace(endless, commands=commands, observations=made.observations)


def columns(env: Environment, name: str) -> torch.Tensor:
    at = 0
    for entry in env.spec.observations["actor"]:
        if entry.name == name:
            return env.get_observations()["actor"][:, at : at + entry.width]
        at += entry.width
    raise AssertionError(name)


def put(env: Environment, names: tuple[str, ...]) -> None:
    """Give each environment an interface."""
    command = env.commands["interface"]
    command.index[:] = torch.tensor([NAMES.index(name) for name in names])  # type: ignore[attr-defined]
    command.mask = command._masks[command.index]  # type: ignore[attr-defined]
    env.observe()


def test_legs_hands_and_upper_body_are_found_in_the_robots_tree(g1: Robot) -> None:
    legs = leg_joints(g1)
    assert [name for name, leg in zip(g1.joint_names, legs, strict=True) if leg] == [
        name for name in g1.joint_names if any(part in name for part in ("hip", "knee", "ankle"))
    ]
    assert hands(g1) == ("left_wrist_yaw_link", "right_wrist_yaw_link")
    assert upper_key_bodies(g1)[0] == "torso_link" and len(upper_key_bodies(g1)) == 7
    assert hands(robots.load(TINY)) is None


def test_what_is_not_shown_does_not_reach_the_policy(build: Build, config: TaskConfig) -> None:
    env = build(config, num_envs=5)
    put(env, NAMES)
    motion_command(env).assign(torch.arange(5), torch.zeros(5).long(), torch.full((5,), 30))
    env.observe()
    default, legs = env.default_joint_pos, env.commands["interface"].legs.bool()  # type: ignore[attr-defined]
    full, points, path, exbody, velocity = range(5)
    target = motion_command(env).target_joints
    joints, root, three = (columns(env, n) for n in REFERENCE[:3])
    torch.testing.assert_close(joints[full], target[full])
    for row in (points, path, velocity):
        torch.testing.assert_close(joints[row], torch.cat([default, 0 * default]))
    torch.testing.assert_close(joints[exbody, :29][~legs], target[exbody, :29][~legs])
    torch.testing.assert_close(joints[exbody, :29][legs], default[legs])
    assert (joints[exbody, 29:][legs] == 0).all() and (joints[exbody, 29:][~legs] != 0).all()
    torch.testing.assert_close(root[exbody], root[full])
    torch.testing.assert_close(root[path], root[full])
    assert (root[points] == 0).all()
    only = torch.tensor([0, 0, 0, 1, 1, 0, 1, 0]).bool()
    torch.testing.assert_close(root[velocity][only], root[full][only])
    assert (root[velocity][~only] == 0).all()
    torch.testing.assert_close(three[points], three[full])
    assert (three[[path, exbody, velocity]] == 0).all()
    ahead = columns(env, "reference_frames").view(5, 3, 66)
    nothing = torch.cat([default, 0 * default, torch.zeros(8)]).expand(3, -1)
    for row in (points, exbody, velocity):
        torch.testing.assert_close(ahead[row], nothing)
    torch.testing.assert_close(ahead[path, :, :58], nothing[:, :58])
    torch.testing.assert_close(ahead[path, :, 58:], ahead[full, :, 58:])
    shows = [each.mask for each in InterfaceCommandConfig().interfaces.values()]
    torch.testing.assert_close(columns(env, "interface"), torch.tensor(shows))


def test_the_points_are_where_a_headset_would_measure_them(
    build: Build, config: TaskConfig
) -> None:
    env = build(config)
    put(env, ("full",) * 3)
    command = motion_command(env)
    command.assign(torch.arange(3), torch.zeros(3).long(), torch.tensor([0, 20, 60]))
    env.observe()
    library, rows = command.library, torch.tensor([1, 21, 61])
    names = env.robot.key_bodies
    torso, left = names.index("torso_link"), names.index("left_wrist_yaw_link")
    quat = library.body_quat_w[rows, torso]
    head = library.body_pos_w[rows, torso] + quat_rotate(quat, torch.tensor(HEAD).expand(3, 3))
    seen = shown_points(env)
    torch.testing.assert_close(seen[:, 0], head[:, 2])
    hand = quat_inv_rotate(yaw_quat(quat), library.body_pos_w[rows, left] - head)
    torch.testing.assert_close(seen[:, 1:4], hand)
    # The head's velocity is that of its own place, not the torso's.
    after = library.body_pos_w[rows + 1, torso] + quat_rotate(
        library.body_quat_w[rows + 1, torso], torch.tensor(HEAD).expand(3, 3)
    )
    moved = quat_inv_rotate(yaw_quat(quat), (after - head) / env.control_dt)
    torch.testing.assert_close(seen[:, 7:10], moved, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_player_builds_what_the_simulation_shows(
    name: str, build: Build, config: TaskConfig
) -> None:
    env = build(task.with_interface(config, name), num_envs=1)
    # What a file says survives its text.
    contract = PolicyContract.from_json(contract_of_env(env, {}).to_json())
    assert interface_of(contract) == name
    library = motion_command(env).library
    clip = Reference(**{name: getattr(library, name).double().numpy() for name in FRAME_FIELDS})
    motion_command(env).restart(torch.tensor([0]), torch.tensor([0]), torch.tensor([88]))
    env.observe()
    builder = ObservationBuilder(contract)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        coming = int(motion_command(env).frame[0]) + contract.reference_lead
        situation = Situation(
            contract, measured(env, 0), clip.frame(coming), numpy_of(env.actions, 0),
            later=lambda steps, coming=coming: clip.frame(coming + steps),
        )  # fmt: skip
        np.testing.assert_allclose(
            builder(situation), env.get_observations()["actor"][0].numpy(), rtol=1e-4, atol=1e-4
        )
        env.step(0.3 * torch.randn(1, 29, generator=generator))


def test_a_contract_is_turned_to_another_interface_and_bad_ones_are_refused(
    build: Build, config: TaskConfig, endless: TaskConfig
) -> None:
    contract = contract_of_env(build(config, num_envs=1), {})
    assert interface_of(contract) == "full"
    turned = with_interface(contract, "velocity", "p.onnx")
    assert turned.commands["interface"]["constants"]["mask"] == [0, 0, 0, 1, 0, 0]
    assert interface_of(turned) == "velocity" and interface_of(contract) == "full"
    with pytest.raises(MimicError, match="p.onnx: .* not trained for the interface 'joystick'"):
        with_interface(contract, "joystick", "p.onnx")
    plain = contract_of_env(build(endless, num_envs=1), {})
    assert interface_of(plain) == ""
    with pytest.raises(MimicError, match="has no interfaces to choose from"):
        with_interface(plain, "full", "p.onnx")
    odd = {**contract.commands["interface"], "constants": {"mask": ["a", [1]]}}
    broken = replace(contract, commands={**contract.commands, "interface": odd})
    with pytest.raises(MimicError, match="constants of the command 'interface' are no lists"):
        Situation(broken, None, None, np.zeros(29)).commands  # type: ignore[arg-type]  # noqa: B018


def test_mirrored_worlds_are_seen_mirrored_through_every_interface(
    build: Build, g1: Robot, motion: RobotMotion, config: TaskConfig
) -> None:
    actor = {name: config.observations["actor"][name] for name in REFERENCE}
    config = replace(config, observations={"actor": actor})
    env = build(config, num_envs=5)
    other = build(config, num_envs=5, motions=[mirrored_clip(g1, motion)])
    for each in (env, other):
        motion_command(each).assign(torch.arange(5), torch.zeros(5).long(), torch.arange(5) * 9)
        put(each, NAMES)
    assert mirror_map(g1) is not None
    reflect = reflections(env)["actor"]
    torch.testing.assert_close(
        other.observe()["actor"], reflect(env.observe()["actor"]), atol=3e-4, rtol=1e-4
    )


def test_interfaces_are_drawn_by_their_shares_with_every_episode(
    build: Build, config: TaskConfig
) -> None:
    drawn = {
        "often": Interface(shows=PARTS, share=3.0), "seldom": Interface(shows=(), share=1.0),
        "never": Interface(shows=("points",), share=0.0),
    }  # fmt: skip
    commands = {**config.commands, "interface": InterfaceCommandConfig(interfaces=drawn)}
    env = build(replace(config, commands=commands), num_envs=600)
    command = env.commands["interface"]
    found = torch.bincount(command.index, minlength=3)  # type: ignore[attr-defined]
    assert found[2] == 0 and 0.68 < found[0] / 600 < 0.82
    before = command.index.clone()  # type: ignore[attr-defined]
    env.reset_envs(torch.arange(300))
    assert (command.index[:300] != before[:300]).any()  # type: ignore[attr-defined]
    assert (command.index[300:] == before[300:]).all()  # type: ignore[attr-defined]
    assert float(command.statistics()["interface/never"]) == 0.0
    # An evaluation has one: the first, or the one that is fixed.
    assert InterfaceCommandConfig().quiet().fixed == "full"
    assert InterfaceCommandConfig(fixed="exbody").quiet().fixed == "exbody"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Interface(shows=("feet",)), "shows 'feet', expected some of legs, upper-body"),
        (lambda: Interface(shows=(), share=-1.0), "share must not be negative, got -1"),
        (lambda: InterfaceCommandConfig(fixed="joystick"), "unknown interface 'joystick'; known"),
        (lambda: InterfaceCommandConfig(interfaces={}), "needs an interface"),
        (
            lambda: InterfaceCommandConfig(interfaces={"a": Interface(shows=(), share=0.0)}),
            "no interface is ever drawn",
        ),
    ],
)  # fmt: skip
def test_interfaces_that_cannot_be_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(MimicError, match=words):
        make()


def test_final_observations_and_imagination_see_the_same(build: Build, config: TaskConfig) -> None:
    env = build(config, num_envs=5)
    put(env, NAMES)
    assert env.observing._rows_agree
    here = StateRows.of_group(
        torch.cat([term.function(env) for term in STATE_TERMS.values()], -1), 29
    )
    imagined = Imagination(env).environment(here, env.actions, env.previous_actions)
    for term in shown().values():
        torch.testing.assert_close(
            term.function(imagined, **term.parameters), term.function(env, **term.parameters)
        )


def test_the_players_observations_need_no_torch() -> None:
    code = "import sys, mimic.envs.mdp.interfaces, mimic.policy.interfaces; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False).returncode == 0
