"""The shipped policy on the simulated robot, from limp to the end of the clip and beyond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import robots
from mimic.deploy.gates import check_contract, check_observed, check_start
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.messages import Remote, remote_bytes
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.setup import (
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.deploy.trips import Thresholds
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError, RobotError

SETTINGS = DeploySettings(pilot=PilotSettings(stand_s=0.6, ready_s=0.5))
ONE_RATE = replace(SETTINGS, command_hz=50.0)
COARSE = SimulationSettings(tick=0.02, physics_hz=200.0)
"""A tick a control step: a tenth of the price."""


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="module")
def player() -> PolicyPlayer:
    return PolicyPlayer(SHIPPED_POLICY)


def lock_step(
    player: PolicyPlayer, robot: robots.Robot, deploy: DeploySettings = SETTINGS, **options
) -> LockStep:
    simulated = SimulatedRobot(robot, **options)
    contract, identity = player.contract, simulated.identity
    anchor = Chain.of(robot, contract.anchor_body, contract.joint_names)
    return LockStep(
        simulated,
        make_guard(player, identity, deploy),
        make_pilot(player, identity, references_of(player, ()), anchor, deploy),
        deploy.every(contract.control_dt),
    )


def until(steps: LockStep, mode: Mode, seconds: float = 12.0) -> None:
    for _ in steps.run(seconds):
        if steps.pilot.mode == mode:
            return
    raise AssertionError(f"{steps.pilot.mode.name} after {seconds} s: {steps.guard.told}")


def test_it_walks_the_clip_and_stands_at_its_end(player, robot) -> None:
    steps = lock_step(player, robot, ONE_RATE, settings=COARSE)
    modes = []
    for _ in steps.run(13.0):
        if not modes or modes[-1] != steps.pilot.mode:
            modes.append(steps.pilot.mode)
    names = [mode.name for mode in modes]
    assert names == ["PASSIVE", "STAND", "READY", "TRACK", "HOLD"]
    state = steps.robot.body.state
    end = steps.pilot.reference.body_pos_w[-1, 0]
    assert np.linalg.norm(state.root_pos_w[:2] - end[:2]) < 0.3
    assert state.root_pos_w[0] > 2.4 and state.root_pos_w[2] > 0.7
    assert steps.robot.inspector.seen == steps.ticks and steps.robot.inspector.unsafe == 0
    assert steps.guard.trip == ""


def test_ten_commands_a_control_step_and_the_same_every_time(player, robot) -> None:
    ends = []
    for _ in range(2):
        steps = lock_step(player, robot)
        for _ in steps.run(1.5):
            pass
        assert steps.pilot.mode == Mode.TRACK and steps.every == 10
        assert steps.robot.inspector.seen == steps.ticks and steps.robot.inspector.unsafe == 0
        ends.append(steps.robot.body.data.qpos.copy())
    assert np.array_equal(*ends)


def test_the_stand_begins_at_the_latched_pose_and_never_jumps(player, robot) -> None:
    steps = lock_step(player, robot)
    steps.robot.place(robot.default_joint_pos + 0.2)
    until(steps, Mode.STAND)
    request = steps.step.request if steps.step is not None else None
    assert request is not None
    before = request.joint_pos
    state = steps.robot.read()
    assert state is not None
    at = np.asarray(state.joint_pos)
    assert np.abs(before - at).max() < 0.05
    goal = robot.default_joint_pos
    for _ in steps.run(SETTINGS.pilot.stand_s - 0.04):
        assert steps.step is not None and steps.step.request is not None
        now = steps.step.request.joint_pos
        # Smoothstep is 1.5 times as fast in the middle as on the average.
        assert np.abs(now - before).max() <= 1.6 * 0.24 * 0.02 / SETTINGS.pilot.stand_s
        before = now
    assert np.abs(before - goal).max() < 0.02


def test_the_operator_stops_and_starts_again(player, robot) -> None:
    steps = lock_step(player, robot)
    until(steps, Mode.TRACK)
    for _ in steps.run(0.5):
        pass
    steps.auto = False
    while steps.ticks % steps.every:
        steps.tick()
    steps.tick(["stop"])
    assert steps.pilot.mode == Mode.DAMPING and steps.guard.trip == "asked"
    assert steps.guard.told == "the operator"
    for event in ("stand", "ready", "track", "passive"):
        for _ in range(steps.every):
            steps.tick([event])
        assert steps.pilot.mode == Mode.DAMPING and steps.robot.damps
    for _ in range(steps.every):
        steps.tick(["reset"])
    assert steps.pilot.mode == Mode.PASSIVE and steps.guard.trip == ""
    for _ in range(steps.every):
        steps.tick(["stand"])
    assert steps.pilot.mode == Mode.STAND and steps.robot.inspector.unsafe == 0


def test_the_remote_stops_and_the_pilot_follows(player, robot) -> None:
    steps = lock_step(player, robot)
    until(steps, Mode.TRACK)
    steps.robot.remote = remote_bytes(Remote.B)
    for _ in steps.run(0.024):
        pass
    assert steps.guard.trip == "remote" and steps.pilot.mode == Mode.DAMPING and steps.robot.damps
    assert steps.pilot.stop == "remote"


def test_clips_follow_each_other_and_loop(player, robot) -> None:
    settings = replace(ONE_RATE, pilot=replace(SETTINGS.pilot, loop=2))
    steps = lock_step(player, robot, settings, settings=COARSE)
    until(steps, Mode.HOLD, 20.0)
    # Twice 2.8 m, the second time from where the first one ended.
    assert steps.robot.body.state.root_pos_w[0] > 5.0 and steps.guard.trip == ""


def test_a_network_that_gives_no_number_is_stopped(player, robot, monkeypatch) -> None:
    steps = lock_step(player, robot)
    until(steps, Mode.TRACK)
    monkeypatch.setattr(
        player, "_run", lambda *_: [np.full((1, 29), np.nan, np.float32)], raising=True
    )
    for _ in steps.run(0.022):
        pass
    assert steps.pilot.mode == Mode.DAMPING and "action is not finite" in steps.guard.told
    assert steps.robot.damps and steps.robot.inspector.unsafe == 0


def test_a_robot_without_odometry_stops_a_policy_that_wants_it(player, robot) -> None:
    steps = lock_step(player, robot, settings=SimulationSettings(odometry=False))
    until(steps, Mode.DAMPING)
    assert "does not measure" in steps.pilot.stop
    with pytest.raises(MimicError, match="motion_anchor_pos_b and base_lin_vel, which this robot"):
        check_observed(player.contract, odometry=False)
    check_observed(player.contract, odometry=True)


def test_the_chain_is_the_robot_s_kinematics(player, robot) -> None:
    random = np.random.default_rng(2)
    order = tuple(reversed(player.contract.joint_names))
    for body in ("torso_link", "left_ankle_roll_link", "right_wrist_yaw_link", "pelvis"):
        chain = Chain.of(robot, body, order)
        pose = random.uniform(robot.joint_lower, robot.joint_upper)
        pos, quat = robot.body_poses(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]), pose[None])
        index = robot.body_names.index(body)
        mine = np.array([pose[robot.joint_names.index(name)] for name in order])
        at, turn = chain.pose(mine)
        w, x, y, z = quat[0, index]
        assert np.allclose(at, pos[0, index], atol=1e-9)
        assert turn[0, 2] == pytest.approx(2 * (x * z + w * y), abs=1e-9)
        same, _, columns = chain.jacobian(mine, len(order))
        assert np.array_equal(same, at)
        step = 1e-6
        for joint in range(len(order)):
            moved = mine.copy()
            moved[joint] += step
            assert np.allclose((chain.pose(moved)[0] - at) / step, columns[:, joint], atol=1e-5)


def test_gates(player, robot) -> None:
    identity = SimulatedRobot(robot).identity
    contract = player.contract
    check_contract(contract, identity, "p.onnx")
    names = identity.joint_names
    fields = {key: getattr(identity, key) for key in identity.__dataclass_fields__}

    def refused(words: str, **changes: object) -> None:
        other = type(identity)(**{**fields, **changes})
        with pytest.raises(MimicError, match=words):
            check_contract(contract, other, "p.onnx")

    refused("p.onnx: the policy does not fit robot 'unitree_h1': it is for 'un", name="unitree_h1")
    refused(
        "no joint left_knee_joint", joint_names=tuple(n.replace("left_knee", "l") for n in names)
    )
    refused("its model or gains differ", hash="0123456789abcdef")
    refused("'left_knee_joint' has 278 N m, the", effort_limit=[
        value * (2.0 if name == "left_knee_joint" else 1.0)
        for name, value in zip(names, identity.effort_limit, strict=True)
    ])  # fmt: skip
    refused("moves within", joint_upper=np.asarray(identity.joint_upper) + 1.0)
    check_contract(contract, type(identity)(**{**fields, "hash": ""}), "p.onnx")
    shuffled = np.random.default_rng(0).permutation(len(names))
    arrays = ("joint_lower", "joint_upper", "effort_limit", "velocity_limit")
    other = {name: np.asarray(fields[name])[shuffled] for name in arrays}
    check_contract(
        contract,
        type(identity)(**{**fields, **other, "joint_names": tuple(names[i] for i in shuffled)}),
        "p.onnx",
    )
    wild = replace(contract, kp=tuple(1e4 for _ in contract.kp))
    with pytest.raises(MimicError, match="are none for a motor of 88 N m"):
        check_contract(wild, identity, "p.onnx")


def test_a_robot_that_is_not_well_does_not_start(robot) -> None:
    simulated = SimulatedRobot(robot)
    state, identity, at = simulated.read(), simulated.identity, Thresholds()
    assert state is not None
    check_start(state, identity, at)
    for changes, words in [
        ({"mode_machine": 4}, "calls itself mode_machine 4, 'unitree_g1' is 5"),
        ({"imu_quat_w": [0.92, 0.39, 0.0, 0.0]}, "leans by 0.80 rad"),
        ({"imu_quat_w": np.zeros(4)}, "not ready to start: the orientation has length 0.00"),
        ({"motor_temperature": np.full(29, 95.0)}, "has 95 degrees"),
    ]:
        with pytest.raises(RobotError, match=words):
            check_start(replace(state, **changes), identity, at)


def test_a_rate_that_does_not_fit_is_refused() -> None:
    assert DeploySettings(command_hz=500.0).every(0.02) == 10
    with pytest.raises(MimicError, match="120 commands a second do not fit a policy that runs at"):
        DeploySettings(command_hz=120.0).every(0.02)
