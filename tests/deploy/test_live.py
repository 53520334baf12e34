"""A live reference: what comes over the socket, what is followed, and what becomes of its loss."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robots
from mimic.deploy.kinematics import Chain
from mimic.deploy.live import LivePlaylist, LivePose, LiveStream
from mimic.deploy.lockstep import LockStep
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import PilotSettings
from mimic.deploy.rest import Rest
from mimic.deploy.setup import (
    SHIPPED_CLIP,
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError, RobotError
from motions import RobotMotion
from tests.retarget.stream_helpers import lines_of

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


def header(made: robots.Robot, **changes: object) -> bytes:
    told = {"robot": made.name, "fps": 50.0, "joint_names": list(made.joint_names), **changes}
    return json.dumps(told).encode() + b"\n"


def line(robot: robots.Robot, **changes: object) -> bytes:
    told = {
        "frame": 0, "status": "ok", "root_pos": [0.0, 0.0, 0.8], "root_quat": [1.0, 0.0, 0.0, 0.0],
        "joint_pos": [0.1] * robot.num_joints, "time": 7.0, **changes,
    }  # fmt: skip
    return json.dumps(told).encode() + b"\n"


def test_frames_come_over_the_socket_and_bad_lines_are_counted(robot, tmp_path: Path) -> None:
    path = tmp_path / "live"
    stream = LiveStream(path, robot, lambda: 9.0)
    with pytest.raises(RobotError, match="another program listens there already"):
        LiveStream(path, robot, lambda: 9.0)
    assert stream.newest() is None
    sender = socket.socket(socket.AF_UNIX)
    sender.connect(str(path))
    sender.sendall(header(robot) + line(robot)[:30])
    assert stream.newest() is None
    sender.sendall(line(robot)[30:] + line(robot, joint_pos=[0.2] * robot.num_joints))
    found = stream.newest()
    assert found is not None and found.time == 7.0 and found.joint_pos[3] == 0.2
    bad = [
        b"nonsense\n", b"[1]\n", line(robot, joint_pos=[0.1]), line(robot, root_quat=[2, 0, 0, 0]),
        line(robot, root_pos=[None, 0, 0]), line(robot, root_pos="here"), line(robot, time="late"),
    ]  # fmt: skip
    sender.sendall(b"".join(bad) + line(robot, status="waiting"))
    assert stream.newest() is None and stream.bad == len(bad) and stream.frames == 2
    sender.close()
    assert stream.newest() is None
    again = socket.socket(socket.AF_UNIX)
    again.connect(str(path))
    again.sendall(header(robot, robot="unitree_h1"))
    with pytest.raises(MimicError, match="--robot unitree_g1"):
        stream.newest()
    again.close()
    stream.close()
    assert not path.exists()


def test_what_is_at_its_place_is_told_apart(robot, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RobotError, match="another program's file is there"):
        LiveStream(tmp_path / "notes", robot, lambda: 9.0)
    with pytest.raises(RobotError, match="a folder is there"):
        LiveStream(tmp_path, robot, lambda: 9.0)
    with pytest.raises(RobotError, match="no socket can be made there .No such file"):
        LiveStream(tmp_path / "none" / "live", robot, lambda: 9.0)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(str(tmp_path / "datagrams"))
    with pytest.raises(RobotError, match="another program's socket is there"):
        LiveStream(tmp_path / "datagrams", robot, lambda: 9.0)
    other.close()
    # Left behind by a deployment that was killed: nobody listens on it.
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "left"))
    left.close()
    stream = LiveStream(tmp_path / "left", robot, lambda: 9.0)
    sender = socket.socket(socket.AF_UNIX)
    sender.connect(str(tmp_path / "left"))
    sender.sendall(header(robot) + line(robot))
    assert stream.newest() is not None
    sender.close()
    stream.close()
    assert (tmp_path / "notes").read_text() == "mine"


def test_it_follows_what_comes_and_stands_when_the_stream_is_lost(robot) -> None:
    """The walk's poses, one in each control step, until half way: as a stream that breaks off."""
    player = PolicyPlayer(SHIPPED_POLICY)
    contract, motion = player.contract, RobotMotion.load(SHIPPED_CLIP).resample(50.0)
    motion = motion.with_joint_order(robot.joint_names)
    root = motion.body_names.index(robot.body_names[0])
    settings = DeploySettings(command_hz=50.0, pilot=PilotSettings(stand_s=0.6, ready_s=0.5))
    simulated = SimulatedRobot(robot, SimulationSettings(tick=0.02, physics_hz=200.0))
    clips = references_of(player, ())
    rest = Rest.of(contract, robot, clips)
    sent = [0]

    def source() -> LivePose | None:
        if not 0 <= sent[0] < 170:
            return None
        frame, sent[0] = sent[0], sent[0] + 1
        return LivePose(
            root_pos=motion.body_pos_w[frame, root] + [3.0, 1.0, 0.0],
            root_quat=motion.body_quat_w[frame, root],
            joint_pos=motion.joint_pos[frame],
            time=simulated.time - 0.01,
        )

    playlist = LivePlaylist(
        source, lambda: simulated.time, robot, contract, rest.pose,
        body=contract.body_names.index(contract.anchor_body), blend=20, settle=40,
        control_dt=contract.control_dt, rest=rest,
    )  # fmt: skip
    pilot = make_pilot(
        player, simulated.identity, clips,
        Chain.of(robot, contract.anchor_body, contract.joint_names), settings,
        rest=rest, playlist=playlist,
    )  # fmt: skip
    steps = LockStep(simulated, make_guard(player, simulated.identity, settings), pilot, 1)
    while pilot.mode != Mode.TRACK:
        steps.tick()
    begun = simulated.time
    while pilot.mode == Mode.TRACK:
        steps.tick()
    # 170 frames of 20 ms, and a while until it is lost.
    assert simulated.time - begun == pytest.approx(3.4 + 0.15, abs=0.1)
    walked = simulated.body.state.root_pos_w[:2].copy()
    assert walked[0] > 0.6 and abs(walked[1]) < 0.4
    for _ in range(250):
        steps.tick()
    assert pilot.mode == Mode.HOLD and steps.guard.trip == "" and simulated.inspector.unsafe == 0
    assert np.linalg.norm(simulated.body.data.qvel[:2]) < 0.2
    assert simulated.body.state.root_pos_w[2] > 0.7
    assert "170 frames" in playlist.latency_line() and " 10.0 ms p50" in playlist.latency_line()


def test_a_person_at_the_stream_is_followed_and_its_loss_blends_to_standing(
    robot, tmp_path: Path
) -> None:
    """A clip of a person through ``mimic stream - --live``, a process of its own, to the robot; a
    frame is read when its moment has come in the robot's time, so that it is the same everywhere.
    """
    from motions.human import demo

    human = demo.generate("walk")
    lines = lines_of(human)[: 1 + round(2.5 * human.fps)]
    player = PolicyPlayer(SHIPPED_POLICY)
    contract = player.contract
    settings = DeploySettings(command_hz=50.0, pilot=PilotSettings(stand_s=0.6, ready_s=0.5))
    simulated = SimulatedRobot(robot, SimulationSettings(tick=0.02, physics_hz=200.0))
    clips = references_of(player, ())
    rest = Rest.of(contract, robot, clips)
    live = LiveStream(tmp_path / "live", robot, time.monotonic)
    source = subprocess.Popen(
        [sys.executable, "-m", "mimic.cli", "stream", "-", "--live", str(tmp_path / "live")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPO,
    )
    assert source.stdin is not None and source.stderr is not None
    sent: list[int] = [0]
    begun: list[float] = []

    def newest() -> LivePose | None:
        """The frames whose moment has come, each waited for."""
        if not begun:
            begun.append(simulated.time)
        found, moment = None, simulated.time - begun[0]
        while source.stdin is not None and sent[0] < len(lines):
            if sent[0] and (sent[0] - 1) / human.fps > moment:
                break
            source.stdin.write(lines[sent[0]].encode() + b"\n")
            source.stdin.flush()
            sent[0] += 1
            end = time.monotonic() + 60.0
            while sent[0] > 1 and (pose := live.newest()) is None and time.monotonic() < end:
                time.sleep(0.001)
            if sent[0] > 1:
                assert pose is not None and live.bad == 0
                found = replace(pose, time=simulated.time)
        return found

    playlist = LivePlaylist(
        newest, lambda: simulated.time, robot, contract, rest.pose,
        body=contract.body_names.index(contract.anchor_body), blend=20, settle=40,
        control_dt=contract.control_dt, rest=rest,
    )  # fmt: skip
    pilot = make_pilot(
        player, simulated.identity, clips,
        Chain.of(robot, contract.anchor_body, contract.joint_names), settings,
        rest=rest, playlist=playlist,
    )  # fmt: skip
    steps = LockStep(simulated, make_guard(player, simulated.identity, settings), pilot, 1)
    try:
        while pilot.mode != Mode.TRACK:
            steps.tick()
        errors = []
        while pilot.mode == Mode.TRACK:
            steps.tick()
            if playlist.following:
                order = [robot.joint_names.index(name) for name in contract.joint_names]
                joints = simulated.body.state.joint_pos[order]
                errors.append(np.abs(joints - playlist.reference.joint_pos[0]).mean())
        assert live.frames == len(lines) - 1
        assert simulated.time - begun[0] == pytest.approx(2.5 + 0.15, abs=0.1)
        walked = float(np.linalg.norm(simulated.body.state.root_pos_w[:2]))
        person = human.pos_w[len(lines) - 2, 0] - human.pos_w[0, 0]
        assert walked > 0.5 * float(np.linalg.norm(person[:2])) > 0.3
        assert np.mean(errors) < 0.12, np.mean(errors)
        for _ in range(250):
            steps.tick()
    finally:
        source.stdin.close()
        told = source.stderr.read().decode()
        assert source.wait(60.0) == 0, told
        live.close()
    assert f"{len(lines) - 1} frames" in told
    assert pilot.mode == Mode.HOLD and steps.guard.trip == "" and simulated.inspector.unsafe == 0
    assert np.linalg.norm(simulated.body.data.qvel[:2]) < 0.2
    assert simulated.body.state.root_pos_w[2] > 0.7
