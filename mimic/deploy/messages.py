"""What a robot tells and what it is told: frozen, in SI units, joints by name.

Arrays over joints are in the order of the `RobotIdentity` that they belong to. They are made
read-only, and a message has no other attributes than its fields: a misspelt one is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimic_base.errors import RobotError

Array = NDArray[np.float64]
Vector = Any
"""A field of a message: given as anything that NumPy makes an array of, read as an `Array`."""

NO_REMOTE = bytes(40)
"""The wireless remote's bytes where nothing is pressed."""


class Remote(IntEnum):
    """Buttons of Unitree's wireless remote: bit numbers in bytes 2 and 3, little endian."""

    R1 = 0
    L1 = 1
    START = 2
    SELECT = 3
    R2 = 4
    L2 = 5
    F1 = 6
    F2 = 7
    A = 8
    B = 9
    X = 10
    Y = 11
    UP = 12
    RIGHT = 13
    DOWN = 14
    LEFT = 15


def pressed(remote: bytes) -> frozenset[Remote]:
    """The buttons that are pressed, of the remote's 40 bytes."""
    bits = int.from_bytes(remote[2:4], "little")
    return frozenset(button for button in Remote if bits >> button & 1)


def remote_bytes(*buttons: Remote) -> bytes:
    """The remote's 40 bytes with these buttons pressed and the sticks at rest."""
    bits = sum(1 << button for button in buttons)
    return b"\0\0" + bits.to_bytes(2, "little") + bytes(36)


def _vector(values: ArrayLike, size: int, name: str) -> Array:
    if (
        isinstance(values, np.ndarray)
        and values.base is None
        and not values.flags.writeable
        and values.dtype == np.float64
        and values.shape == (size,)
    ):
        # Of another message: nobody can change it.
        return values
    found = np.array(values, np.float64)
    if found.shape != (size,):
        raise RobotError(f"{name} has shape {found.shape}, expected ({size},)")
    found.flags.writeable = False
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotIdentity:
    """Who a robot is and what its joints stand.

    Attributes:
        name: the robot's, as policies name it.
        hash: of its model and gains (`robots.Robot.content_hash`); empty where it is not known,
            as on a real robot.
        joint_names: [J] in the order of its motors.
        joint_lower, joint_upper: [J] rad, soft limits that commands are kept within.
        effort_limit: [J] N m. velocity_limit: [J] rad/s.
        mode_machine: what the robot calls its kind; every command has to repeat it.
    """

    name: str
    hash: str = ""
    joint_names: tuple[str, ...]
    joint_lower: Vector
    joint_upper: Vector
    effort_limit: Vector
    velocity_limit: Vector
    mode_machine: int = 0

    def __post_init__(self) -> None:
        if len(set(self.joint_names)) != len(self.joint_names):
            raise RobotError(f"robot '{self.name}' names a joint twice")
        for name in ("joint_lower", "joint_upper", "effort_limit", "velocity_limit"):
            values = _vector(getattr(self, name), len(self.joint_names), name)
            if not np.isfinite(values).all():
                raise RobotError(f"robot '{self.name}': {name} holds a number that is not finite")
            object.__setattr__(self, name, values)

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Odometry:
    """Where the floating base is, from who knows it: a simulation, a lidar, an estimator.

    Attributes:
        pos_w: [3] m. lin_vel_b: [3] m/s along the base's own axes.
    """

    pos_w: Vector
    lin_vel_b: Vector

    def __post_init__(self) -> None:
        for name in ("pos_w", "lin_vel_b"):
            object.__setattr__(self, name, _vector(getattr(self, name), 3, name))


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotState:
    """What one robot measured at one moment.

    Attributes:
        time: s on this computer's monotonic clock, when the message arrived here.
        tick: the robot's own clock, ms; it goes round at 2**32.
        mode_machine: the robot's kind, as it says itself.
        joint_pos, joint_vel: [J] rad, rad/s. joint_torque: [J] N m, as the motors estimate it.
        motor_temperature: [J] degrees Celsius, the hottest part of each. motor_error: [J] the
            motors' error words, zero where all is well.
        imu_quat_w: [4] wxyz, orientation of the floating base. gyro: [3] rad/s and
            accelerometer: [3] m/s^2 (specific force), both along the base's axes.
        remote: the wireless remote's 40 bytes.
        odometry: from the robot's own odometry, or None.
    """

    time: float
    tick: int
    mode_machine: int
    joint_pos: Vector
    joint_vel: Vector
    joint_torque: Vector
    motor_temperature: Vector
    motor_error: Vector
    imu_quat_w: Vector
    gyro: Vector
    accelerometer: Vector
    remote: bytes = NO_REMOTE
    odometry: Odometry | None = None

    def __post_init__(self) -> None:
        joints = len(np.atleast_1d(np.asarray(self.joint_pos)))
        sizes = {"imu_quat_w": 4, "gyro": 3, "accelerometer": 3}
        for name in STATE_ARRAYS:
            values = _vector(getattr(self, name), sizes.get(name, joints), name)
            object.__setattr__(self, name, values)


STATE_ARRAYS = (
    "joint_pos", "joint_vel", "joint_torque", "motor_temperature", "motor_error", "imu_quat_w",
    "gyro", "accelerometer",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotCommand:
    """What the motors are to do: torque = kp (joint_pos - q) + kd (joint_vel - dq) + torque.

    Attributes:
        joint_pos, joint_vel, torque: [J] rad, rad/s, N m.
        kp, kd: [J] N m/rad, N m s/rad.
        mode_machine: the robot's kind, repeated from its state.
    """

    joint_pos: Vector
    joint_vel: Vector
    torque: Vector
    kp: Vector
    kd: Vector
    mode_machine: int = 0

    def __post_init__(self) -> None:
        joints = len(np.atleast_1d(np.asarray(self.joint_pos)))
        for name in COMMAND_ARRAYS:
            object.__setattr__(self, name, _vector(getattr(self, name), joints, name))

    @property
    def damps(self) -> bool:
        """Whether the motors are asked for nothing but to resist motion."""
        return not (np.any(self.kp) or np.any(self.torque) or np.any(self.joint_vel))


COMMAND_ARRAYS = ("joint_pos", "joint_vel", "torque", "kp", "kd")


def damping_command(joint_pos: ArrayLike, kd: ArrayLike, mode_machine: int = 0) -> RobotCommand:
    """Resist motion with ``kd`` [J] N m s/rad and nothing else; ``joint_pos`` [J] has no effect."""
    pos = np.nan_to_num(np.asarray(joint_pos, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    zero = np.zeros(len(pos))
    return RobotCommand(
        joint_pos=pos, joint_vel=zero, torque=zero, kp=zero, kd=kd, mode_machine=mode_machine
    )


def array(values: Any) -> Array:
    """A field of a message as the array that it is."""
    return np.asarray(values, np.float64)
