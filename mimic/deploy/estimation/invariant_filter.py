"""Contact-aided invariant extended Kalman filter of a floating base; pure numpy, no robot.

After R. Hartley, M. Ghaffari, R. M. Eustice, J. W. Grizzle, "Contact-Aided Invariant Extended
Kalman Filtering for Robot State Estimation", IJRR 2020 (arXiv:1904.09251), world-centric and
right-invariant, with biases of gyroscope and accelerometer.

The state is R (base to world), v, p, and the places d_k of K points that may rest on the ground,
all in the world, as an element X of SE_{2+K}(3), and the two biases. The error is xi with
X_estimated = exp(xi) X, and zeta = b_estimated - b; it is ordered
(R, v, p, d_1 .. d_K, gyroscope, accelerometer), 3 numbers each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mimic.deploy.messages import Array
from mimic_base.errors import MimicError

GRAVITY = np.array([0.0, 0.0, -9.81])
"""m/s^2."""
VEL, POS, FIRST_POINT = 3, 6, 9
"""Where parts of the error begin."""


@dataclass(frozen=True, kw_only=True)
class FilterNoise:
    """What is believed of the sensors: standard deviations, those of drivers in units per root of
    Hz (a white noise that is sampled at f Hz has the density of its deviation / sqrt(f))."""

    gyro: float = 0.002
    """rad/s per sqrt(Hz); 0.01 rad/s at 500 Hz would be 0.0004, impacts are more."""
    accelerometer: float = 0.1
    """m/s^2 per sqrt(Hz): 1 m/s^2 at 100 Hz, for impacts."""
    gyro_bias: float = 0.001
    """rad/s per sqrt(s), of its random walk."""
    accelerometer_bias: float = 0.05
    """m/s^2 per sqrt(s), of its random walk."""
    slip: float = 0.02
    """m/s per sqrt(Hz), of a point that rests on the ground."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise MimicError(f"the estimator's noise '{name}' must be positive (found {value})")


def skew(v: Array) -> Array:
    """[3, 3] of the cross product with ``v`` [3]."""
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def exp_so3(v: Array) -> Array:
    """Rotation matrix of a rotation vector [3] rad (Rodrigues)."""
    angle = float(np.sqrt(v @ v))
    k = skew(v)
    if angle < 1e-8:
        return np.eye(3) + k + 0.5 * k @ k
    return np.eye(3) + np.sin(angle) / angle * k + (1.0 - np.cos(angle)) / (angle * angle) * (k @ k)


def left_jacobian(v: Array) -> Array:
    """The left Jacobian [3, 3] of SO(3) at a rotation vector [3] rad."""
    angle = float(np.sqrt(v @ v))
    k = skew(v)
    if angle < 1e-5:
        return np.eye(3) + 0.5 * k + k @ k / 6.0
    square = angle * angle
    return (
        np.eye(3)
        + (1.0 - np.cos(angle)) / square * k
        + (angle - np.sin(angle)) / (square * angle) * (k @ k)
    )


def log_so3(turn: Array) -> Array:
    """Rotation vector [3] rad of a rotation matrix."""
    cosine = min(1.0, max(-1.0, 0.5 * (float(np.trace(turn)) - 1.0)))
    angle = float(np.arccos(cosine))
    odd = 0.5 * np.array(
        [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    )
    if angle < 1e-6:
        return odd
    if np.pi - angle < 1e-4:
        # sin(angle) is no divisor here: the axis is the column of (R + I) / 2 with most in it.
        outer = 0.5 * (turn + np.eye(3))
        column = outer[:, int(np.argmax(np.diag(outer)))]
        axis = column / np.linalg.norm(column)
        return angle * (axis if odd @ axis >= 0 else -axis)
    return angle / np.sin(angle) * odd


@dataclass(eq=False)
class InvariantFilter:
    """The filter.

    Attributes:
        turn: [3, 3] from the base's axes to the world's. vel, pos: [3] m/s, m in the world.
        points: [K, 3] m in the world. gyro_bias: [3] rad/s. accelerometer_bias: [3] m/s^2.
        cov: [15 + 3K, 15 + 3K] of the error.
    """

    turn: Array
    vel: Array
    pos: Array
    points: Array
    gyro_bias: Array
    accelerometer_bias: Array
    cov: Array
    noise: FilterNoise = field(default_factory=FilterNoise)

    @classmethod
    def start(
        cls, turn: Array, pos: Array, points: Array, noise: FilterNoise | None = None
    ) -> InvariantFilter:
        """Begin at rest.

        Args:
            turn: [3, 3], as the IMU tells it. pos: [3] m. points: [K, 3] m, in the world.
        """
        count = len(points)
        deviations = np.concatenate(
            [
                np.full(3, 0.05), np.full(3, 0.3), np.full(3, 0.02), np.full(3 * count, 0.02),
                np.full(3, 0.02), np.full(3, 0.2),
            ]
        )  # fmt: skip
        return cls(
            turn=np.array(turn), vel=np.zeros(3), pos=np.array(pos, np.float64),
            points=np.array(points, np.float64), gyro_bias=np.zeros(3),
            accelerometer_bias=np.zeros(3), cov=np.diag(deviations**2),
            noise=noise or FilterNoise(),
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Numbers of the error."""
        return 15 + 3 * len(self.points)

    @property
    def bias_at(self) -> int:
        """Where the biases begin in the error."""
        return FIRST_POINT + 3 * len(self.points)

    def point_at(self, k: int) -> int:
        """Where point ``k`` begins in the error."""
        return FIRST_POINT + 3 * k

    # driving -------------------------------------------------------------------------------

    def predict(self, gyro: Array, accelerometer: Array, dt: float) -> None:
        """Move on by ``dt`` s with what the IMU felt, both [3] along the base's axes."""
        self.spread_out(dt)
        self.drive(gyro, accelerometer, dt)

    def spread_out(self, dt: float) -> None:
        """Let ``dt`` s pass for the covariance."""
        transition = self.transition(dt)
        self.cov = transition @ self.cov @ transition.T + self.spread(dt)

    def drive(self, gyro: Array, accelerometer: Array, dt: float) -> None:
        """Let ``dt`` s pass for the state."""
        turning = (gyro - self.gyro_bias) * dt
        # The acceleration of the middle of the step.
        half = self.turn @ exp_so3(0.5 * turning)
        acceleration = half @ (accelerometer - self.accelerometer_bias) + GRAVITY
        self.turn = self.turn @ exp_so3(turning)
        self.pos = self.pos + dt * self.vel + 0.5 * dt * dt * acceleration
        self.vel = self.vel + dt * acceleration

    def transition(self, dt: float) -> Array:
        """The error after ``dt`` s per error before, [n, n]: exp(A dt) to its second order.

        A does not depend on what the IMU feels but through the biases: the group is affine.
        """
        a = np.zeros((self.size, self.size))
        gyro, bias = self.bias_at, self.bias_at + 3
        a[VEL : VEL + 3, :3] = skew(GRAVITY)
        a[POS : POS + 3, VEL : VEL + 3] = np.eye(3)
        a[:3, gyro : gyro + 3] = -self.turn
        a[VEL : VEL + 3, gyro : gyro + 3] = -skew(self.vel) @ self.turn
        a[POS : POS + 3, gyro : gyro + 3] = -skew(self.pos) @ self.turn
        for k, point in enumerate(self.points):
            at = self.point_at(k)
            a[at : at + 3, gyro : gyro + 3] = -skew(point) @ self.turn
        a[VEL : VEL + 3, bias : bias + 3] = -self.turn
        a *= dt
        return np.eye(self.size) + a + 0.5 * a @ a

    def spread(self, dt: float) -> Array:
        """Covariance [n, n] that ``dt`` s of the sensors' noise add."""
        noise, count = self.noise, len(self.points)
        into = np.zeros((self.size, 6))
        into[:3, :3] = self.turn
        into[VEL : VEL + 3, :3] = skew(self.vel) @ self.turn
        into[POS : POS + 3, :3] = skew(self.pos) @ self.turn
        for k, point in enumerate(self.points):
            at = self.point_at(k)
            into[at : at + 3, :3] = skew(point) @ self.turn
        into[:, :3] *= noise.gyro
        into[VEL : VEL + 3, 3:] = noise.accelerometer * self.turn
        added = into @ into.T
        own = np.zeros(self.size)
        own[FIRST_POINT : FIRST_POINT + 3 * count] = noise.slip
        own[self.bias_at : self.bias_at + 3] = noise.gyro_bias
        own[self.bias_at + 3 :] = noise.accelerometer_bias
        added[np.diag_indices(self.size)] += own * own
        return dt * added

    def put_point(self, k: int, offset_b: Array, cov_b: Array) -> None:
        """Point ``k`` is where the joints say, [3] m from the base's origin along its axes.

        Its error is the base's and that of the joints, ``cov_b`` [3, 3] m^2, as for a point that
        comes into contact.
        """
        at = self.point_at(k)
        self.points[k] = self.pos + self.turn @ offset_b
        self.cov[at : at + 3] = self.cov[POS : POS + 3]
        self.cov[:, at : at + 3] = self.cov[:, POS : POS + 3]
        self.cov[at : at + 3, at : at + 3] = (
            self.cov[POS : POS + 3, POS : POS + 3] + self.turn @ cov_b @ self.turn.T
        )

    # what is measured: (innovation [m], its Jacobian [m, n]) --------------------------------

    def offset_of(self, k: int, offset_b: Array) -> tuple[Array, Array]:
        """Point ``k`` is seen by the joints, [3] m from the base along its axes."""
        jacobian = np.zeros((3, self.size))
        jacobian[:, POS : POS + 3] = np.eye(3)
        at = self.point_at(k)
        jacobian[:, at : at + 3] = -np.eye(3)
        return self.pos + self.turn @ offset_b - self.points[k], jacobian

    def rest_of(self, offset_b: Array, rate_b: Array, gyro: Array) -> tuple[Array, Array]:
        """A point of the body rests.

        Args:
            offset_b: [3] m from the base along its axes. rate_b: [3] m/s, its change there.
            gyro: [3] rad/s, as measured.
        """
        jacobian = np.zeros((3, self.size))
        jacobian[:, VEL : VEL + 3] = np.eye(3)
        jacobian[:, self.bias_at : self.bias_at + 3] = self.turn @ skew(offset_b)
        turning = np.cross(gyro - self.gyro_bias, offset_b)
        return self.vel + self.turn @ (rate_b + turning), jacobian

    def orientation(self, turn: Array) -> tuple[Array, Array]:
        """The IMU tells an orientation [3, 3]."""
        jacobian = np.zeros((3, self.size))
        jacobian[:, :3] = np.eye(3)
        return log_so3(self.turn @ turn.T), jacobian

    def height_of(self, k: int, height: float) -> tuple[Array, Array]:
        """Point ``k`` is at ``height`` m."""
        jacobian = np.zeros((1, self.size))
        jacobian[0, :3] = -skew(self.points[k])[2]
        jacobian[0, self.point_at(k) + 2] = 1.0
        return np.array([self.points[k][2] - height]), jacobian

    def velocity(self, vel_w: Array) -> tuple[Array, Array]:
        """The base moves with [3] m/s in the world."""
        jacobian = np.zeros((3, self.size))
        jacobian[:, :3] = -skew(self.vel)
        jacobian[:, VEL : VEL + 3] = np.eye(3)
        return self.vel - vel_w, jacobian

    def correct(self, innovation: Array, jacobian: Array, cov: Array) -> None:
        """Correct the state by measurements with the covariance [m, m]."""
        seen = self.cov @ jacobian.T
        gain = np.linalg.solve(jacobian @ seen + cov, seen.T).T
        self.move(-gain @ innovation)
        kept = np.eye(self.size) - gain @ jacobian
        self.cov = kept @ self.cov @ kept.T + gain @ cov @ gain.T
        self.cov = 0.5 * (self.cov + self.cov.T)

    def move(self, xi: Array) -> None:
        """X becomes exp(xi) X, and biases move by their part of ``xi`` [n]."""
        by, along = exp_so3(xi[:3]), left_jacobian(xi[:3])
        self.turn = by @ self.turn
        self.vel = by @ self.vel + along @ xi[VEL : VEL + 3]
        self.pos = by @ self.pos + along @ xi[POS : POS + 3]
        moved = xi[FIRST_POINT : self.bias_at].reshape(-1, 3)
        self.points = self.points @ by.T + moved @ along.T
        self.gyro_bias = self.gyro_bias + xi[self.bias_at : self.bias_at + 3]
        self.accelerometer_bias = self.accelerometer_bias + xi[self.bias_at + 3 :]

    @property
    def finite(self) -> bool:
        """Whether every number of the state is one."""
        parts = (self.turn, self.vel, self.pos, self.points, self.cov)
        return all(bool(np.isfinite(part).all()) for part in parts)
