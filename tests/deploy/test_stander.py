"""A policy of its own holds what another one has tracked, and gives the robot back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.commands.deploy import Deploy
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.replay import replay
from mimic.deploy.rest import Rest
from mimic.deploy.setup import (
    ASSETS,
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    make_stander,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError

STUDENT = ASSETS / "policy_g1_student.onnx"


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="module")
def tracker() -> PolicyPlayer:
    return PolicyPlayer(SHIPPED_POLICY)


def deployment(tracker: PolicyPlayer, robot: robots.Robot, holds: Path | None) -> LockStep:
    settings = DeploySettings(command_hz=50.0, pilot=PilotSettings(stand_s=0.6, ready_s=0.5))
    simulated = SimulatedRobot(robot, SimulationSettings(tick=0.02, physics_hz=200.0))
    contract, clips, identity = tracker.contract, references_of(tracker, ()), simulated.identity
    player = None if holds is None else PolicyPlayer(holds)
    stander = None
    if player is not None:
        stander = make_stander(player, tracker, robot, identity, settings)
    pilot = make_pilot(
        tracker, identity, clips, Chain.of(robot, contract.anchor_body, contract.joint_names),
        settings, rest=Rest.of(contract, robot, clips), stander=stander,
    )  # fmt: skip
    return LockStep(simulated, make_guard(tracker, identity, settings, player), pilot, 1)


def run(steps: LockStep, seconds: float, *events: str) -> None:
    for number in range(round(seconds / 0.02)):
        steps.tick(events if number == 0 else ())
        assert not steps.guard.trip, steps.guard.told


def until(steps: LockStep, mode: Mode) -> None:
    while steps.pilot.mode != mode:
        steps.tick()


def test_a_stander_takes_over_in_mid_walk_is_pushed_and_gives_back(tracker, robot) -> None:
    steps = deployment(tracker, robot, STUDENT)
    pilot, simulated = steps.pilot, steps.robot
    until(steps, Mode.TRACK)
    run(steps, 1.6)
    run(steps, 0.02, "hold")
    assert pilot.mode == Mode.HOLD and pilot.skill.player.path == STUDENT
    # What is commanded does not jump: the way leads from the tracker's last target.
    assert steps.step is not None and pilot.stander is not None
    before = np.asarray(steps.step.request.joint_pos)
    run(steps, 0.02)
    assert np.abs(np.asarray(steps.step.request.joint_pos) - before).max() < 0.25
    run(steps, 2.0)
    for kick in ([0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [-0.5, 0.3, 0.0]):
        simulated.body.data.qvel[:3] += kick
        run(steps, 1.2)
    rest = pilot.stander.rest.pose.joint_pos[0][pilot.skill.to_robot]
    assert np.abs(simulated.body.state.joint_pos - rest).mean() < 0.12
    place = simulated.body.state.root_pos_w.copy()
    run(steps, 0.02, "track")
    assert pilot.mode == Mode.TRACK and pilot.skill.player is tracker
    until(steps, Mode.HOLD)
    assert np.linalg.norm(simulated.body.state.root_pos_w - place) > 2.0
    assert not steps.guard.trip and simulated.inspector.unsafe == 0


def test_a_stander_has_the_robot_of_the_policy_and_its_rate(tracker, robot) -> None:
    settings, identity = DeploySettings(), SimulatedRobot(robot).identity
    slow = PolicyPlayer(STUDENT)
    slow.contract = replace(slow.contract, control_dt=0.04)
    with pytest.raises(MimicError, match="runs at 25 Hz.*at 50 Hz"):
        make_stander(slow, tracker, robot, identity, settings)
    other = replace(identity, hash="another robot")
    with pytest.raises(MimicError, match="policy_g1_student.onnx"):
        make_stander(PolicyPlayer(STUDENT), tracker, robot, other, settings)


def test_a_session_with_a_stander_is_played_again_bit_by_bit(tmp_path: Path) -> None:
    out = tmp_path / "sessions"
    code = Deploy(
        policy=SHIPPED_POLICY, hold_policy=STUDENT, lock_step=True, command_hz=50.0,
        at=("0.4:hold",), hold=0.8, out=out,
    ).run()  # fmt: skip
    (session,) = out.iterdir()
    found = replay(session)
    assert code == 0 and found.difference is None and found.acted > 50
