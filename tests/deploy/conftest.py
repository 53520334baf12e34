from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mimic.deploy.limiter import CommandLimits, LimitSettings, limits_of
from mimic.deploy.messages import RobotCommand, RobotIdentity, RobotState

JOINTS = ("hip", "knee", "ankle")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity() -> RobotIdentity:
    return RobotIdentity(
        name="three",
        joint_names=JOINTS,
        joint_lower=[-1.0, -0.5, -2.0],
        joint_upper=[1.0, 2.0, 0.5],
        effort_limit=[80.0, 40.0, 10.0],
        velocity_limit=[20.0, 30.0, 10.0],
        mode_machine=5,
    )


@pytest.fixture
def limits(identity: RobotIdentity) -> CommandLimits:
    kp, kd = np.array([100.0, 50.0, 20.0]), np.array([5.0, 2.0, 1.0])
    return limits_of(identity, kp, kd, 0.002, LimitSettings())


@pytest.fixture
def make_state() -> Callable[..., RobotState]:
    def make(**changes: object) -> RobotState:
        usual: dict[str, object] = {
            "time": 100.0,
            "tick": 7,
            "mode_machine": 5,
            "joint_pos": np.zeros(3),
            "joint_vel": np.zeros(3),
            "joint_torque": np.zeros(3),
            "motor_temperature": np.full(3, 40.0),
            "motor_error": np.zeros(3),
            "imu_quat_w": [1.0, 0.0, 0.0, 0.0],
            "gyro": np.zeros(3),
            "accelerometer": [0.0, 0.0, 9.81],
        }
        return RobotState(**{**usual, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_command() -> Callable[..., RobotCommand]:
    def make(**changes: object) -> RobotCommand:
        usual: dict[str, object] = {
            "joint_pos": np.zeros(3),
            "joint_vel": np.zeros(3),
            "torque": np.zeros(3),
            "kp": [100.0, 50.0, 20.0],
            "kd": [5.0, 2.0, 1.0],
            "mode_machine": 5,
        }
        return RobotCommand(**{**usual, **changes})  # type: ignore[arg-type]

    return make
