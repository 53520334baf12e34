"""Unitree's `unitree_hg` messages `LowCmd_` and `LowState_` as bytes: G1 and H1-2.

Two layouts of the same fields. On the wire they are CDR (OMG, little endian, XCDR1 with the
4-byte header ``00 01 00 00``): each number is aligned to its own size within the body. The checksum
is taken over the layout of a C struct, where a motor's first byte begins at a multiple of four; so
the first motor's mode lies two bytes further than in CDR, and everything else of CDR four bytes
before.

The checksum is CRC-32 with polynomial 0x04C11DB7, initial value 0xFFFFFFFF, neither reflected nor
inverted, over the struct's 32-bit words taken from their highest bit, the last word (the checksum
itself) left out.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mimic.deploy.messages import (
    NO_REMOTE,
    Array,
    Odometry,
    RobotCommand,
    RobotIdentity,
    RobotState,
    array,
)
from mimic.deploy.wire.slots import G1_JOINTS
from mimic_base.errors import RobotError

SLOTS = 35
"""Motors in a message; a robot uses the first ones."""
HEADER = bytes((0, 1, 0, 0))
"""CDR, little endian."""
COMMAND_SIZE = 1004
"""Bytes of a command on the wire, header and all."""
STATE_SIZE = 2092
"""Bytes of a state on the wire, header and all."""
SERIES = 0
"""``mode_pr`` for ankles and waist in pitch and roll, as the joints of the models are."""

_MOTOR_COMMAND = np.dtype(
    {
        "names": ["mode", "q", "dq", "tau", "kp", "kd", "reserve"],
        "formats": ["u1", "<f4", "<f4", "<f4", "<f4", "<f4", "<u4"],
        "offsets": [0, 4, 8, 12, 16, 20, 24],
        "itemsize": 28,
    }
)
_COMMAND = np.dtype(
    {
        "names": ["mode_pr", "mode_machine", "motor", "reserve", "crc"],
        "formats": ["u1", "u1", (_MOTOR_COMMAND, SLOTS), ("<u4", 4), "<u4"],
        "offsets": [0, 1, 4, 984, 1000],
        "itemsize": 1004,
    }
)
_MOTOR_STATE = np.dtype(
    {
        "names": [
            "mode", "q", "dq", "ddq", "tau_est", "temperature", "vol", "sensor", "motorstate",
            "reserve",
        ],
        "formats": [
            "u1", "<f4", "<f4", "<f4", "<f4", ("<i2", 2), "<f4", ("<u4", 2), "<u4", ("<u4", 4),
        ],
        "offsets": [0, 4, 8, 12, 16, 20, 24, 28, 36, 40],
        "itemsize": 56,
    }
)  # fmt: skip
_STATE = np.dtype(
    {
        "names": [
            "version", "mode_pr", "mode_machine", "tick", "quaternion", "gyroscope",
            "accelerometer", "rpy", "temperature", "motor", "remote", "reserve", "crc",
        ],
        "formats": [
            ("<u4", 2), "u1", "u1", "<u4", ("<f4", 4), ("<f4", 3), ("<f4", 3), ("<f4", 3), "<i2",
            (_MOTOR_STATE, SLOTS), ("u1", 40), ("<u4", 4), "<u4",
        ],
        "offsets": [0, 8, 9, 12, 16, 32, 44, 56, 68, 72, 2032, 2072, 2088],
        "itemsize": 2092,
    }
)  # fmt: skip

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32(words: bytes) -> int:
    """The checksum of 32-bit little-endian words.

    It is the common reflected CRC-32 of the bit-mirrored data, mirrored: word by word from the
    highest bit is byte by byte of the words turned round.
    """
    turned = np.frombuffer(words, "<u4").astype(">u4").tobytes().translate(_REVERSED)
    reflected = zlib.crc32(turned) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def _to_cdr(struct: bytes, first: int) -> bytes:
    """From the layout of the struct, whose first motor begins at ``first``, to the wire."""
    return b"".join(
        (HEADER, struct[: first - 2], struct[first : first + 1], b"\0", struct[first + 4 :])
    )


def _to_struct(cdr: bytes, first: int) -> bytes:
    """From the wire to the layout of the struct; padding is zero, whatever was sent."""
    body = memoryview(cdr)[len(HEADER) :]
    at = first - 2
    return b"".join((body[:at], b"\0\0", body[at : at + 1], b"\0\0\0", body[at + 2 :]))


_COMMAND_MOTORS, _STATE_MOTORS = 4, 72
# In the struct two bytes of padding precede the motors, so that CDR's mode lies two bytes before.


class WrongMessage(Exception):
    """A message that has another size, header or checksum than it should."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HgCodec:
    """Between a robot's messages and bytes, for a robot whose joints fill the first slots.

    Attributes:
        joints: how many slots the robot uses.
    """

    joints: int
    family = "hg"

    def __post_init__(self) -> None:
        if not 0 < self.joints <= SLOTS:
            raise RobotError(f"a unitree_hg message has {SLOTS} motors, not {self.joints}")

    # commands ------------------------------------------------------------------------------

    def encode_command(self, command: RobotCommand) -> bytes:
        """A command on the wire; the robot's motors are enabled, the other slots are zero."""
        message = np.zeros((), _COMMAND)
        message["mode_pr"], message["mode_machine"] = SERIES, command.mode_machine
        motor = message["motor"][: self.joints]
        motor["mode"] = 1
        motor["q"], motor["dq"], motor["tau"] = command.joint_pos, command.joint_vel, command.torque
        motor["kp"], motor["kd"] = command.kp, command.kd
        message["crc"] = crc32(message.tobytes()[:-4])
        return _to_cdr(message.tobytes(), _COMMAND_MOTORS)

    def decode_command(self, data: bytes) -> RobotCommand:
        """A command off the wire.

        Raises:
            WrongMessage: another size, header or checksum.
        """
        message = _checked(data, COMMAND_SIZE, _COMMAND, _COMMAND_MOTORS)
        motor = message["motor"][: self.joints]
        on = motor["mode"] == 1
        # A motor that is not enabled does nothing.
        return RobotCommand(
            joint_pos=motor["q"],
            joint_vel=np.where(on, motor["dq"], 0.0),
            torque=np.where(on, motor["tau"], 0.0),
            kp=np.where(on, motor["kp"], 0.0),
            kd=np.where(on, motor["kd"], 0.0),
            mode_machine=int(message["mode_machine"]),
        )

    # states --------------------------------------------------------------------------------

    def encode_state(self, state: RobotState) -> bytes:
        """A state on the wire, as a robot tells it."""
        message = np.zeros((), _STATE)
        message["mode_pr"], message["mode_machine"] = SERIES, state.mode_machine
        message["tick"] = state.tick
        message["quaternion"], message["gyroscope"] = state.imu_quat_w, state.gyro
        message["accelerometer"] = state.accelerometer
        message["rpy"] = roll_pitch_yaw(array(state.imu_quat_w))
        message["temperature"] = 40
        motor = message["motor"][: self.joints]
        motor["mode"] = 1
        motor["q"], motor["dq"] = state.joint_pos, state.joint_vel
        motor["tau_est"] = state.joint_torque
        degrees = np.rint(np.clip(np.nan_to_num(state.motor_temperature), -40, 300))
        motor["temperature"] = degrees.astype(np.int16)[:, None]
        motor["vol"] = 52.0
        motor["motorstate"] = np.asarray(state.motor_error, np.uint32)
        message["remote"] = np.frombuffer(state.remote, np.uint8)
        message["crc"] = crc32(message.tobytes()[:-4])
        return _to_cdr(message.tobytes(), _STATE_MOTORS)

    def decode_state(
        self, data: bytes, time: float, odometry: Odometry | None = None
    ) -> RobotState:
        """A state off the wire, which came at ``time`` s.

        Raises:
            WrongMessage: another size, header or checksum.
        """
        message = _checked(data, STATE_SIZE, _STATE, _STATE_MOTORS)
        motor = message["motor"][: self.joints]
        remote = message["remote"].tobytes()
        return RobotState(
            time=time,
            tick=int(message["tick"]),
            mode_machine=int(message["mode_machine"]),
            joint_pos=motor["q"],
            joint_vel=motor["dq"],
            joint_torque=motor["tau_est"],
            motor_temperature=motor["temperature"].max(axis=1),
            motor_error=motor["motorstate"],
            imu_quat_w=message["quaternion"],
            gyro=message["gyroscope"],
            accelerometer=message["accelerometer"],
            remote=NO_REMOTE if remote == NO_REMOTE else remote,
            odometry=odometry,
        )


def _checked(data: bytes, size: int, layout: np.dtype, first: int) -> np.ndarray:
    if len(data) != size:
        raise WrongMessage(f"a message of {len(data)} bytes, expected {size}")
    if data[: len(HEADER)] != HEADER:
        raise WrongMessage(f"a message that begins with {data[:4].hex()}, expected {HEADER.hex()}")
    struct = _to_struct(data, first)
    message = np.frombuffer(struct, layout)[0]
    crc = crc32(struct[:-4])
    if crc != int(message["crc"]):
        raise WrongMessage(f"checksum {int(message['crc']):#010x}, expected {crc:#010x}")
    return message


def roll_pitch_yaw(quat: Array) -> Array:
    """Roll, pitch and yaw, [3] rad, of an orientation wxyz."""
    w, x, y, z = quat
    return np.array(
        [
            np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
            np.arcsin(np.clip(2 * (w * y - z * x), -1.0, 1.0)),
            np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)),
        ]
    )


def encode_odometry(odometry: Odometry) -> bytes:
    """Place and velocity of the base as six little-endian doubles: our own message, for robots of
    this program."""
    return (
        np.concatenate([array(odometry.pos_w), array(odometry.lin_vel_b)]).astype("<f8").tobytes()
    )


def decode_odometry(data: bytes) -> Odometry:
    """The reverse.

    Raises:
        WrongMessage: another size.
    """
    if len(data) != 48:
        raise WrongMessage(f"odometry of {len(data)} bytes, expected 48")
    values = np.frombuffer(data, "<f8")
    return Odometry(pos_w=values[:3], lin_vel_b=values[3:])


def check_slots(identity: RobotIdentity) -> None:
    """Refuse a robot whose joints are not in the order of the slots.

    Raises:
        RobotError: the first joint that differs.
    """
    if identity.name != "unitree_g1":
        return
    for slot, (ours, theirs) in enumerate(zip(identity.joint_names, G1_JOINTS, strict=False)):
        if ours != theirs:
            raise RobotError(f"slot {slot} of the G1 is '{theirs}', the model's is '{ours}'")
