"""Unitree's messages, byte for byte and checksum for checksum as their own software makes them.

The golden values were made with unitree-sdk2py-dimos 1.0.3 (messages and checksum) and cyclonedds
11.0.1 (bytes) on Python 3.11, from the numbers that `command` and `state` give here.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

import robots
from mimic.deploy.messages import Odometry, RobotCommand, RobotState
from mimic.deploy.wire import hg
from mimic.deploy.wire.hg import HgCodec, WrongMessage
from mimic_base.errors import RobotError

CODEC = HgCodec(joints=29)


def ramp(first: float, last: float) -> np.ndarray:
    return np.linspace(first, last, 29).astype(np.float32)


@pytest.fixture(scope="module")
def command() -> RobotCommand:
    return RobotCommand(
        joint_pos=ramp(-1.5, 1.5), joint_vel=ramp(3, -3), torque=ramp(-20, 40), kp=ramp(10, 200),
        kd=ramp(0.5, 6), mode_machine=5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def state() -> RobotState:
    return RobotState(
        time=0.0, tick=123456, mode_machine=5, joint_pos=ramp(-1.5, 1.5), joint_vel=ramp(3, -3),
        joint_torque=ramp(-20, 40), motor_temperature=30.0 + np.arange(29),
        motor_error=np.arange(29) % 3, imu_quat_w=[0.5, 0.5, -0.5, 0.5], gyro=[0.1, -0.2, 0.3],
        accelerometer=[0.0, 0.0, 9.8125], remote=bytes(range(40)),
    )  # fmt: skip


def test_the_checksum_of_nothing() -> None:
    assert hg.crc32(bytes(1000)) == 0xFE172F9F
    assert hg.crc32(bytes(2088)) == 0xD64BB04A


def test_the_checksum_is_the_long_division() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, 250, np.uint32)
    crc = 0xFFFFFFFF
    for word in words.tolist():
        crc ^= word
        for _ in range(32):
            crc = ((crc << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1
    assert hg.crc32(words.astype("<u4").tobytes()) == crc


def test_a_command_is_theirs_to_the_last_byte(command: RobotCommand) -> None:
    data = CODEC.encode_command(command)
    assert len(data) == 1004 and data[-4:] == (0x677D444F).to_bytes(4, "little")
    assert hashlib.sha256(data).hexdigest() == (
        "756bf2bb4576c3ad609ff1b3cb7f634436e8840e3a606e26e1ace10c592f0afd"
    )


def test_a_state_is_theirs_to_the_last_byte(state: RobotState) -> None:
    data = CODEC.encode_state(state)
    assert len(data) == 2092 and data[-4:] == (0xD74C97BC).to_bytes(4, "little")
    assert hashlib.sha256(data).hexdigest() == (
        "8f902f9e636ea627c432da2062d59f9e3f2f0968ccb15679aa4e74a8bbca30be"
    )


def test_commands_and_states_come_back(command: RobotCommand, state: RobotState) -> None:
    again = CODEC.decode_command(CODEC.encode_command(command))
    for name in ("joint_pos", "joint_vel", "torque", "kp", "kd", "mode_machine"):
        assert np.array_equal(getattr(again, name), getattr(command, name)), name
    known = Odometry(pos_w=[1, 2, 3], lin_vel_b=[0.1, 0.2, 0.3])
    same = CODEC.decode_state(CODEC.encode_state(state), 7.5, known)
    assert same.time == 7.5 and same.odometry is known and same.remote == bytes(range(40))
    for name in ("tick", "mode_machine", "joint_pos", "joint_vel", "joint_torque", "motor_error",
                 "motor_temperature", "imu_quat_w", "accelerometer"):  # fmt: skip
        assert np.array_equal(getattr(same, name), getattr(state, name)), name
    assert np.allclose(same.gyro, state.gyro, atol=1e-7)


def test_motors_that_are_not_enabled_do_nothing(command: RobotCommand) -> None:
    struct = np.frombuffer(hg._to_struct(CODEC.encode_command(command), 4), hg._COMMAND).copy()
    struct["motor"]["mode"][0, 3] = 0
    struct["crc"] = hg.crc32(struct.tobytes()[:-4])
    decoded = CODEC.decode_command(hg._to_cdr(struct.tobytes(), 4))
    assert decoded.kp[3] == decoded.kd[3] == decoded.torque[3] == 0.0 and decoded.kp[4] > 0


@pytest.mark.parametrize("what", ["command", "state"])
def test_every_flipped_bit_is_seen(what: str, request) -> None:
    message = request.getfixturevalue(what)
    encode, decode = getattr(CODEC, f"encode_{what}"), getattr(CODEC, f"decode_{what}")
    data, random = encode(message), np.random.default_rng(1)
    extra = (0.0,) if what == "state" else ()
    padding = 0
    for bit in random.choice(8 * len(data), 400, replace=False).tolist():
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        try:
            decode(bytes(wrong), *extra)
        except WrongMessage:
            continue
        # Only bytes that mean nothing: the alignment of a motor's numbers.
        padding += 1
        assert encode(decode(bytes(wrong), *extra)) == data or what == "state"
    # 3 of a command's 28 bytes a motor, 3 of a state's 56.
    assert padding <= 400 * (0.13 if what == "command" else 0.08)


def test_messages_of_another_size_or_beginning_are_refused(command: RobotCommand) -> None:
    data = CODEC.encode_command(command)
    for wrong, words in [
        (b"", "of 0 bytes, expected 1004"),
        (data[:-1], "of 1003 bytes"),
        (data + b"\0", "of 1005 bytes"),
        (b"\0\0\0\0" + data[4:], "begins with 00000000, expected 00010000"),
        (data[:-1] + bytes([data[-1] ^ 1]), "checksum 0x"),
    ]:
        with pytest.raises(WrongMessage, match=words):
            CODEC.decode_command(wrong)
    with pytest.raises(WrongMessage):
        CODEC.decode_state(data, 0.0)
    with pytest.raises(WrongMessage, match="odometry of 3 bytes"):
        hg.decode_odometry(b"abc")


def test_odometry_comes_back() -> None:
    known = Odometry(pos_w=[1.0, -2.0, 0.7], lin_vel_b=[0.1, 1 / 3, -0.3])
    again = hg.decode_odometry(hg.encode_odometry(known))
    assert np.array_equal(again.pos_w, known.pos_w)
    assert np.array_equal(again.lin_vel_b, known.lin_vel_b)


def test_the_slots_are_the_model_s_joints() -> None:
    from mimic.deploy.simulated import identity_of

    identity = identity_of(robots.load("unitree_g1"))
    assert tuple(hg.G1_JOINTS) == identity.joint_names
    hg.check_slots(identity)
    with pytest.raises(RobotError, match="slot 0 of the G1 is 'left_hip_pitch_joint'"):
        hg.check_slots(replace(identity, joint_names=tuple(reversed(identity.joint_names))))
    with pytest.raises(RobotError, match="has 35 motors, not 36"):
        HgCodec(joints=36)


def test_bytes_of_an_independent_implementation(command: RobotCommand, state: RobotState) -> None:
    """Unitree's own message classes and checksum, where they are installed."""
    messages = pytest.importorskip("unitree_sdk2py.idl.unitree_hg.msg.dds_")
    CRC = pytest.importorskip("unitree_sdk2py.utils.crc").CRC

    theirs = messages.LowState_.deserialize(CODEC.encode_state(state))
    assert theirs.tick == 123456 and CRC().Crc(theirs) == theirs.crc
    assert bytes(theirs.serialize()) == CODEC.encode_state(state)
    told = messages.LowCmd_.deserialize(CODEC.encode_command(command))
    assert CRC().Crc(told) == told.crc and told.motor_cmd[28].kp == 200.0
    assert bytes(told.serialize()) == CODEC.encode_command(command)
