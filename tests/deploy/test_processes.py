"""Three processes over the wire: policy, guard and robot; what is left when one of them is not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robots
from mimic.cli import run
from mimic.deploy.guard import Request
from mimic.deploy.guard_process import GuardConfig
from mimic.deploy.limiter import LimitSettings, limits_of
from mimic.deploy.modes import Mode
from mimic.deploy.packing import Rows
from mimic.deploy.recorder import read_record
from mimic.deploy.replay import RECORD, replay
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import RobotHandle, ended, guard_process, short_folder, simulated_robot
from mimic.deploy.setup import SHIPPED_POLICY
from mimic.deploy.simulated import SimulationSettings, identity_of
from mimic.deploy.trips import Thresholds
from mimic.deploy.wire.bus import Bus
from mimic.deploy.wire.link import STATES
from mimic_base.errors import InputError, MimicError
from tests.conftest import TINY

REPO = Path(__file__).resolve().parents[2]
TICK = 0.002
PACE = 0.05
"""These tests run on computers that do much else: a second of the robot is twenty of theirs."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short deployment over the wire, in lock-step: it stands and begins to walk."""
    out = tmp_path_factory.mktemp("deployments")
    words = ["deploy", str(SHIPPED_POLICY), "--lock-step", "--command-hz", "50"]
    assert run([*words, "--seconds", "6", "--out", str(out)]) == 0
    (folder,) = out.iterdir()
    return folder


def test_it_tells_what_the_robot_counted(session: Path, capsys) -> None:
    record = read_record(session / RECORD)
    assert record.whole and len(record.steps) >= 300
    modes = [int(row["request"]["mode"]) for row in record.steps]
    assert sorted(set(modes)) == [Mode.PASSIVE, Mode.STAND, Mode.READY, Mode.TRACK]
    assert (session / "policy.onnx").read_bytes() == SHIPPED_POLICY.read_bytes()


def test_a_replay_is_the_same_to_the_last_bit(session: Path, capsys) -> None:
    assert run(["deploy", "replay", str(session)]) == 0
    assert "every bit is the same" in capsys.readouterr().out
    found = replay(session)
    assert found.difference is None and found.states == found.steps >= 300
    assert found.commands >= found.steps - 1 and found.acted > 30


def test_a_cut_record_replays_to_its_last_whole_step(session: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    for each in session.iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    data = (folder / RECORD).read_bytes()
    (folder / RECORD).write_bytes(data[: len(data) * 9 // 10 + 7])
    found = replay(folder, simulate=False)
    assert found.difference is None and found.left_over > 0 and 200 < found.steps < 300


@pytest.mark.parametrize(
    ("boundary", "change"),
    [
        ("signals -> observation", lambda row: row["state"]["joint_pos"].__setitem__(3, 0.1)),
        ("observation -> action", lambda row: row["action"].__setitem__(5, 0.25)),
        ("action -> request", lambda row: row["request"]["kp"].__setitem__(7, 1.0)),
        ("request -> command", lambda row: row["guard"]["command"]["joint_pos"].__setitem__(1, 0)),
    ],
)
def test_a_replay_names_the_first_boundary_that_differs(
    boundary: str, change: Any, session: Path, monkeypatch
) -> None:
    from mimic.deploy import replay as module

    record = read_record(session / RECORD)
    steps = record.steps.copy()
    at = int(np.flatnonzero(steps["acted"])[20])
    change(steps[at])
    monkeypatch.setattr(module, "read_record", lambda _: replace(record, steps=steps))
    found = module.replay(session, simulate=False).difference
    assert found is not None and found.boundary == boundary and found.step == at
    assert f"in step {at}" in str(found)


def test_a_replay_sees_a_robot_that_moved_otherwise(session: Path, monkeypatch) -> None:
    from mimic.deploy import replay as module

    record = read_record(session / RECORD)
    process = json.loads(json.dumps(record.header["robot_process"]))
    process["settings"]["physics_hz"] *= 2
    header = {**record.header, "robot_process": process}
    monkeypatch.setattr(module, "read_record", lambda _: replace(record, header=header))
    found = module.replay(session).difference
    assert found is not None and found.boundary == "command -> state"


def test_what_cannot_be_replayed_is_refused(session: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no 'session.rec' in this folder"):
        replay(tmp_path)
    (tmp_path / RECORD).write_bytes((session / RECORD).read_bytes())
    with pytest.raises(InputError, match="there is no 'policy.onnx'"):
        replay(tmp_path)


# what is left when the policy's process is not ---------------------------------------------


@contextmanager
def guarded(**changes: Any) -> Iterator[tuple[RobotHandle, Any, subprocess.Popen[bytes], Request]]:
    """A tiny robot and its guard, and a first request for it to stand."""
    robot = robots.load(TINY)
    identity = identity_of(robot)
    with short_folder() as folder:
        config = RobotProcessConfig(
            bus=str(folder),
            robot=str(TINY),
            settings=SimulationSettings(tick=TICK, physics_hz=500.0),
            pace=PACE,
            results=str(folder / "results.npz"),
        )
        guard = GuardConfig(
            bus=str(folder),
            identity=identity,
            limits=limits_of(identity, robot.kp, robot.kd, TICK, LimitSettings()),
            thresholds=Thresholds(),
            tick=TICK,
            pace=PACE,
            leave_s=0.1,
            lonely_s=0.1,
            **changes,
        )
        standing = Request(
            number=1,
            mode=Mode.STAND,
            joint_pos=robot.default_joint_pos,
            kp=3.0 * robot.kp,
            kd=3.0 * robot.kd,
            up_b=np.array([0.0, 0.0, 1.0]),
            reference=robot.default_joint_pos,
        )
        with simulated_robot(config) as simulated, guard_process(guard) as (socket, process):
            yield simulated, socket, process, standing


def drive(socket: Any, request: Request, seconds: float, first: int = 1) -> int:
    """Ask for the same, 50 times a second of the robot's time."""
    rows, number = Rows(len(request.joint_pos)), first
    end = time.monotonic() + seconds / PACE
    while time.monotonic() < end:
        socket.send(rows.request_bytes(replace(request, number=number)))
        number += 1
        time.sleep(0.02 / PACE)
    return number


def last_report(socket: Any, joints: int) -> Any:
    """The newest report that is waiting, or None."""
    newest = None
    socket.setblocking(False)
    while True:
        try:
            data = socket.recv(65536)
        except BlockingIOError:
            break
        if not data:
            break
        newest = data
    return None if newest is None else np.frombuffer(newest, Rows(joints).report)[0]


def test_a_loop_that_hangs_is_damped(tmp_path: Path) -> None:
    with guarded() as (simulated, socket, process, standing):
        number = drive(socket, standing, 0.15)
        assert number > 5
        time.sleep(0.12 / PACE)
        report = last_report(socket, len(standing.joint_pos))
        assert report is not None and report["trip"] == b"silent", report and report["told"]
        # It stays so when the loop comes back.
        drive(socket, standing, 0.1, number)
        report = last_report(socket, len(standing.joint_pos))
        assert report["trip"] == b"silent"
        counted = simulated.end()
        assert counted["unsafe"] == 0 and counted["damped_since"] is not None
        assert counted["commands"] > 50 and process.poll() is None
        # Without a robot and without a policy there is nothing to guard.
        socket.close()
        assert ended(process, 2.0 / PACE)


LOOP = """
import os, sys, time
from mimic.deploy.packing import Rows
import numpy as np, socket
pilot = socket.socket(fileno=int(sys.argv[1]))
data = open(sys.argv[2], "rb").read()
number = 0
print("going", flush=True)
while True:
    number += 1
    pilot.send(number.to_bytes(4, "little") + data[4:])
    time.sleep(0.02 / float(sys.argv[3]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_a_loop_that_is_killed_or_stopped_is_damped(how: signal.Signals, tmp_path: Path) -> None:
    with guarded() as (simulated, socket, process, standing):
        request = tmp_path / "request"
        request.write_bytes(Rows(len(standing.joint_pos)).request_bytes(standing))
        loop = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(socket.fileno()), str(request), str(PACE)],
            pass_fds=[socket.fileno()], cwd=REPO, stdout=subprocess.PIPE,
        )  # fmt: skip
        # Only the loop holds this end from here on.
        socket.close()
        try:
            assert loop.stdout is not None and loop.stdout.readline() == b"going\n"
            time.sleep(0.2 / PACE)
            loop.send_signal(how)
            time.sleep(0.12 / PACE)
            counted = simulated.end()
        finally:
            loop.kill()
            loop.wait()
            assert loop.stdout is not None
            loop.stdout.close()
        assert counted["unsafe"] == 0 and counted["senders"] == 1
        assert counted["damped_since"] is not None and not counted["limp"]
        # It stood before: the damping began with the signal, not before it.
        assert counted["damped_since"] > 0.1
        assert ended(process, 2.0 / PACE)


def test_a_guard_that_is_ended_damps_first() -> None:
    with guarded() as (simulated, socket, process, standing):
        drive(socket, standing, 0.2)
        process.terminate()
        assert ended(process, 2.0 / PACE)
        counted = simulated.end()
        assert counted["unsafe"] == 0
        # Half a second of damping, and then, without a guard, the robot's own limpness.
        assert counted["damped_since"] is not None or counted["limp"]


def test_the_terminal_s_interrupt_does_not_reach_the_guard() -> None:
    with guarded() as (simulated, socket, process, standing):
        number = drive(socket, standing, 0.1)
        os.kill(process.pid, signal.SIGINT)
        drive(socket, standing, 0.1, number)
        report = last_report(socket, len(standing.joint_pos))
        assert process.poll() is None and report is not None and report["trip"] == b""


def test_nothing_is_sent_in_a_dry_run() -> None:
    with guarded(send=False) as (simulated, socket, _, standing):
        drive(socket, standing, 0.2)
        report = last_report(socket, len(standing.joint_pos))
        assert report is not None and report["has_command"]
        assert simulated.end()["commands"] == 0


@pytest.mark.parametrize(
    ("told", "trip"),
    [({"mute": True}, b"stale"), ({"flip": True}, b"checksum"), ({"buttons": ["B"]}, b"remote")],
)
def test_a_wire_that_fails_and_the_remote_are_seen_by_the_guard(told: Any, trip: bytes) -> None:
    with guarded() as (simulated, socket, _, standing):
        number = drive(socket, standing, 0.1)
        simulated.tell(**told)
        drive(socket, standing, 0.1, number)
        report = last_report(socket, len(standing.joint_pos))
        # Ten messages with a wrong checksum come within 20 ms, before the state is 40 ms old,
        # unless the computer does something else meanwhile.
        assert report is not None and report["trip"] in (trip, b"stale")
        counted = simulated.end()
        assert counted["unsafe"] == 0 and counted["damped_since"] is not None


STARTER = """
import subprocess, sys, time
robot = subprocess.Popen([sys.executable, "-m", "mimic.deploy.robot_process", sys.argv[1]])
print(robot.pid, flush=True)
time.sleep(600)
"""


def test_a_robot_in_lock_step_ends_with_its_starter() -> None:
    with short_folder() as folder:
        config = RobotProcessConfig(bus=str(folder), robot=str(TINY), lock_step=True)
        states = Bus(folder).subscribe(STATES)
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, config.to_json()], cwd=REPO, stdout=subprocess.PIPE
        )
        assert starter.stdout is not None
        robot = int(starter.stdout.readline())
        try:
            assert states.wait(60.0), "it did not come up"
            starter.kill()
            starter.wait()
            end = time.monotonic() + 30.0
            while runs(robot):
                assert time.monotonic() < end, "it goes on without anybody"
                time.sleep(0.05)
        finally:
            starter.kill()
            starter.stdout.close()
            states.close()
            if runs(robot):
                os.kill(robot, signal.SIGKILL)


def runs(process: int) -> bool:
    """Whether a process that is no child of ours is there, and no zombie."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="file: cannot write: "):
        run(["deploy", str(SHIPPED_POLICY), "--lock-step", "--out", str(tmp_path / "file")])


def test_a_folder_that_is_no_run_is_told_from_one_that_was_not_exported(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for words in (["deploy"], ["deploy", "check"]):
        with pytest.raises(MimicError, match="a folder without policy.onnx, and no run's; name a"):
            run([*words, str(tmp_path)])
        with pytest.raises(MimicError, match="no policy.onnx yet; make it with mimic export .*run"):
            run([*words, str(tmp_path / "run")])
        with pytest.raises(MimicError, match="a folder without policy.onnx"):
            run([*words, str(tmp_path), "--describe", str(TINY)])


def test_a_guard_that_is_gone_is_no_success(tmp_path: Path, monkeypatch, capsys) -> None:
    from mimic.deploy.loop import PilotLoop

    def gone(self: PilotLoop) -> float:
        self.guard.shutdown(socket.SHUT_RDWR)
        return hear(self)

    hear = PilotLoop._hear
    monkeypatch.setattr(PilotLoop, "_hear", gone)
    words = ["deploy", str(SHIPPED_POLICY), "--lock-step", "--command-hz", "50"]
    assert run([*words, "--seconds", "1", "--out", str(tmp_path)]) == 1
    assert "the guard has ended" in capsys.readouterr().out


# refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["no.onnx"], "policy 'no.onnx' does not exist"),
        ([str(TINY)], "not a readable ONNX file"),
        (
            [str(SHIPPED_POLICY), "--robot", "unitree_h1"],
            "a robot that is not simulated is reached over a network; name it with --interface",
        ),
        ([str(SHIPPED_POLICY), "--robot", "unitree_g1", "--interface", "no/net"], "not a folder"),
        ([str(SHIPPED_POLICY), "--real"], "a simulated one (--robot simulated) always moves"),
        ([str(SHIPPED_POLICY), "--interface", "/"], "--robot simulated starts one of its own"),
        (
            [str(SHIPPED_POLICY), "--robot", "unitree_g1", "--interface", "/", "--confirm", "x"],
            "--confirm goes with --real",
        ),
        (
            [str(SHIPPED_POLICY), "--robot", "robotis_op3", "--interface", "/"],
            "robot 'robotis_op3' is not reached over a network so far, only unitree_g1, unitree_h1",
        ),
        (
            [str(SHIPPED_POLICY), "--robot", "unitree_g1", "--interface", "/", "--loss", "0.1"],
            "--loss is for a robot that is simulated here",
        ),
        (
            [str(SHIPPED_POLICY), "--robot", "unitree_g1", "--interface", "/", "--lock-step"],
            "--lock-step waits for commands, and a dry run sends none",
        ),
        ([str(SHIPPED_POLICY), "--robot", "simulated:unitree_h1"], "it is for 'unitree_g1'"),
        ([str(SHIPPED_POLICY), "--command-hz", "120"], "120 commands a second do not fit"),
        ([str(SHIPPED_POLICY), "--pace", "2"], "pace is a share of real time"),
        ([str(SHIPPED_POLICY), "--gains", "1.5"], "gains is a share from 0 to 1"),
        ([str(SHIPPED_POLICY), "--loss", "3"], "is a share from 0 to 1"),
        ([str(SHIPPED_POLICY), "--hold", "-1"], "--hold must not be negative"),
        ([str(SHIPPED_POLICY), "--delay", "1000000000000"], "--delay must be at most 1000 ticks"),
        ([str(SHIPPED_POLICY), "--command-hz", "1e9"], "--command-hz must be at most 5000"),
        ([str(SHIPPED_POLICY), "--video", "walk.gif"], "a video's name must end in"),
        ([str(SHIPPED_POLICY), "--video", "/proc/none/x.mp4"], "/proc/none/x.mp4: cannot write"),
        ([str(SHIPPED_POLICY), "--video", "/dev/null/x.mp4"], "/dev/null/x.mp4: cannot write"),
        ([str(SHIPPED_POLICY), "--out", "/proc/none"], "/proc/none: cannot write"),
        ([str(SHIPPED_POLICY), "--motion", "none.npz"], "none.npz"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_starts(
    words: list[str], told: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from mimic.commands import deploying

    def started(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(deploying, "simulated_robot", started)
    with pytest.raises((InputError, MimicError, ValueError)) as refused:
        run(["deploy", *words])
    assert told in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())
