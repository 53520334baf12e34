"""A Booster T1 through its vendor's SDK (`booster_robotics_sdk_python`, seen with 1.6.3).

The SDK sends and receives by itself, over DDS, in a thread of its own: what it hands over is turned
into our messages as it comes. Its motors are found by their names in its ``JointIndex``. Positions,
gains and torques are those of joints (``LowCmdType.SERIAL``, ``motor_state_serial``): the robot
itself turns them into its ankles' cranks.

A state tells no time, no ``mode_machine``, no error words and no remote: its tick is the moment at
which it came, on this computer's clock, the others are zero. Orientation comes as roll r, pitch p
and yaw y of the trunk, read as R = Rz(y) Ry(p) Rx(r): the SDK does not say so, deployments on
this robot do.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from mimic.deploy.messages import Array, RobotCommand, RobotIdentity, RobotState, array
from mimic_base.errors import RobotError

PACKAGE = "booster_robotics_sdk_python"
INSTALL = "pip install -e '.[booster]'"
PREFIX = "booster:"
"""Of a network's name that is the SDK's: ``booster:INTERFACE:DOMAIN``."""
ROBOTS = ("booster_t1",)
"""Robots that are reached through the SDK."""
STATES = "rt/low_state"
WEIGHT = 1.0
"""``weight`` of each motor's command, as in the SDK's own examples."""
NOT_KNOWN = (
    "note: Booster's SDK does not tell who else commands the robot; make sure that nobody does, "
    "and that it is in its custom mode"
)

_ARM = {
    "Shoulder_Pitch": "ShoulderPitch", "Shoulder_Roll": "ShoulderRoll",
    "Elbow_Pitch": "ElbowPitch", "Elbow_Yaw": "ElbowYaw",
}  # fmt: skip
_LEG = {
    "Hip_Pitch": "HipPitch", "Hip_Roll": "HipRoll", "Hip_Yaw": "HipYaw", "Knee_Pitch": "KneePitch",
}  # fmt: skip
_ANKLE = {"Ankle_Pitch": "CrankUp", "Ankle_Roll": "CrankDown"}
MOTORS = {
    "AAHead_yaw": "kHeadYaw",
    "Head_pitch": "kHeadPitch",
    "Waist": "kWaist",
    **{
        f"{side}_{ours}": f"k{side}{theirs}"
        for side in ("Left", "Right")
        for ours, theirs in (_ARM | _LEG).items()
    },
    **{
        f"{side}_{ours}": f"k{theirs}{side}"
        for side in ("Left", "Right")
        for ours, theirs in _ANKLE.items()
    },
}
"""Our joint -> its name in the SDK's ``JointIndex``. The ankle's two motors stand for pitch and
roll, in this order, where a message speaks of joints."""


def check_interface(interface: str) -> None:
    """Refuse a network that is not there, or a missing SDK.

    Raises:
        RobotError: no such interface, or no SDK.
    """
    there = [name for _, name in socket.if_nameindex()]
    if interface not in there:
        raise RobotError(
            f"--interface {interface}: this computer has {', '.join(there)}; name the one that "
            "leads to the robot (a Booster robot is not reached in a folder)"
        )
    try:
        found = find_spec(PACKAGE) is not None
    except ValueError:
        found = True
    if not found:
        raise RobotError(
            f"a Booster robot needs the package booster-robotics-sdk-python; install it with "
            f"{INSTALL}"
        )


def name_of(interface: str, domain: int) -> str:
    """Name of a network as processes of a deployment tell it each other."""
    return f"{PREFIX}{interface}:{domain}"


def quat_of_rpy(rpy: Array) -> Array:
    """Quaternion wxyz of R = Rz(yaw) Ry(pitch) Rx(roll); ``rpy`` [3] rad."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy / 2), np.cos(rpy / 2)
    return np.array(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )


def slots_of(sdk: Any, identity: RobotIdentity) -> list[int]:
    """[J] the SDK's number of each joint's motor.

    Raises:
        RobotError: joints that are not the 23 of a T1, or an SDK that numbers other motors.
    """
    if set(identity.joint_names) != set(MOTORS):
        raise RobotError(
            f"robot '{identity.name}': its {identity.num_joints} joints are not the {len(MOTORS)} "
            "of a Booster T1"
        )
    slots = [int(getattr(sdk.JointIndex, MOTORS[name], -1)) for name in identity.joint_names]
    if sorted(slots) != list(range(len(MOTORS))):
        raise RobotError(
            f"{PACKAGE} numbers a T1's motors otherwise ({slots}); install it with {INSTALL}"
        )
    return slots


class BoosterRobot:
    """A `mimic.deploy.robot_io.RobotIO` through the SDK; one that does not send is no publisher.

    Attributes:
        rejected_in_row: states with another number of motors since the last good one.
        rejected: all of them. unsent: commands that the SDK said it did not send.
        heard_on, wrong: the topic of states, and what is wrong with those that were rejected.
    """

    heard_on = STATES
    wrong = f"each with another number of motors than {len(MOTORS)}; only that T1 is known here"

    def __init__(
        self,
        where: str,
        identity: RobotIdentity,
        clock: Callable[[], float],
        *,
        send: bool = True,
    ) -> None:
        """Join a domain.

        Args:
            where: ``booster:INTERFACE:DOMAIN``.

        Raises:
            RobotError: no SDK, or it cannot be joined.
        """
        interface, _, domain = where.removeprefix(PREFIX).rpartition(":")
        check_interface(interface)
        self._sdk = _joined(interface, int(domain))
        self._identity, self._clock = identity, clock
        self._slots = slots_of(self._sdk, identity)
        self._newest: RobotState | None = None
        self._came = threading.Event()
        self._open = True
        self.rejected_in_row = self.rejected = self.unsent = 0
        self._commands: Any = None
        if send:
            self._commands = self._sdk.B1LowCmdPublisher()
            self._commands.InitChannel()
        self._states: Any = self._sdk.B1LowStateSubscriber(self._hear)
        self._states.InitChannel()

    @property
    def identity(self) -> RobotIdentity:
        return self._identity

    def wait(self, seconds: float) -> bool:
        """Wait for a state, at most ``seconds``."""
        came = self._came.wait(seconds)
        self._came.clear()
        return came

    def read(self) -> RobotState | None:
        return self._newest

    def write(self, command: RobotCommand, number: int | None = None) -> None:
        """Send a command; its number is not told."""
        if self._commands is None:
            raise RobotError("nothing is sent to this robot: it is only listened to")
        if not self._commands.Write(self._encoded(command)):
            self.unsent += 1

    def close(self) -> None:
        if self._open:
            self._open = False
            self._states.CloseChannel()
            if self._commands is not None:
                self._commands.CloseChannel()

    def _encoded(self, command: RobotCommand) -> Any:
        motors = [self._sdk.MotorCmd() for _ in MOTORS]
        columns = zip(
            self._slots,
            array(command.joint_pos).tolist(),
            array(command.joint_vel).tolist(),
            array(command.torque).tolist(),
            array(command.kp).tolist(),
            array(command.kd).tolist(),
            strict=True,
        )
        for slot, q, dq, tau, kp, kd in columns:
            motor = motors[slot]
            motor.q, motor.dq, motor.tau, motor.kp, motor.kd = q, dq, tau, kp, kd
            motor.weight = WEIGHT
        message = self._sdk.LowCmd()
        message.cmd_type = self._sdk.LowCmdType.SERIAL
        message.motor_cmd = motors
        return message

    def _hear(self, message: Any) -> None:
        """Take a state, in the SDK's thread."""
        if not self._open:
            return
        motors, imu, now = list(message.motor_state_serial), message.imu_state, self._clock()
        if len(motors) != len(MOTORS):
            self.rejected_in_row += 1
            self.rejected += 1
            return
        ordered = [motors[slot] for slot in self._slots]
        self._newest = RobotState(
            time=now,
            tick=round(now * 1000.0) & 0xFFFFFFFF,
            mode_machine=0,
            joint_pos=[each.q for each in ordered],
            joint_vel=[each.dq for each in ordered],
            joint_torque=[each.tau_est for each in ordered],
            motor_temperature=[each.temperature for each in ordered],
            motor_error=np.zeros(len(ordered)),
            imu_quat_w=quat_of_rpy(np.array(imu.rpy, np.float64)),
            gyro=list(imu.gyro),
            accelerometer=list(imu.acc),
        )
        self.rejected_in_row = 0
        self._came.set()


@cache
def _joined(interface: str, domain: int) -> Any:
    """The SDK, of which this process is a member on a network; one for each."""
    try:
        sdk = import_module(PACKAGE)
        sdk.ChannelFactory.Instance().Init(domain, interface)
    except Exception as error:
        raise RobotError(
            f"{PACKAGE} does not come up on {interface}, domain {domain}: {error}"
        ) from error
    return sdk
