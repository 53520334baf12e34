"""The estimator: its Jacobians against differences, its feet against MuJoCo, and a walk."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

import robots
from mimic.deploy.estimation import estimating
from mimic.deploy.estimation.estimator import EstimatorSettings, StateEstimator, WithEstimate
from mimic.deploy.estimation.feet import ContactRules, Foot, rests, short_edges
from mimic.deploy.estimation.invariant_filter import (
    FilterNoise,
    InvariantFilter,
    exp_so3,
    left_jacobian,
    log_so3,
)
from mimic.deploy.kinematics import Chain
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.setup import (
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import Imperfections, SimulatedRobot, SimulationSettings
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError

GYRO, ACCELEROMETER = np.array([0.4, -0.7, 0.2]), np.array([1.0, 0.5, 10.2])
TINY = 1e-6


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


@pytest.fixture
def somewhere() -> InvariantFilter:
    kalman = InvariantFilter.start(
        exp_so3(np.array([0.3, -0.5, 1.1])),
        np.array([1.0, -2.0, 0.8]),
        np.array([[0.9, -2.1, 0.0], [1.2, -1.8, 0.0]]),
    )
    kalman.vel = np.array([0.5, 0.2, -0.1])
    kalman.gyro_bias, kalman.accelerometer_bias = np.full(3, 0.01), np.full(3, -0.1)
    return kalman


def copy(kalman: InvariantFilter) -> InvariantFilter:
    return replace(kalman, **{name: np.array(getattr(kalman, name)) for name in PARTS})


PARTS = ("turn", "vel", "pos", "points", "gyro_bias", "accelerometer_bias", "cov")


def true_one(estimated: InvariantFilter, error: np.ndarray) -> InvariantFilter:
    """The state from which ``estimated`` is off by ``error``."""
    true = copy(estimated)
    true.move(-error)
    return true


def error_of(estimated: InvariantFilter, true: InvariantFilter) -> np.ndarray:
    """log(X_estimated X_true^-1), and the biases' difference."""
    turn = log_so3(estimated.turn @ true.turn.T)
    by, back = estimated.turn @ true.turn.T, np.linalg.inv(left_jacobian(turn))
    parts = [turn, back @ (estimated.vel - by @ true.vel), back @ (estimated.pos - by @ true.pos)]
    parts += [back @ (a - by @ b) for a, b in zip(estimated.points, true.points, strict=True)]
    parts += [estimated.gyro_bias - true.gyro_bias]
    parts += [estimated.accelerometer_bias - true.accelerometer_bias]
    return np.concatenate(parts)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 2.0, np.pi - 1e-7])
def test_rotation_vectors_come_back(angle: float) -> None:
    vector = angle * np.array([0.36, -0.48, 0.8])
    turn = exp_so3(vector)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.allclose(log_so3(turn), vector, atol=1e-6)


def test_the_transition_is_the_derivative_of_the_motion(somewhere: InvariantFilter) -> None:
    dt = 0.005
    claimed = somewhere.transition(dt)
    for column in range(somewhere.size):
        error = np.zeros(somewhere.size)
        error[column] = TINY
        true, estimated = true_one(somewhere, error), copy(somewhere)
        for each in (true, estimated):
            each.drive(GYRO, ACCELEROMETER, dt)
        found = error_of(estimated, true) / TINY
        # To the second order of dt.
        assert np.allclose(found, claimed[:, column], atol=2e-4), column


def test_measurements_and_their_jacobians(somewhere: InvariantFilter) -> None:
    """An innovation is zero at the truth, and its Jacobian times a small error beside it."""

    def offset(state: InvariantFilter) -> np.ndarray:
        return state.turn.T @ (state.points[1] - state.pos)

    def measured(true: InvariantFilter, kalman: InvariantFilter) -> list:
        seen = offset(true)
        return [
            kalman.offset_of(1, seen),
            kalman.orientation(true.turn),
            kalman.height_of(1, float(true.points[1][2])),
            kalman.velocity(true.vel),
        ]

    for innovation, _ in measured(somewhere, somewhere):
        assert np.allclose(innovation, 0.0, atol=1e-12)
    claimed = [jacobian for _, jacobian in measured(somewhere, somewhere)]
    for column in range(somewhere.size):
        error = np.zeros(somewhere.size)
        error[column] = TINY
        found = measured(true_one(somewhere, error), somewhere)
        for (innovation, _), jacobian in zip(found, claimed, strict=True):
            assert np.allclose(innovation / TINY, jacobian[:, column], atol=1e-5), column


def test_a_point_at_rest_and_its_jacobian(somewhere: InvariantFilter) -> None:
    """For a point that rests in truth, whatever the error of the estimate is."""
    offset = np.array([0.05, 0.1, -0.75])
    rate = -somewhere.turn.T @ somewhere.vel - np.cross(GYRO - somewhere.gyro_bias, offset)
    innovation, claimed = somewhere.rest_of(offset, rate, GYRO)
    assert np.allclose(innovation, 0.0, atol=1e-12)
    for column in range(somewhere.size):
        error = np.zeros(somewhere.size)
        error[column] = TINY
        estimated = copy(somewhere)
        estimated.move(error)
        found, _ = estimated.rest_of(offset, rate, GYRO)
        assert np.allclose(found / TINY, claimed[:, column], atol=1e-5), column


def test_the_noise_enters_where_the_paper_says(somewhere: InvariantFilter) -> None:
    """A gyroscope that errs moves the error as its column of the spread says."""
    dt, off = 1e-4, 1e-3
    for axis in range(3):
        true, wrong = copy(somewhere), copy(somewhere)
        true.drive(GYRO, ACCELEROMETER, dt)
        wrong.drive(GYRO + off * np.eye(3)[axis], ACCELEROMETER, dt)
        found = error_of(wrong, true) / (off * dt)
        only = replace(
            somewhere,
            noise=FilterNoise(
                gyro=1.0, accelerometer=1e-9, gyro_bias=1e-9, accelerometer_bias=1e-9, slip=1e-9
            ),
        )
        spread = only.spread(1.0)
        # The spread is the sum over axes of each column with itself.
        assert found @ found > 0 and np.allclose(
            spread @ found, sum(c * (c @ found) for c in columns(somewhere)), atol=1e-3
        )
        assert np.allclose(found, columns(somewhere)[axis], atol=2e-3)


def columns(kalman: InvariantFilter) -> list[np.ndarray]:
    """How each axis of the gyroscope enters the error: minus its bias's column."""
    at = kalman.bias_at
    return [
        -kalman.transition(1e-7)[:, at + axis] / 1e-7 + _own(kalman, at + axis)
        for axis in (0, 1, 2)
    ]


def _own(kalman: InvariantFilter, at: int) -> np.ndarray:
    own = np.zeros(kalman.size)
    own[at] = 1e7
    return own


def test_a_correction_takes_out_what_is_seen(somewhere: InvariantFilter) -> None:
    error = np.zeros(somewhere.size)
    error[3:9] = [0.05, -0.02, 0.03, 0.01, 0.02, -0.01]
    true, before = true_one(somewhere, error), somewhere.cov.copy()
    somewhere.correct(*somewhere.velocity(true.vel), 1e-8 * np.eye(3))
    assert np.allclose(somewhere.vel, true.vel, atol=1e-3)
    assert np.trace(somewhere.cov) < np.trace(before)
    assert np.linalg.eigvalsh(somewhere.cov).min() > -1e-12


def test_points_of_the_soles_as_mujoco_has_them(robot) -> None:
    model, data = robot.model, mujoco.MjData(robot.model)
    rng = np.random.default_rng(2)
    joints = rng.uniform(-0.4, 0.4, robot.num_joints)
    rates = rng.standard_normal(robot.num_joints)
    data.qpos[:7], data.qpos[7:] = [0, 0, 0, 1, 0, 0, 0], joints
    data.qvel[6:] = rates
    mujoco.mj_forward(model, data)
    for side in range(2):
        foot, body = Foot.of(robot, side), model.body(robot.feet[side]).id
        seen = foot.motion(joints, rates)
        for k in range(2):
            place = data.xpos[body] + data.xmat[body].reshape(3, 3) @ foot.points[k]
            assert np.allclose(seen.points[k], place, atol=1e-9)
            jacobian = np.zeros((3, model.nv))
            mujoco.mj_jac(model, data, jacobian, None, place, body)
            assert np.allclose(seen.rates[k], jacobian[:, 6:] @ rates, atol=1e-9)
            legs = jacobian[:, [6 + column for column in foot.columns]]
            assert np.allclose(seen.jacobians[k].T, legs, atol=1e-9)


def test_the_short_edges_of_a_sole() -> None:
    corners = np.array([[-0.05, 0.03, 0], [-0.05, -0.03, 0], [0.12, 0.02, 0], [0.12, -0.02, 0.0]])
    ends = short_edges(corners)
    assert np.allclose(np.sort(ends[:, 0]), [-0.05, 0.12]) and np.allclose(ends[:, 1:], 0.0)


def test_what_rests_is_low_slow_and_loaded() -> None:
    heights, slow = np.array([0.0, 0.0, 0.0, 0.1]), np.zeros(4)
    loads = np.array([0.5, 0.5, 0.0, 0.5])
    rules = ContactRules()
    found = rests(heights, np.array([0.0, 2.0, 0.0, 0.0]), loads, rules)
    assert (found >= rules.least).tolist() == [True, False, False, False]
    assert rests(heights, slow, np.full(4, -1e9), rules).max() < rules.least


def walk(
    robot, flaws: Imperfections | None, seconds: float
) -> tuple[np.ndarray, np.ndarray, LockStep]:
    """The shipped policy on what is estimated: errors of velocity (body) and place in tracking."""
    player = PolicyPlayer(SHIPPED_POLICY)
    settings = SimulationSettings(tick=0.005, physics_hz=200.0, odometry=False)
    simulated = SimulatedRobot(robot, settings, flaws)
    deploy = DeploySettings(command_hz=200.0, pilot=PilotSettings(stand_s=0.4, ready_s=0.4))
    contract, identity = player.contract, simulated.identity
    steps = LockStep(
        simulated,
        make_guard(player, identity, deploy),
        make_pilot(
            player, identity, references_of(player, ()),
            Chain.of(robot, contract.anchor_body, contract.joint_names), deploy,
        ),
        deploy.every(contract.control_dt),
        see=WithEstimate(StateEstimator(robot)),
    )  # fmt: skip
    off_vel, off_pos = [], []
    for _ in steps.run(seconds):
        seen = steps.see(simulated.read())
        assert seen is not None and seen.odometry is not None
        if steps.pilot.mode in (Mode.TRACK, Mode.HOLD):
            off_vel.append(seen.odometry.lin_vel_b - simulated.body.root_lin_vel_b)
            off_pos.append(seen.odometry.pos_w - simulated.body.state.root_pos_w)
    return np.array(off_vel), np.array(off_pos), steps


def test_the_policy_walks_on_the_estimate(robot) -> None:
    off_vel, off_pos, steps = walk(robot, None, 6.0)
    assert steps.guard.trip == "" and steps.pilot.mode == Mode.TRACK
    assert steps.robot.body.state.root_pos_w[0] > 0.9
    assert np.sqrt((off_vel**2).mean()) < 0.03 and np.abs(off_vel).max() < 0.25
    assert (
        np.linalg.norm((off_pos[-1] - off_pos[0])[:2]) < 0.1 and np.abs(off_pos[:, 2]).max() < 0.02
    )


def test_biases_are_found(robot) -> None:
    flaws = Imperfections(gyro_bias=0.02, accelerometer_bias=0.2, gyro_noise=0.01, seed=3)
    simulated = SimulatedRobot(
        robot, SimulationSettings(tick=0.005, physics_hz=200.0, gantry=False), flaws
    )
    estimator = StateEstimator(robot)
    state = simulated.read()
    assert state is not None
    for tick in range(1, 1200):
        # It stands still: nothing is stepped, and its legs hold its weight.
        load = stand_torque(robot)
        estimate = estimator(
            replace(
                state, tick=5 * tick, joint_torque=load, gyro=np.full(3, 0.02),
                accelerometer=[0.2, 0.2, 9.81 + 0.2],
            )
        )  # fmt: skip
    assert estimator.filter is not None
    assert np.allclose(estimator.filter.gyro_bias, 0.02, atol=0.003)
    assert estimate.resting.min() > 0.3 and np.abs(estimate.lin_vel_w).max() < 0.01
    # Lying gravity and bias cannot be told apart but along it.
    assert estimator.filter.accelerometer_bias[2] == pytest.approx(0.2, abs=0.03)


def stand_torque(robot) -> np.ndarray:
    """Torques [J] that half the weight under each foot takes in the standing pose."""
    weight = 9.81 * float(robot.model.body_subtreemass[0])
    torque = np.zeros(robot.num_joints)
    for side in range(2):
        seen = Foot.of(robot, side).motion(robot.default_joint_pos, torque)
        up = np.array([0.0, 0.0, 0.5 * weight, 0.0, 0.0, 0.0])
        torque[list(seen.columns)] = -seen.wrench.T @ up
    return torque


def test_the_force_under_a_foot_comes_from_its_torques(robot) -> None:
    weight = 9.81 * float(robot.model.body_subtreemass[0])
    for side in range(2):
        seen = Foot.of(robot, side).motion(robot.default_joint_pos, np.zeros(robot.num_joints))
        assert seen.force(stand_torque(robot))[2] == pytest.approx(0.5 * weight, rel=0.1)


def test_without_numbers_there_is_no_odometry(robot) -> None:
    see = estimating("unitree_g1")
    state = SimulatedRobot(robot).read()
    assert state is not None and see(None) is None
    first = see(state)
    assert first is not None and first.odometry is not None
    assert abs(first.odometry.pos_w[2] - robot.default_root_height) < 0.01
    broken = see(replace(state, tick=2, gyro=np.full(3, np.nan)))
    assert broken is not None and broken.odometry is None
    healed = see(replace(state, tick=4))
    assert healed is not None and healed.odometry is not None
    assert estimating("")(state) is state


def test_refusals(robot) -> None:
    with pytest.raises(MimicError, match="slip"):
        FilterNoise(slip=0.0)
    state = SimulatedRobot(robots.load("unitree_h1")).read()
    assert state is not None
    with pytest.raises(MimicError, match="has 29 joints"):
        StateEstimator(robot, EstimatorSettings(ground=None))(state)
