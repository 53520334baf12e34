"""What the controller needs of a robot, and a robot that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from mimic.deploy.messages import RobotCommand, RobotIdentity, RobotState


class RobotIO(Protocol):
    """A robot that can be read and told."""

    @property
    def identity(self) -> RobotIdentity:
        """Who it is."""
        ...

    @property
    def rejected_in_row(self) -> int:
        """Messages thrown away since the newest state, for a wrong checksum or size."""
        ...

    def read(self) -> RobotState | None:
        """The newest state; the same one again where nothing new came; None before the first."""
        ...

    def write(self, command: RobotCommand) -> None:
        """Send a command; it holds until the next one."""
        ...

    def close(self) -> None:
        """Let go of the robot; nothing is sent any more."""
        ...


class FakeRobot:
    """A robot without physics, in this process: its joints go where they are told, at once.

    For tests and for trying a controller: what it says can be set (`say`), what it was told is
    kept (`commands`).
    """

    def __init__(self, identity: RobotIdentity, clock: Callable[[], float]) -> None:
        self._identity, self._clock = identity, clock
        self.commands: list[RobotCommand] = []
        self.rejected_in_row = 0
        self.closed = False
        joints = np.zeros(identity.num_joints)
        self._state = RobotState(
            time=clock(),
            tick=0,
            mode_machine=identity.mode_machine,
            joint_pos=joints,
            joint_vel=joints,
            joint_torque=joints,
            motor_temperature=joints + 30.0,
            motor_error=joints,
            imu_quat_w=[1.0, 0.0, 0.0, 0.0],
            gyro=np.zeros(3),
            accelerometer=[0.0, 0.0, 9.81],
        )
        self.speaks = True

    @property
    def identity(self) -> RobotIdentity:
        return self._identity

    def say(self, **changes: object) -> None:
        """Change fields of what the robot tells from now on."""
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]

    def read(self) -> RobotState | None:
        """The state of this moment, its tick in step with the clock."""
        if self.speaks:
            now = self._clock()
            self._state = replace(self._state, time=now, tick=round(now * 1000.0) & 0xFFFFFFFF)
        return self._state

    def write(self, command: RobotCommand) -> None:
        self.commands.append(command)
        if np.any(command.kp):
            self.say(joint_pos=command.joint_pos)

    def close(self) -> None:
        self.closed = True
