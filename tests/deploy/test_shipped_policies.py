"""Policies that ship: each knows its robot, walks, and stands, on a robot that tells no place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import robots
from mimic.cli import run
from mimic.deploy.gates import check_observed
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.rest import Rest
from mimic.deploy.setup import ASSETS, DeploySettings, make_guard, make_pilot, references_of
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError

SHIPPED = {"policy_h1_student.onnx": "unitree_h1"}
LARGEST = 3_000_000
"""Bytes of a file that ships."""


@pytest.mark.parametrize("name", SHIPPED)
def test_it_walks_to_its_end_and_stands_there(name: str) -> None:
    path = ASSETS / name
    player, robot = PolicyPlayer(path), robots.load(SHIPPED[name])
    contract = player.contract
    assert path.stat().st_size < LARGEST
    assert contract.robot.name == robot.name and contract.joint_names == robot.joint_names
    check_observed(contract, odometry=False)
    settings = DeploySettings(command_hz=50.0, pilot=PilotSettings(stand_s=0.6, ready_s=0.5))
    simulated = SimulatedRobot(
        robot, SimulationSettings(tick=0.02, physics_hz=200.0, odometry=False)
    )
    clips, identity = references_of(player, ()), simulated.identity
    pilot = make_pilot(
        player, identity, clips, Chain.of(robot, contract.anchor_body, contract.joint_names),
        settings, rest=Rest.of(contract, robot, clips),
    )  # fmt: skip
    steps = LockStep(simulated, make_guard(player, identity, settings), pilot, 1)
    root = contract.body_names.index(contract.root_body)
    way = clips[0].body_pos_w[:, root, :2]
    began = np.zeros(2)
    for _ in steps.run(way.shape[0] * 0.02 + 4.0):
        assert not steps.guard.trip, steps.guard.told
        if pilot.mode < Mode.TRACK:
            began = simulated.body.state.root_pos_w[:2].copy()
    walked = np.linalg.norm(simulated.body.state.root_pos_w[:2] - began)
    assert pilot.mode == Mode.HOLD and simulated.time - pilot.machine.since > 2.0
    assert walked > 0.7 * np.linalg.norm(way[-1] - way[0])
    assert simulated.inspector.unsafe == 0


@pytest.mark.parametrize(
    ("output", "damage", "said"),
    [
        ("joint_pos", np.nan, "a number is not finite in frame 7 of 'joint_pos'"),
        ("body_quat_w", 0.0, "a quaternion is not of length one in frame 7 of 'body_quat_w'"),
    ],
)
def test_a_damaged_frame_of_the_clip_inside_is_refused_before_anything_moves(
    output: str, damage: float, said: str, tmp_path: Path
) -> None:
    model = onnx.load(ASSETS / "policy_g1_student.onnx")
    tables = {each.name: each for each in model.graph.initializer}
    (gather,) = [node for node in model.graph.node if output in node.output]
    table = tables[next(name for name in gather.input if name in tables)]
    values = numpy_helper.to_array(table).copy()
    values[7].flat[:4] = damage
    table.CopyFrom(numpy_helper.from_array(values, table.name))
    path = tmp_path / "damaged.onnx"
    onnx.save(model, path)
    with pytest.raises(MimicError, match=said):
        run(["deploy", str(path), "--lock-step", "--out", str(tmp_path / "out")])
    assert not list(tmp_path.glob("out/*"))
