"""Policies that ship: each knows its robot, walks, and stands, on a robot that tells no place."""

from __future__ import annotations

import numpy as np
import pytest

import robots
from mimic.deploy.gates import check_observed
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.rest import Rest
from mimic.deploy.setup import ASSETS, DeploySettings, make_guard, make_pilot, references_of
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.policy.player import PolicyPlayer

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
