"""Unitree's `unitree_go` messages `LowCmd_` and `LowState_` as bytes: the H1 (not the H1-2).

As with `mimic.deploy.wire.hg` there are two layouts of the same fields, CDR on the wire and a C
struct under the checksum, which is the same CRC-32; here they differ at several places, so that
fields are copied one by one. A message has 20 motors and no ``mode_machine``: the robot's kind is
not told, and no motor tells an error word.

The H1's IMU is in its torso, above the waist's motor. What a state says of the floating base is
computed from it and the waist's angle q about the vertical: R_pelvis = R_torso Rz(q)^T,
w_pelvis = Rz(q) w_torso - (0, 0, dq), a_pelvis = Rz(q) a_torso without the lever arm.
"""

from __future__ import annotations

from typing import Any

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
from mimic.deploy.wire.hg import HEADER, WrongMessage, crc32, roll_pitch_yaw
from mimic.deploy.wire.slots import SLOTS
from mimic_base.errors import RobotError
from mimic_base.rotations import quat_conj, quat_mul, quat_of_yaw, quat_rotate

MOTORS = 20
HEAD = bytes((0xFE, 0xEF))
LOW_LEVEL = 0xFF
"""``level_flag`` of commands to the motors."""
STRONG, WEAK = 0x0A, 0x01
"""``mode`` of a motor that is enabled: those of hips, knees and waist, and the others."""
_STRONG = ("hip", "knee", "torso")
_Fields = list[tuple[str, Any, int]]

MOTOR_COMMAND: _Fields = [
    ("mode", "u1", 1), ("q", "<f4", 1), ("dq", "<f4", 1), ("tau", "<f4", 1), ("kp", "<f4", 1),
    ("kd", "<f4", 1), ("reserve", "<u4", 3),
]  # fmt: skip
_MOTOR_STATE: _Fields = [
    ("mode", "u1", 1), ("q", "<f4", 1), ("dq", "<f4", 1), ("ddq", "<f4", 1), ("tau_est", "<f4", 1),
    ("raw", "<f4", 3), ("temperature", "u1", 1), ("lost", "<u4", 1), ("reserve", "<u4", 2),
]  # fmt: skip
IMU: _Fields = [
    ("quaternion", "<f4", 4), ("gyroscope", "<f4", 3), ("accelerometer", "<f4", 3),
    ("rpy", "<f4", 3), ("temperature", "u1", 1),
]  # fmt: skip
_BATTERY: _Fields = [
    ("head", "u1", 4), ("current", "<i4", 1), ("cycle", "<u2", 1), ("ntc", "u1", 4),
    ("cell_vol", "<u2", 15),
]  # fmt: skip
FIRST: _Fields = [
    ("head", "u1", 2), ("level_flag", "u1", 1), ("frame_reserve", "u1", 1), ("sn", "<u4", 2),
    ("version", "<u4", 2), ("bandwidth", "<u2", 1),
]  # fmt: skip
_COMMAND: _Fields = [
    *FIRST, ("motor", MOTOR_COMMAND, MOTORS), ("bms", "u1", 4), ("remote", "u1", 40),
    ("led", "u1", 12), ("fan", "u1", 2), ("gpio", "u1", 1), ("reserve", "<u4", 1),
    ("crc", "<u4", 1),
]  # fmt: skip
_STATE: _Fields = [
    *FIRST, ("imu", IMU, 0), ("motor", _MOTOR_STATE, MOTORS), ("bms", _BATTERY, 0),
    ("foot_force", "<i2", 4), ("foot_force_est", "<i2", 4), ("tick", "<u4", 1),
    ("remote", "u1", 40), ("bit_flag", "u1", 1), ("adc_reel", "<f4", 1), ("ntc", "u1", 2),
    ("power", "<f4", 2), ("fan_frequency", "<u2", 4), ("reserve", "<u4", 1), ("crc", "<u4", 1),
]  # fmt: skip


def _laid_out(fields: _Fields, *, struct: bool, at: int = 0) -> tuple[dict[str, Any], int, int]:
    """Offsets of fields from ``at`` on, where they end, and their coarsest alignment.

    A number begins at a multiple of its size, counted from the start of the message. In a struct a
    nested one begins and ends at a multiple of its coarsest number besides; in CDR it does not.
    """
    names, formats, offsets, coarsest, begin = [], [], [], 1, at
    for name, kind, count in fields:
        if isinstance(kind, str):
            size = int(kind[-1])
            at = -(-at // size) * size
            names.append(name)
            formats.append(kind if count == 1 else (kind, count))
            offsets.append(at)
            at, coarsest = at + size * count, max(coarsest, size)
            continue
        for number in range(max(1, count)):
            _, _, inner = _laid_out(kind, struct=True)
            if struct:
                at = -(-at // inner) * inner
            told, end, _ = _laid_out(kind, struct=struct, at=at)
            for part, form, offset in zip(*told.values(), strict=True):
                names.append(f"{name}.{number}.{part}")
                formats.append(form)
                offsets.append(offset)
            at, coarsest = end, max(coarsest, inner)
    if struct:
        at = begin + -(-(at - begin) // coarsest) * coarsest
    return {"names": names, "formats": formats, "offsets": offsets}, at, coarsest


def _type(fields: _Fields, *, struct: bool) -> np.dtype:
    told, size, _ = _laid_out(fields, struct=struct)
    layout: Any = {**told, "itemsize": size}
    return np.dtype(layout)


def _bytes_of(from_: np.dtype, to: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Which bytes of one layout are which of the other."""
    a, b = [], []
    others = to.fields or {}
    for name, (kind, one, *_) in (from_.fields or {}).items():
        two = others[name][1]
        a.append(one + np.arange(kind.itemsize))
        b.append(two + np.arange(kind.itemsize))
    return np.concatenate(a), np.concatenate(b)


class _Layout:
    """A message in both layouts."""

    def __init__(self, fields: _Fields) -> None:
        self.struct, self.wire = _type(fields, struct=True), _type(fields, struct=False)
        self._in_struct, self._in_wire = _bytes_of(self.struct, self.wire)
        (motor,) = (kind for name, kind, _ in fields if name == "motor")
        self._motor, told = _type(motor, struct=True), self.struct.fields
        assert told is not None
        self._motors_at = told["motor.0.mode"][1]
        self.size = len(HEADER) + self.wire.itemsize

    def blank(self) -> tuple[np.ndarray, np.ndarray]:
        """A message of the struct's type, and its motors [20], both of the same bytes."""
        return self._views(bytearray(self.struct.itemsize))

    def _views(self, raw: bytes | bytearray) -> tuple[np.ndarray, np.ndarray]:
        message = np.frombuffer(raw, self.struct)
        return message, np.frombuffer(raw, self._motor, MOTORS, self._motors_at)

    def to_wire(self, message: np.ndarray) -> bytes:
        """A message of the struct's type with its checksum set, on the wire."""
        message["crc"] = crc32(message.tobytes()[:-4])
        data = np.zeros(self.wire.itemsize, np.uint8)
        data[self._in_wire] = np.frombuffer(message.tobytes(), np.uint8)[self._in_struct]
        return HEADER + data.tobytes()

    def from_wire(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """The message and its motors, as in `blank`; padding is zero, whatever was sent.

        Raises:
            WrongMessage: another size, header, head or checksum.
        """
        if len(data) != self.size:
            raise WrongMessage(f"a message of {len(data)} bytes, expected {self.size}")
        if data[: len(HEADER)] != HEADER:
            raise WrongMessage(f"a message that begins with {data[:4].hex()}")
        struct = np.zeros(self.struct.itemsize, np.uint8)
        body = np.frombuffer(data, np.uint8, offset=len(HEADER))
        struct[self._in_struct] = body[self._in_wire]
        raw = struct.tobytes()
        if raw[: len(HEAD)] != HEAD:
            raise WrongMessage(f"head {raw[: len(HEAD)].hex()}, expected {HEAD.hex()}")
        crc = crc32(raw[:-4])
        told = int.from_bytes(raw[-4:], "little")
        if crc != told:
            raise WrongMessage(f"checksum {told:#010x}, expected {crc:#010x}")
        return self._views(raw)


COMMAND, STATE = _Layout(_COMMAND), _Layout(_STATE)
COMMAND_SIZE, STATE_SIZE = COMMAND.size, STATE.size
"""Bytes on the wire, header and all."""


class GoCodec:
    """Between an H1's messages and bytes.

    Attributes:
        identity: whose joints stand at which motor is in `mimic.deploy.wire.slots`. Since the
            messages do not tell a ``mode_machine``, every state has this one's.
    """

    family = "go"

    def __init__(self, identity: RobotIdentity) -> None:
        """Make a codec.

        Raises:
            RobotError: a joint that is at no motor of these messages.
        """
        slots, names = SLOTS.get(identity.name, ()), identity.joint_names
        missing = [name for name in names if name not in slots]
        if missing or len(slots) > MOTORS:
            raise RobotError(
                f"robot '{identity.name}' has no number of unitree_go for "
                f"{', '.join(missing) or 'its motors'}"
            )
        self.identity = identity
        self._slots = np.array([slots.index(name) for name in names])
        self._modes = [STRONG if any(part in name for part in _STRONG) else WEAK for name in names]
        self._waist = names.index("torso") if "torso" in names else None

    def encode_command(self, command: RobotCommand) -> bytes:
        """A command on the wire; the robot's motors are enabled, the other slots are zero."""
        message, motors = COMMAND.blank()
        message["head"], message["level_flag"] = tuple(HEAD), LOW_LEVEL
        motors["mode"][self._slots] = self._modes
        parts = (
            ("q", "joint_pos"), ("dq", "joint_vel"), ("tau", "torque"), ("kp", "kp"), ("kd", "kd"),
        )  # fmt: skip
        for theirs, ours in parts:
            motors[theirs][self._slots] = getattr(command, ours)
        return COMMAND.to_wire(message)

    def decode_command(self, data: bytes) -> RobotCommand:
        """A command off the wire; a motor that is not enabled does nothing.

        Raises:
            WrongMessage: another size, header, head or checksum.
        """
        got = COMMAND.from_wire(data)[1][self._slots]
        on = got["mode"] == self._modes
        return RobotCommand(
            joint_pos=got["q"],
            joint_vel=np.where(on, got["dq"], 0.0),
            torque=np.where(on, got["tau"], 0.0),
            kp=np.where(on, got["kp"], 0.0),
            kd=np.where(on, got["kd"], 0.0),
            mode_machine=self.identity.mode_machine,
        )

    def encode_state(self, state: RobotState) -> bytes:
        """A state on the wire, as a robot tells it."""
        message, motors = STATE.blank()
        message["head"], message["level_flag"] = tuple(HEAD), LOW_LEVEL
        message["tick"] = state.tick
        message["remote"] = np.frombuffer(state.remote, np.uint8)
        quat, gyro, felt = self._at_torso(state)
        message["imu.0.quaternion"], message["imu.0.gyroscope"] = quat, gyro
        message["imu.0.accelerometer"], message["imu.0.rpy"] = felt, roll_pitch_yaw(quat)
        message["imu.0.temperature"] = 40
        motors["mode"][self._slots] = self._modes
        for theirs, ours in (("q", "joint_pos"), ("dq", "joint_vel"), ("tau_est", "joint_torque")):
            motors[theirs][self._slots] = getattr(state, ours)
        degrees = np.rint(np.clip(np.nan_to_num(array(state.motor_temperature)), 0, 255))
        motors["temperature"][self._slots] = degrees
        return STATE.to_wire(message)

    def decode_state(
        self, data: bytes, time: float, odometry: Odometry | None = None
    ) -> RobotState:
        """A state off the wire, which came at ``time`` s.

        Raises:
            WrongMessage: another size, header, head or checksum.
        """
        message, motors = STATE.from_wire(data)
        message, motors = message[0], motors[self._slots]
        pos, vel = motors["q"], motors["dq"]
        remote = message["remote"].tobytes()
        quat, gyro, felt = (
            np.asarray(message[f"imu.0.{part}"], np.float64)
            for part in ("quaternion", "gyroscope", "accelerometer")
        )
        if self._waist is not None:
            angle, rate = float(pos[self._waist]), float(vel[self._waist])
            turn = quat_of_yaw(angle)
            quat = quat_mul(quat, quat_conj(turn))
            gyro = quat_rotate(turn, gyro) - [0.0, 0.0, rate]
            felt = quat_rotate(turn, felt)
        return RobotState(
            time=time,
            tick=int(message["tick"]),
            mode_machine=self.identity.mode_machine,
            joint_pos=pos,
            joint_vel=vel,
            joint_torque=motors["tau_est"],
            motor_temperature=motors["temperature"],
            motor_error=np.zeros(len(pos)),
            imu_quat_w=quat,
            gyro=gyro,
            accelerometer=felt,
            remote=NO_REMOTE if remote == NO_REMOTE else remote,
            odometry=odometry,
        )

    def _at_torso(self, state: RobotState) -> tuple[Array, Array, Array]:
        """Orientation, angular velocity and specific force where the IMU is."""
        quat, gyro = array(state.imu_quat_w), array(state.gyro)
        felt = array(state.accelerometer)
        if self._waist is None:
            return quat, gyro, felt
        angle = float(array(state.joint_pos)[self._waist])
        rate = float(array(state.joint_vel)[self._waist])
        turn = quat_of_yaw(angle)
        back = quat_conj(turn)
        return (
            quat_mul(quat, turn),
            quat_rotate(back, gyro + [0.0, 0.0, rate]),
            quat_rotate(back, felt),
        )
