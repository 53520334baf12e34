"""A Booster T1 through its vendor's SDK, of which a fake with the same names stands in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import robots
from mimic.cli import run
from mimic.deploy.guard import Guard, Request
from mimic.deploy.limiter import LimitSettings, limits_of
from mimic.deploy.messages import RobotCommand, array
from mimic.deploy.modes import Mode
from mimic.deploy.pace import Pace
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings, identity_of
from mimic.deploy.start import watch
from mimic.deploy.target import as_reached, target_of
from mimic.deploy.trips import Thresholds
from mimic.deploy.wire import booster
from mimic.deploy.wire.booster import BoosterRobot, quat_of_rpy
from mimic_base.errors import RobotError
from tests.deploy.test_foreign import small

T1 = robots.load("booster_t1")
IDENTITY = identity_of(T1, mode_machine=0)
WHERE = "booster:lo:0"
K = np.arange(23.0)

# Names, signatures and numbers as in booster_robotics_sdk_python 1.6.3. Where SDK_LOG names a file,
# a thread tells states of joints that go where they are told, and commands are written there.
FAKE = """
import enum, json, os, threading, time

JointIndex = enum.IntEnum("JointIndex", [
    "kHeadYaw", "kHeadPitch", "kLeftShoulderPitch", "kLeftShoulderRoll", "kLeftElbowPitch",
    "kLeftElbowYaw", "kRightShoulderPitch", "kRightShoulderRoll", "kRightElbowPitch",
    "kRightElbowYaw", "kWaist", "kLeftHipPitch", "kLeftHipRoll", "kLeftHipYaw", "kLeftKneePitch",
    "kCrankUpLeft", "kCrankDownLeft", "kRightHipPitch", "kRightHipRoll", "kRightHipYaw",
    "kRightKneePitch", "kCrankUpRight", "kCrankDownRight"], start=0)
LowCmdType = enum.IntEnum("LowCmdType", ["PARALLEL", "SERIAL"], start=0)

class Fields:
    def __init__(self):
        for name in self.__slots__:
            setattr(self, name, 0)

class MotorCmd(Fields):
    __slots__ = ("mode", "q", "dq", "tau", "kp", "kd", "weight")

class MotorState(Fields):
    __slots__ = ("mode", "q", "dq", "ddq", "tau_est", "temperature", "lost", "reserve")

class ImuState:
    __slots__ = ("rpy", "gyro", "acc")
    def __init__(self):
        self.rpy, self.gyro, self.acc = [0.0] * 3, [0.0] * 3, [0.0, 0.0, 9.81]

class LowState:
    __slots__ = ("imu_state", "motor_state_serial", "motor_state_parallel")
    def __init__(self):
        self.imu_state, self.motor_state_serial, self.motor_state_parallel = ImuState(), [], []

class LowCmd:
    __slots__ = ("cmd_type", "motor_cmd")
    def __init__(self):
        self.cmd_type, self.motor_cmd = LowCmdType.PARALLEL, []

class ChannelFactory:
    joined = []
    @staticmethod
    def Instance():
        return ChannelFactory()
    def Init(self, domain_id, network_interface=""):
        self.joined.append((domain_id, network_interface))

sent, listening, publishers = [], [], []
LOG = os.environ.get("SDK_LOG", "")
pose = json.loads(os.environ.get("SDK_POSE", "[]"))

class B1LowCmdPublisher:
    def InitChannel(self):
        publishers.append(self)
    def CloseChannel(self):
        publishers.remove(self)
    def Write(self, msg):
        if LOG:
            rows = [[getattr(m, name) for name in MotorCmd.__slots__] for m in msg.motor_cmd]
            with open(LOG, "a") as file:
                file.write(json.dumps([int(msg.cmd_type), rows]) + "\\n")
            if any(m.kp for m in msg.motor_cmd):
                pose[:] = [m.q for m in msg.motor_cmd]
        sent.append(msg)
        return True

class B1LowStateSubscriber:
    def __init__(self, handler):
        self.handler = handler
    def InitChannel(self):
        listening.append(self)
        if LOG:
            threading.Thread(target=self.tell, daemon=True).start()
    def CloseChannel(self):
        listening.remove(self)
    def tell(self):
        while self in listening:
            state = LowState()
            state.motor_state_serial = [MotorState() for _ in pose]
            for motor, q in zip(state.motor_state_serial, pose):
                motor.q, motor.temperature = q, 35
            self.handler(state)
            time.sleep(0.005)
"""


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = ModuleType(booster.PACKAGE)
    exec(FAKE, module.__dict__)
    module.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, booster.PACKAGE, module)
    booster._joined.cache_clear()
    yield module
    booster._joined.cache_clear()


def told(sdk: Any, motors: int = 23, **imu: Any) -> Any:
    """A state whose motors tell their own numbers."""
    state = sdk.LowState()
    for number in range(motors):
        motor = sdk.MotorState()
        motor.q, motor.dq, motor.tau_est = number, 100 + number, 200 + number
        motor.temperature = 30 + number
        state.motor_state_serial.append(motor)
    for name, values in imu.items():
        setattr(state.imu_state, name, values)
    return state


@pytest.mark.parametrize("mixed", [False, True])
def test_each_motor_is_its_joint_both_ways(sdk, mixed: bool) -> None:
    order = np.random.default_rng(0).permutation(23) if mixed else np.arange(23)
    identity = replace(
        IDENTITY, joint_names=tuple(IDENTITY.joint_names[each] for each in order.tolist())
    )
    now = iter((1.5, 2.25))
    robot = BoosterRobot(WHERE, identity, lambda: next(now))
    assert sdk.ChannelFactory.joined[-1] == (0, "lo") and robot.read() is None
    sdk.listening[0].handler(told(sdk, gyro=[1, 2, 3], acc=[4, 5, 6]))
    state = robot.read()
    assert state is not None and robot.wait(0.0) and not robot.wait(0.0)
    # The description's joints are in the order of the SDK's numbers, so a motor's is its place.
    for values, first in (
        (state.joint_pos, 0), (state.joint_vel, 100), (state.joint_torque, 200),
        (state.motor_temperature, 30),
    ):  # fmt: skip
        assert np.array_equal(values, first + order)
    assert state.gyro.tolist() == [1, 2, 3] and state.accelerometer.tolist() == [4, 5, 6]
    assert state.time == 1.5 and state.tick == 1500 and state.mode_machine == 0
    robot.write(
        RobotCommand(
            joint_pos=order, joint_vel=100 + order, torque=200 + order, kp=300 + order,
            kd=400 + order,
        )
    )  # fmt: skip
    (command,) = sdk.sent
    assert command.cmd_type == sdk.LowCmdType.SERIAL
    for first, name in ((0, "q"), (100, "dq"), (200, "tau"), (300, "kp"), (400, "kd")):
        assert [getattr(motor, name) for motor in command.motor_cmd] == (first + K).tolist()
    assert {motor.weight for motor in command.motor_cmd} == {1.0}
    # Afterwards nothing is heard or sent any more.
    handler = sdk.listening[0].handler
    robot.close()
    robot.close()
    handler(told(sdk))
    assert not sdk.listening and not sdk.publishers
    assert robot.read() is state and len(sdk.sent) == 1


def test_the_sdks_names_of_our_joints() -> None:
    assert booster.MOTORS["Left_Ankle_Pitch"] == "kCrankUpLeft"
    assert booster.MOTORS["Right_Ankle_Roll"] == "kCrankDownRight"
    assert booster.MOTORS["Right_Elbow_Yaw"] == "kRightElbowYaw"
    with pytest.raises(RobotError, match="its 19 joints are not the 23 of a Booster T1"):
        booster.slots_of(None, identity_of(robots.load("unitree_h1")))
    with pytest.raises(RobotError, match="numbers a T1's motors otherwise"):
        booster.slots_of(SimpleNamespace(JointIndex=SimpleNamespace(kWaist=3)), IDENTITY)


def test_roll_pitch_yaw_is_scipys_extrinsic_xyz() -> None:
    for rpy in np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3)) * [2, 1, 2]:
        expected = np.roll(Rotation.from_euler("xyz", rpy).as_quat(), 1)
        found = quat_of_rpy(rpy)
        assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 1e-12


def test_the_sdks_own_classes_take_our_commands() -> None:
    """Where the SDK is installed; it joins no network here."""
    sdk = pytest.importorskip(booster.PACKAGE)
    robot = BoosterRobot.__new__(BoosterRobot)
    robot._sdk, robot._slots = sdk, booster.slots_of(sdk, IDENTITY)
    robot._open, robot._clock, robot.rejected_in_row = True, lambda: 1.0, 0
    robot._came = SimpleNamespace(set=lambda: None)  # type: ignore[assignment]
    command = robot._encoded(
        RobotCommand(joint_pos=K, joint_vel=-K, torque=K, kp=100 + K, kd=1 + K)
    )
    assert [motor.q for motor in command.motor_cmd] == K.tolist()
    assert command.cmd_type == sdk.LowCmdType.SERIAL
    # A motor's state cannot be set from Python in 1.6.3: it is all zeros.
    state = sdk.LowState()
    state.motor_state_serial = [sdk.MotorState() for _ in range(23)]
    robot._hear(state)
    assert robot._newest is not None and not np.any(robot._newest.joint_pos)
    assert robot._newest.imu_quat_w.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def asked(interface: str) -> Any:
        return target_of("booster_t1", interface, domain=None, real=False, confirm=None)

    monkeypatch.setattr(booster, "find_spec", lambda name: None)
    with pytest.raises(RobotError, match=r"install it with pip install -e '\.\[booster\]'"):
        asked("lo")
    monkeypatch.setattr(booster, "find_spec", lambda name: name)
    with pytest.raises(RobotError, match="not reached in a folder"):
        asked(str(tmp_path))
    target = asked("lo")
    assert target.network == WHERE and not target.send and not target.loopback
    assert as_reached(IDENTITY, target.network) == 0
    # Under another file's name it would be looked for over Unitree's messages.
    with pytest.raises(RobotError, match="give --robot booster_t1 --interface NAME"):
        as_reached(IDENTITY, "dds:lo:0")


def test_other_states_are_rejected_and_nothing_is_sent_by_who_listens(
    sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = BoosterRobot(WHERE, IDENTITY, lambda: 0.0, send=False)
    assert not sdk.publishers
    sdk.listening[0].handler(told(sdk, motors=29))
    assert robot.read() is None and robot.rejected_in_row == robot.rejected == 1
    with pytest.raises(RobotError, match="only listened to"):
        robot.write(RobotCommand(joint_pos=K, joint_vel=K, torque=K, kp=K, kd=K))
    monkeypatch.setattr("mimic.deploy.start.PATIENCE", 0.05)
    with pytest.raises(RobotError, match="1 messages came on 'rt/low_state', each with another"):
        watch(robot, Pace(1.0))
    robot.close()


def test_a_simulated_t1_behind_the_sdk_gets_no_unsafe_command(sdk) -> None:
    """Three seconds in one time, the guard between; then it is stopped and damps."""
    tick = 0.004
    simulated = SimulatedRobot(T1, SimulationSettings(tick=tick, physics_hz=500.0), mode_machine=0)
    robot = BoosterRobot(WHERE, IDENTITY, lambda: simulated.time)
    limits = limits_of(IDENTITY, T1.kp, T1.kd, tick, LimitSettings())
    guard = Guard(IDENTITY, limits, Thresholds())
    start = T1.default_joint_pos
    worst = 0.0
    for number in range(round(3.5 / tick)):
        own = simulated.read()
        assert own is not None
        state = sdk.LowState()
        for name, q, dq, tau in zip(
            T1.joint_names, own.joint_pos, own.joint_vel, own.joint_torque, strict=True
        ):
            motor = sdk.MotorState()
            motor.q, motor.dq, motor.tau_est, motor.temperature = q, dq, tau, 30
            assert sdk.JointIndex[booster.MOTORS[name]] == len(state.motor_state_serial)
            state.motor_state_serial.append(motor)
        turned = Rotation.from_quat(np.roll(own.imu_quat_w, -1))
        state.imu_state.rpy = turned.as_euler("xyz").tolist()
        state.imu_state.gyro = own.gyro.tolist()
        state.imu_state.acc = own.accelerometer.tolist()
        sdk.listening[0].handler(state)
        read, now = robot.read(), simulated.time
        assert read is not None
        wanted = start + 0.15 * np.sin(2.0 * now)
        if number < round(3.0 / tick):
            worst = max(worst, float(np.abs(array(read.joint_pos) - wanted).max()))
        else:
            guard.stop(now, "asked", "enough")
        asked = Request(
            number=number, mode=Mode.STAND, joint_pos=wanted, kp=T1.kp, kd=T1.kd,
            up_b=np.array([0.0, 0.0, 1.0]), reference=wanted,
        )  # fmt: skip
        verdict = guard.tick(now, read, asked, robot.rejected_in_row)
        assert verdict.command is not None and verdict.trip in ("", "asked"), verdict.told
        robot.write(verdict.command)
        message = sdk.sent.pop()

        def column(name: str, motors: Any = message.motor_cmd) -> list[float]:
            return [getattr(motor, name) for motor in motors]

        simulated.write(
            RobotCommand(
                joint_pos=column("q"), joint_vel=column("dq"), torque=column("tau"),
                kp=column("kp"), kd=column("kd"),
            )
        )  # fmt: skip
        simulated.step()
    assert simulated.inspector.seen > 800 and simulated.inspector.unsafe == 0
    assert simulated.refused == 0 and not simulated.limp and worst < 0.3
    assert guard.trip == "asked"
    assert all(motor.kp == 0 and motor.tau == 0 and motor.kd > 0 for motor in message.motor_cmd)


@pytest.mark.parametrize("real", [False, True])
def test_a_t1_is_deployed(real: bool, tmp_path: Path, monkeypatch, capsys) -> None:
    """The whole program, guard process and all, with the fake on its path."""
    (tmp_path / f"{booster.PACKAGE}.py").write_text(FAKE)
    log = tmp_path / "sent.jsonl"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SDK_LOG", str(log))
    monkeypatch.setenv("SDK_POSE", json.dumps(T1.default_joint_pos.tolist()))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, booster.PACKAGE, raising=False)
    booster._joined.cache_clear()
    policy = small(tmp_path / "t1.onnx", 3 + 3 + 23 + 23, 23)
    names = ", ".join(f'"{name}"' for name in T1.joint_names)
    (tmp_path / "t1.toml").write_text(
        f'robot = "booster_t1"\naction_scale = 0.001\njoint_names = [{names}]\n'
        'observations = [{name = "base_ang_vel"}, {name = "projected_gravity"}, '
        '{name = "joint_pos"}, {name = "joint_vel", scale = 0.05}]\n'
    )
    words = ["deploy", str(tmp_path / "t1.onnx"), "--describe", str(tmp_path / "t1.toml")]
    words += ["--robot", "booster_t1", "--interface", "lo", "--command-hz", "50"]
    words += ["--seconds", "1", "--out", str(tmp_path / "out")]
    assert policy.is_file()
    try:
        # On a computer that is busy it may damp for late control steps, which is exit code 1.
        assert run([*words, *(["--real", "--confirm", "booster_t1"] if real else [])]) in (0, 1)
    finally:
        sys.modules.pop(booster.PACKAGE, None)
        booster._joined.cache_clear()
    out, err = capsys.readouterr()
    assert "does not tell who else commands the robot" in err
    assert ("dry run: nothing is sent" in out) != real
    assert log.exists() == real
    if not real:
        return
    sent = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(sent) > 20 and all(kind == 1 and len(rows) == 23 for kind, rows in sent)
    q = np.array([[row[1] for row in rows] for _, rows in sent])
    assert np.all(q >= T1.soft_lower - 1e-9) and np.all(q <= T1.soft_upper + 1e-9)
    last = np.array(sent[-1][1])
    assert not last[:, 3:5].any() and (last[:, 5] > 0).all()
