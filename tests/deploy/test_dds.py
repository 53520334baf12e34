"""Over DDS: the same bytes, an independent implementation at the other end, and no harm to robots.

What needs cyclonedds or Unitree's own message classes is left out where they are not installed
(``pip install -e '.[unitree]'``); docs/measured/deploy.md says what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.cli import run
from mimic.deploy.messages import RobotCommand, RobotState
from mimic.deploy.pace import Pace
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import short_folder, simulated_robot
from mimic.deploy.setup import SHIPPED_POLICY
from mimic.deploy.simulated import identity_of
from mimic.deploy.start import check_alone
from mimic.deploy.target import target_of
from mimic.deploy.wire import dds
from mimic.deploy.wire.dds import DdsBus, configuration, name_of
from mimic.deploy.wire.go import GoCodec
from mimic.deploy.wire.hg import HEADER
from mimic.deploy.wire.link import WireRobot
from mimic.deploy.wire.network import open_network
from mimic_base.errors import RobotError

REPO = Path(__file__).resolve().parents[2]
DOMAIN = 77
"""Away from robots and simulated ones."""


def target(robot: str, interface: str | None, domain: int | None = None, real: bool = False):
    return target_of(robot, interface, domain=domain, real=real, confirm=None)


@pytest.fixture
def networks(monkeypatch) -> None:
    """A computer with a loopback and a wire, and the cyclonedds that PyPI has."""
    names = [(1, "lo"), (2, "eth0")]
    monkeypatch.setattr(dds.socket, "if_nameindex", lambda: names)
    monkeypatch.setattr(dds, "is_loopback", lambda name: name == "lo")
    monkeypatch.setattr("mimic.deploy.target.is_loopback", lambda name: name == "lo")
    monkeypatch.setattr(dds, "installed", lambda: "11.0.1")


@pytest.mark.usefixtures("networks")
def test_a_newer_dds_is_kept_away_from_a_robot_s_network(monkeypatch) -> None:
    for real in (False, True):
        with pytest.raises(RobotError, match="cyclonedds 11.0.1 next to a robot's 0.10 was seen"):
            target("unitree_g1", "eth0", real=real)
    assert target("unitree_g1", "lo").network == "dds:lo:0"
    monkeypatch.setattr(dds, "installed", lambda: "0.10.5")
    reached = target("unitree_g1", "eth0", real=True)
    assert reached.network == "dds:eth0:0" and reached.send and not reached.loopback
    assert not target("unitree_g1", "eth0").send
    assert target("unitree_g1", "eth0", 3).network == "dds:eth0:3"


@pytest.mark.usefixtures("networks")
def test_simulated_robots_stay_on_this_computer_in_their_own_domain(monkeypatch) -> None:
    monkeypatch.setattr(dds, "installed", lambda: "0.10.5")
    simulated = target("simulated", "lo")
    assert simulated.network == "dds:lo:1" and simulated.loopback and simulated.send
    with pytest.raises(RobotError, match="a simulated robot stays on this computer"):
        target("simulated", "eth0")


@pytest.mark.usefixtures("networks")
def test_networks_that_are_not_there_are_refused(monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(RobotError, match="wlan7: this computer has lo, eth0; name the one"):
        target("unitree_g1", "wlan7")
    with pytest.raises(RobotError, match="--domain 500: goes with --interface NAME"):
        target("unitree_g1", "lo", 500)
    with pytest.raises(RobotError, match="--domain 1: goes with --interface NAME"):
        target("simulated", None, 1)
    with pytest.raises(RobotError, match="--domain 1: goes with --interface NAME"):
        target("unitree_g1", f"{tmp_path}/", 1)
    monkeypatch.setattr(dds, "installed", lambda: None)
    with pytest.raises(RobotError, match="needs the package cyclonedds; install it with pip"):
        target("unitree_g1", "lo")


def test_a_loopback_is_told_from_a_wire() -> None:
    assert dds.is_loopback("lo") and not dds.is_loopback("eth_nowhere")
    assert '<Peer Address="127.0.0.1"/>' in configuration("lo")
    assert "AllowMulticast" not in configuration("eth_nowhere")


# with cyclonedds ---------------------------------------------------------------------------


@pytest.fixture
def bus() -> DdsBus:
    pytest.importorskip("cyclonedds")
    made = open_network(name_of("lo", DOMAIN))
    assert isinstance(made, DdsBus)
    return made


def test_bytes_and_numbers_cross_as_they_are(bus: DdsBus) -> None:
    commands, odometry = bus.subscribe("rt_lowcmd"), bus.subscribe("rt_odommodestate")
    publisher, told = bus.publisher("rt_lowcmd"), bus.publisher("rt_odommodestate")
    sent = [HEADER + bytes([each]) * 1000 for each in range(5)]
    for number, data in enumerate(sent, 100):
        publisher.send(data, number)
    told.send(bytes(range(48)))
    assert commands.wait(5.0) and odometry.wait(5.0)
    got = commands.drain()
    assert [message.data for message in got] == sent
    assert [message.number - got[0].number for message in got] == [0, 1, 2, 3, 4]
    assert [message.data for message in odometry.drain()] == [bytes(range(48))]
    # A publisher that leaves is no message.
    publisher.close()
    time.sleep(0.2)
    assert commands.drain() == [] and not commands.wait(0.01)
    for each in (commands, odometry, told):
        each.close()


def test_another_publisher_is_seen_though_it_is_silent(bus: DdsBus) -> None:
    check_alone(bus)
    publisher = bus.publisher("rt_lowcmd")
    with pytest.raises(RobotError, match=r"1 other program\(s\) already"):
        check_alone(bus)
    publisher.close()
    check_alone(bus)


def test_policy_guard_and_robot_cross_over_dds(tmp_path: Path, capfd) -> None:
    pytest.importorskip("cyclonedds")
    words = ["deploy", str(SHIPPED_POLICY), "--lock-step", "--command-hz", "50", "--seconds", "2"]
    there = ["--interface", "lo", "--domain", str(DOMAIN), "--out", str(tmp_path)]
    assert run([*words, *there]) == 0
    said = capfd.readouterr()
    assert "0 of them outside the limits, 0 with a wrong checksum" in said.out and not said.err
    (session,) = tmp_path.iterdir()
    assert run(["deploy", "replay", str(session)]) == 0


THEIRS = """
import json, sys, time
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from unitree_sdk2py.idl.default import unitree_hg_msg_dds__LowCmd_, unitree_hg_msg_dds__LowState_
from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowCmd_, LowState_
from unitree_sdk2py.utils.crc import CRC

role, domain, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
crc, participant = CRC(), DomainParticipant(domain)
states = Topic(participant, "rt/lowstate", LowState_)
commands = Topic(participant, "rt/lowcmd", LowCmd_)
end, got, bad, sent, last = time.monotonic() + seconds, 0, 0, 0, None
if role == "controller":
    reader, writer = DataReader(participant, states), DataWriter(participant, commands)
    told = unitree_hg_msg_dds__LowCmd_()
else:
    reader, writer = DataReader(participant, commands), DataWriter(participant, states)
    told = unitree_hg_msg_dds__LowState_()
while time.monotonic() < end:
    for sample in reader.take(N=16):
        if not isinstance(sample, (LowState_, LowCmd_)):
            continue
        got, last = got + 1, sample
        bad += crc.Crc(sample) != sample.crc
    if role == "controller" and last is not None:
        told.mode_pr, told.mode_machine = 0, last.mode_machine
        for motor, state in zip(told.motor_cmd[:29], last.motor_state):
            motor.mode, motor.q, motor.kp, motor.kd = 1, state.q, 0.0, 2.0
    elif role == "robot":
        told.tick, told.mode_machine = told.tick + 5, 5
        told.imu_state.quaternion = [1.0, 0.0, 0.0, 0.0]
        for slot in range(29):
            told.motor_state[slot].q = 0.01 * slot
    if role == "robot" or last is not None:
        told.crc = crc.Crc(told)
        writer.write(told)
        sent += 1
    time.sleep(0.005)
final = []
if role == "robot" and last is not None:
    final = [last.motor_cmd[28].q, last.motor_cmd[28].kp, last.mode_machine]
print(json.dumps({"got": got, "bad": bad, "sent": sent, "final": final}))
"""


@contextmanager
def theirs(role: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Unitree's own message classes and checksum in a process of their own."""
    pytest.importorskip("cyclonedds")
    pytest.importorskip("unitree_sdk2py.idl.unitree_hg.msg.dds_")
    process = subprocess.Popen(
        [sys.executable, "-c", THEIRS, role, str(DOMAIN), str(seconds)],
        env={**os.environ, "CYCLONEDDS_URI": configuration("lo")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_their_controller_commands_our_robot() -> None:
    pytest.importorskip("cyclonedds")
    with short_folder() as folder:
        config = RobotProcessConfig(
            bus=str(folder),
            network=name_of("lo", DOMAIN),
            pace=0.2,
            results=str(folder / "results.npz"),
        )
        with simulated_robot(config) as simulated, theirs("controller", 8.0) as process:
            said = json.loads(process.communicate(timeout=120)[0])
            counted = simulated.end()
    told = {name: counted[name] for name in ("commands", "wrong", "refused", "unsafe")}
    print("their controller, our robot:", said, told)
    assert said["got"] > 50 and said["bad"] == 0 and said["sent"] > 50
    assert counted["commands"] > 50 and counted["wrong"] == counted["refused"] == 0
    assert counted["senders"] == 1 and counted["unsafe"] == 0


def test_our_commands_and_their_robot(bus: DdsBus) -> None:
    identity, command = identity_of(robots.load("unitree_g1")), np.full(29, 0.25)
    ours = WireRobot(bus, identity, Pace().now)
    states: list[RobotState] = []
    zero = np.zeros(29)
    with theirs("robot", 6.0) as process:
        while process.poll() is None:
            state = ours.read()
            if state is not None and (not states or states[-1].tick != state.tick):
                states.append(state)
                ours.write(
                    RobotCommand(
                        joint_pos=command, joint_vel=zero, torque=zero, kp=zero + 40.0,
                        kd=zero + 1.0, mode_machine=state.mode_machine,
                    )
                )  # fmt: skip
            time.sleep(0.002)
        said = json.loads(process.communicate(timeout=60)[0])
    ours.close()
    print("our controller, their robot:", said, f"{len(states)} states, {ours.rejected} rejected")
    assert len(states) > 50 and ours.rejected == 0 and states[-1].mode_machine == 5
    assert np.allclose(states[-1].joint_pos, 0.01 * np.arange(29))
    assert said["got"] > 50 and said["bad"] == 0 and said["final"] == [0.25, 40.0, 5]


def test_an_h1_s_messages_cross_and_are_read_by_their_own_classes() -> None:
    """`unitree_go` over DDS: our bytes at our end, and Unitree's types at another participant."""
    messages = pytest.importorskip("unitree_sdk2py.idl.unitree_go.msg.dds_")
    participants = pytest.importorskip("cyclonedds.domain")
    subscribers = pytest.importorskip("cyclonedds.sub")
    topics = pytest.importorskip("cyclonedds.topic")

    codec = GoCodec(identity_of(robots.load("unitree_h1")))
    bus = open_network(name_of("lo", DOMAIN + 1), family="go")
    commands, publisher = bus.subscribe("rt_lowcmd"), bus.publisher("rt_lowcmd")
    participant = participants.DomainParticipant(DOMAIN + 1)
    topic = topics.Topic(participant, "rt/lowcmd", messages.LowCmd_)
    reader = subscribers.DataReader(participant, topic)
    ones = np.ones(19)
    data = codec.encode_command(
        RobotCommand(joint_pos=0.1 * ones, joint_vel=ones, torque=ones, kp=70 * ones, kd=2 * ones)
    )
    found, end = [], time.monotonic() + 20.0
    while not found and time.monotonic() < end:
        publisher.send(data)
        time.sleep(0.05)
        found = reader.take(N=4)
    assert found and found[0].motor_cmd[0].kp == 70.0 and found[0].motor_cmd[9].mode == 0
    assert bytes(found[0].serialize()) == data
    got = commands.drain()
    assert got and all(message.data == data for message in got)
    commands.close()
    publisher.close()
