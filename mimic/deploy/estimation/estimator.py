"""From a robot's states to where its base is and how fast it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy.estimation.feet import ContactRules, Foot, rests
from mimic.deploy.estimation.invariant_filter import POS, VEL, FilterNoise, InvariantFilter
from mimic.deploy.messages import Array, Odometry, RobotState, array
from mimic_base.errors import MimicError
from mimic_base.rotations import matrix_to_quat, quat_to_matrix

if TYPE_CHECKING:
    from robots import Robot


@dataclass(frozen=True, kw_only=True)
class EstimatorSettings:
    """Every number of the estimator."""

    noise: FilterNoise = field(default_factory=FilterNoise)
    """What is believed of IMU and slip."""
    contact: ContactRules = field(default_factory=ContactRules)
    """When a point of a sole rests."""
    joint_pos: float = 0.01
    """rad, standard deviation of encoders."""
    joint_vel: float = 0.3
    """rad/s, of joint velocities."""
    point: float = 0.005
    """m, of a resting point that the joints see: the foot gives way and rolls."""
    rest: float = 0.1
    """m/s, of a resting point's velocity."""
    orientation: float | None = 0.05
    """rad, of the IMU's own orientation, which keeps the heading; None: it is not looked at."""
    ground: float | None = 0.02
    """m, of the floor's height under a resting point; None: the floor is not level, and heights
    drift."""
    gate: float = 4.0
    """Standard deviations from which a point that should rest is taken to slip."""
    lonely_s: float = 0.5
    """s without a resting point after which the velocity is drawn to zero: a robot in a gantry."""
    lonely: float = 0.5
    """m/s, of that."""
    correct_s: float = 0.01
    """s between two corrections by joints and feet; between them the IMU drives alone, at the rate
    of the states."""
    gap_s: float = 0.1
    """s between two states from which the estimator begins anew."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """The base at one moment.

    Attributes:
        quat_w: [4] wxyz. pos_w: [3] m. lin_vel_w, lin_vel_b: [3] m/s in the world and along the
            base's axes. resting: [4] weights of the points: left rear, front, right rear, front
            (or front, rear). pos_std, vel_std: [3] m, m/s, as the filter believes.
    """

    quat_w: Array
    pos_w: Array
    lin_vel_w: Array
    lin_vel_b: Array
    resting: Array
    pos_std: Array
    vel_std: Array

    @property
    def odometry(self) -> Odometry:
        """As a robot with odometry would tell it."""
        return Odometry(pos_w=self.pos_w, lin_vel_b=self.lin_vel_b)


class StateEstimator:
    """Estimates one robot's base, state after state.

    The world's origin is under the base when it begins, its heading the IMU's, its floor where the
    lowest point of the soles is. Give `mass` in kg and legs as they are modelled.
    """

    def __init__(self, robot: Robot, settings: EstimatorSettings | None = None) -> None:
        self.settings = settings or EstimatorSettings()
        self.feet = [Foot.of(robot, side) for side in range(2)]
        self._weight = 9.81 * float(robot.model.body_subtreemass[0])
        self._joints = robot.num_joints
        self.filter: InvariantFilter | None = None
        self.restarts = 0
        self._tick = 0
        self._lonely = 0.0
        self._since = 0.0
        self._weights = np.zeros(4)

    def reset(self) -> None:
        """Begin anew with the next state."""
        self.filter = None

    def __call__(self, state: RobotState) -> Estimate:
        """The estimate after one more state; time is the robot's own tick.

        Raises:
            MimicError: a state of another robot.
        """
        pos, vel = array(state.joint_pos), array(state.joint_vel)
        if len(pos) != self._joints:
            raise MimicError(f"the estimator's robot has {self._joints} joints, not {len(pos)}")
        dt = ((state.tick - self._tick) & 0xFFFFFFFF) * 1e-3
        self._tick = state.tick
        kalman, gyro = self.filter, array(state.gyro)
        if kalman is None or not dt <= self.settings.gap_s or not kalman.finite:
            feet = [foot.motion(pos, vel) for foot in self.feet]
            kalman = self._begin(state, np.concatenate([foot.points for foot in feet]))
        else:
            if dt > 0.0:
                kalman.drive(gyro, array(state.accelerometer), dt)
            self._since += dt
            if self._since < self.settings.correct_s - 1e-6:
                return self._estimate()
            feet = [foot.motion(pos, vel) for foot in self.feet]
        kalman.spread_out(self._since) if self._since else None
        points = np.concatenate([foot.points for foot in feet])
        rates = np.concatenate([foot.rates for foot in feet])
        jacobians = np.concatenate([foot.jacobians for foot in feet])
        force = [float((kalman.turn @ foot.force(array(state.joint_torque)))[2]) for foot in feet]
        spin = gyro - kalman.gyro_bias
        moving = kalman.vel + (rates + np.cross(spin, points)) @ kalman.turn.T
        self._weights = rests(
            points @ kalman.turn[2],
            np.linalg.norm(moving, axis=1),
            np.repeat(force, 2) / self._weight,
            self.settings.contact,
        )
        self._correct(state, points, rates, jacobians, self._weights, self._since)
        self._since = 0.0
        return self._estimate()

    def _begin(self, state: RobotState, points: Array) -> InvariantFilter:
        self.restarts += self.filter is not None
        turn = quat_to_matrix(array(state.imu_quat_w))
        seen = points @ turn.T
        pos = np.zeros(3) if self.filter is None else self.filter.pos.copy()
        pos = np.where(np.isfinite(pos), pos, 0.0)
        pos[2] = -seen[:, 2].min()
        self.filter = InvariantFilter.start(turn, pos, pos + seen, self.settings.noise)
        self._lonely = self._since = 0.0
        return self.filter

    def _correct(
        self,
        state: RobotState,
        points: Array,
        rates: Array,
        jacobians: Array,
        weights: Array,
        dt: float,
    ) -> None:
        kalman, settings, gyro = self.filter, self.settings, array(state.gyro)
        assert kalman is not None
        parts: list[tuple[Array, Array]] = []
        noises: list[Array] = []

        def add(part: tuple[Array, Array], cov: Array) -> None:
            parts.append(part)
            noises.append(cov)

        eye, resting = np.eye(3), 0
        for k, weight in enumerate(weights):
            spread = jacobians[k].T @ jacobians[k]
            seen_cov = settings.joint_pos**2 * spread + settings.point**2 * eye
            turn = kalman.turn
            offset = kalman.offset_of(k, points[k])
            rest = kalman.rest_of(points[k], rates[k], gyro)
            rest_cov = turn @ (settings.joint_vel**2 * spread) @ turn.T + settings.rest**2 * eye
            stays = weight >= settings.contact.least and self._fits(rest, rest_cov / weight)
            if not stays:
                kalman.put_point(k, points[k], seen_cov)
                continue
            resting += 1
            if not self._fits(offset, turn @ seen_cov @ turn.T):
                # It has slipped or rolled: it rests somewhere else now.
                kalman.put_point(k, points[k], seen_cov)
            else:
                add(offset, turn @ seen_cov @ turn.T / weight)
            add(rest, rest_cov / weight)
            if settings.ground is not None:
                add(kalman.height_of(k, 0.0), np.array([[settings.ground**2 / weight]]))
        self._lonely = 0.0 if resting else self._lonely + dt
        if self._lonely > settings.lonely_s:
            add(kalman.velocity(np.zeros(3)), settings.lonely**2 * eye)
        if settings.orientation is not None:
            measured = quat_to_matrix(array(state.imu_quat_w))
            add(kalman.orientation(measured), settings.orientation**2 * eye)
        if not parts:
            return
        rows = sum(len(innovation) for innovation, _ in parts)
        cov, at = np.zeros((rows, rows)), 0
        for each in noises:
            cov[at : at + len(each), at : at + len(each)] = each
            at += len(each)
        kalman.correct(
            np.concatenate([innovation for innovation, _ in parts]),
            np.concatenate([jacobian for _, jacobian in parts]),
            cov,
        )

    def _fits(self, part: tuple[Array, Array], cov: Array) -> bool:
        """Whether an innovation is within the gate of what the filter expects."""
        innovation, jacobian = part
        assert self.filter is not None
        expected = jacobian @ self.filter.cov @ jacobian.T + cov
        distance = float(innovation @ np.linalg.solve(expected, innovation))
        return distance <= 3.0 * self.settings.gate**2

    def _estimate(self) -> Estimate:
        kalman = self.filter
        assert kalman is not None
        deviations = np.sqrt(np.maximum(np.diag(kalman.cov), 0.0))
        return Estimate(
            quat_w=matrix_to_quat(kalman.turn),
            pos_w=kalman.pos.copy(),
            lin_vel_w=kalman.vel.copy(),
            lin_vel_b=kalman.turn.T @ kalman.vel,
            resting=self._weights,
            pos_std=deviations[POS : POS + 3],
            vel_std=deviations[VEL : VEL + 3],
        )


class WithEstimate:
    """Adds what is estimated to a robot's states, where its own odometry would stand.

    Example:
        see = WithEstimate(StateEstimator(robot))
        state = see(robot_io.read())
    """

    def __init__(self, estimator: Callable[[RobotState], Estimate]) -> None:
        self.estimator = estimator
        self._tick: int | None = None
        self._known: Odometry | None = None

    def __call__(self, state: RobotState | None) -> RobotState | None:
        """The state with odometry; the estimator sees each state once.

        Where numbers are none there is no odometry, and a policy that needs it stops.
        """
        if state is None:
            return None
        if state.tick != self._tick:
            self._tick = state.tick
            try:
                estimate = self.estimator(state)
                self._known = estimate.odometry
                if not (
                    np.isfinite(estimate.pos_w).all() and np.isfinite(estimate.lin_vel_b).all()
                ):
                    self._known = None
            except np.linalg.LinAlgError:
                self._known = None
        return replace(state, odometry=self._known)
