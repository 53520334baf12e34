"""Unitree's `unitree_go` messages of an H1, and the simulated H1 behind them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.cli import run
from mimic.deploy.messages import Remote, RobotCommand, RobotState, pressed, remote_bytes
from mimic.deploy.robot_process import RobotProcess, RobotProcessConfig
from mimic.deploy.session import short_folder, simulated_robot
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings, identity_of
from mimic.deploy.wire import go
from mimic.deploy.wire.bus import Bus
from mimic.deploy.wire.codecs import codec_of
from mimic.deploy.wire.hg import HgCodec, WrongMessage
from mimic.deploy.wire.link import COMMANDS, WireRobot
from mimic_base.errors import MimicError, RobotError
from mimic_base.rotations import quat_exp, quat_inv_rotate, quat_mul
from tests.deploy.test_foreign import small

H1 = robots.load("unitree_h1")
CODEC = go.GoCodec(identity_of(H1))
K = np.arange(19.0)


@pytest.fixture(scope="module")
def command() -> RobotCommand:
    return RobotCommand(
        joint_pos=0.1 * K, joint_vel=-0.25 * K, torque=0.5 * K, kp=100 + K, kd=2 + 0.125 * K,
        mode_machine=5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def state() -> RobotState:
    return RobotState(
        time=1.0, tick=123456, mode_machine=5, joint_pos=0.03125 * K - 0.25, joint_vel=0.5 * K,
        joint_torque=1.5 * K, motor_temperature=30 + K, motor_error=np.zeros(19),
        imu_quat_w=[1, 0, 0, 0], gyro=[0.25, 0.5, -0.125], accelerometer=[1, 2, 9.75],
        remote=remote_bytes(Remote.A),
    )  # fmt: skip


def test_commands_and_states_are_theirs_to_the_last_byte(command, state) -> None:
    """Recorded from Unitree's own classes and checksum (unitree-sdk2py-dimos 1.0.3)."""
    data = CODEC.encode_command(command)
    assert len(data) == 812 and data[-4:] == (0x3F800748).to_bytes(4, "little")
    assert hashlib.sha256(data).hexdigest()[:16] == "4967d8485ea9d54d"
    data = CODEC.encode_state(state)
    assert len(data) == 1180 and data[-4:] == (0x68747C7C).to_bytes(4, "little")
    assert hashlib.sha256(data).hexdigest()[:16] == "60402d6ce98d3501"


def test_bytes_of_an_independent_implementation(command, state) -> None:
    """Unitree's own message classes and checksum, where they are installed."""
    messages = pytest.importorskip("unitree_sdk2py.idl.unitree_go.msg.dds_")
    CRC = pytest.importorskip("unitree_sdk2py.utils.crc").CRC

    told = messages.LowCmd_.deserialize(CODEC.encode_command(command))
    assert CRC().Crc(told) == told.crc and bytes(told.serialize()) == CODEC.encode_command(command)
    # By the SDK's numbers: right hip roll 0, left ankle 10 (weak), left elbow 19; 9 is none.
    names = H1.joint_names
    for slot, name, mode in (
        (0, "right_hip_roll", 10),
        (10, "left_ankle", 1),
        (19, "left_elbow", 1),
    ):
        motor = told.motor_cmd[slot]
        assert motor.mode == mode and motor.kp == 100 + names.index(name)
    assert told.motor_cmd[9].mode == 0 and told.level_flag == 0xFF
    theirs = messages.LowState_.deserialize(CODEC.encode_state(state))
    assert theirs.tick == 123456 and CRC().Crc(theirs) == theirs.crc
    assert bytes(theirs.serialize()) == CODEC.encode_state(state)


def test_they_come_back(command, state) -> None:
    again = CODEC.decode_command(CODEC.encode_command(command))
    for name in ("joint_pos", "joint_vel", "torque", "kp", "kd"):
        assert np.allclose(getattr(again, name), getattr(command, name), atol=1e-6), name
    same = CODEC.decode_state(CODEC.encode_state(state), 7.5)
    assert same.time == 7.5 and same.tick == 123456 and pressed(same.remote) == {Remote.A}
    for name in ("joint_pos", "joint_vel", "joint_torque", "motor_temperature", "imu_quat_w",
                 "gyro", "accelerometer"):  # fmt: skip
        assert np.allclose(getattr(same, name), getattr(state, name), atol=1e-6), name


def test_the_imu_is_in_the_torso(state) -> None:
    """What is on the wire is the torso's: MuJoCo's own torso says which."""
    import mujoco

    model = H1.model
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    quat = quat_mul(np.array([1.0, 0, 0, 0]), quat_exp(rng.normal(size=3)))
    data.qpos[3:7], data.qpos[7:] = quat, 0.3 * rng.normal(size=model.nq - 7)
    data.qvel[:] = rng.normal(size=model.nv)
    mujoco.mj_forward(model, data)
    names = [model.joint(j).name for j in range(1, model.njnt)]
    order = [names.index(name) for name in H1.joint_names]
    told = replace(
        state, joint_pos=data.qpos[7:][order], joint_vel=data.qvel[6:][order], imu_quat_w=quat,
        gyro=data.qvel[3:6],
    )  # fmt: skip
    wire = CODEC.encode_state(told)
    message = go.STATE.from_wire(wire)[0][0]
    torso = model.body("torso_link").id
    seen = np.asarray(message["imu.0.quaternion"], np.float64)
    assert (
        min(np.abs(seen - data.xquat[torso]).max(), np.abs(seen + data.xquat[torso]).max()) < 1e-5
    )
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, torso, velocity, 0)
    spin = quat_inv_rotate(data.xquat[torso], velocity[:3])
    assert np.allclose(message["imu.0.gyroscope"], spin, atol=1e-5)
    back = CODEC.decode_state(wire, 0.0)
    assert np.allclose(back.gyro, told.gyro, atol=1e-5)
    assert np.allclose(np.abs(back.imu_quat_w), np.abs(quat), atol=1e-5)


@pytest.mark.parametrize("what", ["command", "state"])
def test_flipped_bits_are_seen(what: str, request) -> None:
    message = request.getfixturevalue(what)
    encode, decode = getattr(CODEC, f"encode_{what}"), getattr(CODEC, f"decode_{what}")
    data, random, padding = encode(message), np.random.default_rng(1), 0
    extra = (0.0,) if what == "state" else ()
    for bit in random.choice(8 * len(data), 300, replace=False).tolist():
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        try:
            again = decode(bytes(wrong), *extra)
        except WrongMessage:
            continue
        # Only bytes that mean nothing: 3 of a command's 36 a motor, 6 of a state's 48.
        padding += 1
        for name in ("joint_pos", "joint_vel"):
            assert np.allclose(getattr(again, name), getattr(message, name), atol=1e-6)
    assert padding <= 300 * 0.16
    for wrong in (data[:-1], b"\1" + data[1:], bytes(len(data))):
        with pytest.raises(WrongMessage):
            decode(wrong, *extra)


def test_which_robot_speaks_which(command) -> None:
    assert codec_of(identity_of(H1)).family == "go"
    assert codec_of(identity_of(robots.load("booster_t1"))).family == "hg"
    with pytest.raises(RobotError, match="no number of unitree_go for its motors"):
        go.GoCodec(identity_of(robots.load("unitree_g1")))
    with pytest.raises(WrongMessage, match="812 bytes, expected 1004"):
        HgCodec(joints=19).decode_command(CODEC.encode_command(command))


# a simulated H1 behind it ---------------------------------------------------------------------


def test_a_simulated_h1_rejects_flips_and_goes_limp_without_commands(tmp_path: Path) -> None:
    """The faults of the hg wire on this one: 300 messages, each with a random bit flipped, and the
    loss of all. The robot itself counts."""
    with short_folder() as folder:
        bus = Bus(folder)
        process = RobotProcess(
            RobotProcessConfig(
                bus=str(folder), robot="unitree_h1", settings=SimulationSettings(tick=0.02)
            )
        )
        robot = process.robot
        link = WireRobot(bus, robot.identity, lambda: robot.time)
        state = robot.read()
        assert state is not None
        good = RobotCommand(
            joint_pos=state.joint_pos, joint_vel=np.zeros(19), torque=np.zeros(19), kp=H1.kp,
            kd=H1.kd, mode_machine=5,
        )  # fmt: skip
        for number in range(5):
            link.write(good, number)
            process._step()
        read, own = link.read(), robot.read()
        assert read is not None and own is not None
        assert np.allclose(read.joint_pos, own.joint_pos, atol=1e-5)
        assert process.wrong == 0 and robot.inspector.seen == 5 and not robot.limp
        random, sender = np.random.default_rng(0), bus.publisher(COMMANDS)
        data = CODEC.encode_command(good)
        for sent in range(300):
            wrong = bytearray(data)
            bit = int(random.integers(8 * len(data)))
            wrong[bit // 8] ^= 1 << bit % 8
            sender.send(bytes(wrong))
            if sent % 5 == 4:
                process._step()
        assert process.wrong >= 250 and robot.inspector.unsafe == 0
        assert process.wrong + robot.inspector.seen == 305
        for _ in range(7):
            process._step()
        assert robot.limp
        # States with a flipped bit are rejected at this end.
        process._flip = True
        link.read()
        for _ in range(4):
            process._step()
        link.read()
        assert link.rejected_in_row == 4
        link.close()
        sender.close()
        for each in (process._states, process._odometry, process._commands, process._control):
            each.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A policy of an H1 that does nothing but hold its default."""
    folder = tmp_path_factory.mktemp("h1")
    policy = small(folder / "h1.onnx", 3 + 3 + 19 + 19, 19)
    names = ", ".join(f'"{name}"' for name in H1.joint_names)
    (folder / "h1.toml").write_text(
        f'robot = "unitree_h1"\naction_scale = 0.001\njoint_names = [{names}]\n'
        'observations = [{name = "base_ang_vel"}, {name = "projected_gravity"}, '
        '{name = "joint_pos"}, {name = "joint_vel", scale = 0.05}]\n'
    )
    return policy, folder / "h1.toml"


def test_an_h1_is_deployed_over_its_own_messages(standing, tmp_path: Path, capsys) -> None:
    policy, described = standing
    settings = SimulationSettings(tick=0.02, physics_hz=500.0)
    with short_folder() as folder:
        config = RobotProcessConfig(
            bus=str(folder), robot="unitree_h1", lock_step=True, settings=settings,
            results=str(folder / "results.npz"),
        )  # fmt: skip
        with simulated_robot(config) as handle:
            words = ["deploy", str(policy), "--describe", str(described), "--command-hz", "50"]
            words += ["--robot", "unitree_h1", "--interface", str(folder), "--out", str(tmp_path)]
            words += ["--real", "--confirm", "unitree_h1", "--lock-step", "--seconds", "1"]
            assert run(words) == 0
            counted = handle.end()
    assert counted["commands"] > 50 and counted["unsafe"] == 0 and counted["wrong"] == 0
    assert "  stand" in capsys.readouterr().out
    (session,) = tmp_path.iterdir()
    assert run(["deploy", "replay", str(session)]) == 0


@pytest.mark.parametrize("name", [each.name for each in robots.available()])
def test_every_robot_of_the_catalogue_is_simulated_behind_a_wire(name: str) -> None:
    robot = robots.load(name)
    simulated = SimulatedRobot(robot, SimulationSettings(tick=0.02))
    codec = codec_of(simulated.identity)
    state = simulated.read()
    assert state is not None
    same = codec.decode_state(codec.encode_state(state), state.time)
    assert np.allclose(same.joint_pos, state.joint_pos, atol=1e-6)
    assert np.allclose(same.gyro, state.gyro, atol=1e-6) and same.mode_machine == 5


def test_a_policy_for_an_h1_is_none_for_a_g1(standing) -> None:
    policy, described = standing
    with pytest.raises(MimicError, match="it is for 'unitree_h1'"):
        run(
            ["deploy", str(policy), "--describe", str(described), "--robot", "simulated:unitree_g1"]
        )
