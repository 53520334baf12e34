"""Before the first command: gates, a name that is typed, and runs in which nothing is sent."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import robots
from mimic.cli import run
from mimic.deploy import start
from mimic.deploy.dry_run import DryRun
from mimic.deploy.gates import check_start
from mimic.deploy.messages import RobotIdentity
from mimic.deploy.pace import Pace
from mimic.deploy.packing import Rows
from mimic.deploy.recorder import read_record
from mimic.deploy.replay import RECORD
from mimic.deploy.robot_process import RobotProcessConfig
from mimic.deploy.session import RobotHandle, short_folder, simulated_robot
from mimic.deploy.setup import SHIPPED_POLICY
from mimic.deploy.simulated import SimulationSettings, identity_of
from mimic.deploy.start import check_seen, confirm, look_at
from mimic.deploy.trips import Thresholds
from mimic.deploy.wire.bus import Bus
from mimic.deploy.wire.hg import HgCodec
from mimic.deploy.wire.link import STATES, WireRobot
from mimic_base.errors import MimicError, RobotError

AT = Thresholds()


@pytest.fixture
def bus() -> Iterator[Bus]:
    with short_folder() as folder:
        yield Bus(folder)


@contextmanager
def telling(bus: Bus, states: Any, every: float = 0.005) -> Iterator[None]:
    """Somebody who publishes the messages that ``states`` gives, until the block ends."""
    publisher, done = bus.publisher(STATES), threading.Event()

    def tell() -> None:
        for data in states:
            publisher.send(data)
            if done.wait(every):
                break

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# the gates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode_machine": 6}, "calls itself mode_machine 6, 'three' is 5"),
        (
            {"joint_pos": [0.0, 2.4, 0.0]},
            r"joint 'knee' is at 2.40 rad, its range is \[-0.50, 2.00",
        ),
        ({"joint_pos": [-1.4, 0.0, 0.0]}, "joint 'hip' is at -1.40 rad.*calibrate its zero"),
        ({"imu_quat_w": [0.9, 0.436, 0.0, 0.0]}, "leans by 0.90 rad, it starts within 0.6"),
        ({"motor_error": [0, 0, 3]}, "not ready to start: motor 'ankle' tells error 3"),
        ({"motor_temperature": [95, 40, 40]}, "not ready to start: motor 'hip' has 95 degrees"),
    ],
)
def test_a_robot_that_is_not_well_does_not_start(changes, words, identity, make_state) -> None:
    check_start(make_state(joint_pos=[0.0, 2.2, 0.0]), identity, AT)
    with pytest.raises(RobotError, match=words):
        check_start(make_state(**changes), identity, AT)


def test_old_states_and_a_frozen_tick_do_not_start(identity, make_state) -> None:
    with pytest.raises(RobotError, match="no state for 50 ms"):
        check_start(make_state(), identity, AT, state_age=0.05)
    with pytest.raises(RobotError, match="tick has not advanced for 60 ms"):
        check_start(make_state(), identity, AT, tick_age=0.06)
    with pytest.raises(RobotError, match="12 messages in a row with a wrong checksum"):
        check_start(make_state(), identity, AT, 12)


def test_a_robot_is_looked_at_for_a_while(bus: Bus, identity, make_state) -> None:
    codec = HgCodec(joints=3)
    ticks = (codec.encode_state(make_state(tick=tick)) for tick in range(100000))
    with telling(bus, ticks):
        seen = look_at(bus, identity, Pace())
    assert seen.states > 3 and seen.state.tick > 0 and seen.rejected_in_row == 0
    check_seen(seen, identity, Thresholds(state_age=1.0, frozen_tick=1.0))
    still = (codec.encode_state(make_state()) for _ in range(100000))
    with telling(bus, still):
        frozen = look_at(bus, identity, Pace())
    assert frozen.states == 1
    with pytest.raises(RobotError, match="tick has not advanced"):
        check_seen(frozen, identity, Thresholds(state_age=1.0))
    check_seen(frozen, identity, Thresholds(state_age=1.0), waits=True)


def test_a_robot_that_is_not_there_is_told_as_that(bus: Bus, identity, monkeypatch) -> None:
    monkeypatch.setattr(start, "PATIENCE", 0.1)
    with pytest.raises(RobotError, match="no robot was heard on 'rt_lowstate' within 0.1 s"):
        look_at(bus, identity, Pace())
    with (
        telling(bus, (bytes(2092) for _ in range(100000))),
        pytest.raises(RobotError, match="wrong size, header or checksum; this robot does not"),
    ):
        look_at(bus, identity, Pace())


def test_who_only_listens_cannot_send(bus: Bus, identity, make_command) -> None:
    commands = bus.subscribe("rt_lowcmd")
    robot = WireRobot(bus, identity, Pace().now, send=False)
    with pytest.raises(RobotError, match="only listened to"):
        robot.write(make_command())
    robot.close()
    assert not commands.wait(0.05)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_name_is_typed_before_a_robot_moves() -> None:
    said: list[str] = []
    confirm("unitree_g1", "eth0", None, Terminal("unitree_g1\n"), said.append)
    assert "unitree_g1 on eth0 will move" in said[0] and "Type unitree_g1" in said[1]
    confirm("unitree_g1", "eth0", "unitree_g1", io.StringIO())
    for typed in ("yes\n", "\n", ""):
        with pytest.raises(RobotError, match="not confirmed .*; nothing was sent"):
            confirm("unitree_g1", "eth0", None, Terminal(typed), said.append)
    with pytest.raises(RobotError, match="nobody is at a terminal; give --confirm unitree_g1"):
        confirm("unitree_g1", "eth0", None, io.StringIO("unitree_g1\n"))
    with pytest.raises(RobotError, match="--confirm yes: the robot is 'unitree_g1'"):
        confirm("unitree_g1", "eth0", "yes", Terminal("unitree_g1\n"))


def test_a_dry_run_tells_what_would_be_sent(identity: RobotIdentity, make_state) -> None:
    rows, said = Rows(3), []
    row = np.zeros((), rows.report)
    dry = DryRun(identity, said.append)
    dry(row, "stand")
    assert dry.line() == "dry run: no command was computed, none was sent"
    row["has_state"] = row["has_command"] = True
    row["command"]["joint_pos"], row["command"]["kp"] = [0.0, 0.5, 0.1], [50.0, 20.0, 0.0]
    for now in (0.0, 0.2, 0.6):
        row["now"] = now
        dry(row, "stand")
    assert len(said) == 2 and said[0] == (
        "  would send (stand): 0.50 rad from knee, 25 % of the torque of knee, kp up to 50, kd up "
        "to 0.0"
    )
    assert dry.line() == (
        "dry run: commands of 3 control steps, none of them sent; at most 0.50 rad from knee and "
        "25 % of the torque of knee"
    )


def test_gains_of_a_gantry_bind_the_guard_too() -> None:
    from dataclasses import replace

    from mimic.deploy.pilot import PilotSettings
    from mimic.deploy.setup import DeploySettings, command_limits
    from mimic.policy.player import PolicyPlayer

    player, settings = PolicyPlayer(SHIPPED_POLICY), DeploySettings()
    identity = identity_of(robots.load("unitree_g1"))
    whole = command_limits(player, identity, settings)
    third = command_limits(player, identity, replace(settings, pilot=PilotSettings(gains=0.3)))
    assert np.allclose(third.kp_cap, 0.3 * whole.kp_cap)
    assert np.array_equal(third.damping, whole.damping)


# a robot that was there before ---------------------------------------------------------------


@contextmanager
def robot_on(**changes: Any) -> Iterator[tuple[Path, RobotHandle]]:
    """A simulated G1 that somebody else has started, in a folder."""
    with short_folder() as folder:
        config = RobotProcessConfig(bus=str(folder), results=str(folder / "results.npz"), **changes)
        with simulated_robot(config) as handle:
            yield folder, handle


def words_for(folder: Path, out: Path) -> list[str]:
    there = ["--robot", "unitree_g1", "--interface", str(folder), "--out", str(out)]
    return ["deploy", str(SHIPPED_POLICY), *there]


def test_a_robot_that_is_there_gets_nothing_in_a_dry_run(tmp_path: Path, capsys) -> None:
    with robot_on(pace=0.1, settings=SimulationSettings(odometry=False)) as (folder, handle):
        words = [*words_for(folder, tmp_path), "--estimate"]
        assert run([*words, "--pace", "0.1", "--seconds", "0.2"]) in (0, 1)
        said = capsys.readouterr().out
        assert "dry run: nothing is sent" in said and "none of them sent" in said
        counted = handle.end()
    assert counted["commands"] == 0 and counted["senders"] == 0 and counted["limp"]
    (session,) = tmp_path.iterdir()
    assert read_record(session / RECORD).header["estimate"] == "unitree_g1"


def test_a_robot_that_is_there_moves_where_that_is_confirmed(tmp_path: Path, capsys) -> None:
    settings = SimulationSettings(tick=0.02, physics_hz=500.0)
    with robot_on(lock_step=True, settings=settings) as (folder, handle):
        words = [*words_for(folder, tmp_path), "--real", "--lock-step", "--command-hz", "50"]
        with pytest.raises(RobotError, match="nobody is at a terminal; give --confirm unitree_g1"):
            run(words)
        with pytest.raises(RobotError, match="--confirm no: the robot is 'unitree_g1'"):
            run([*words, "--confirm", "no"])
        assert not list(tmp_path.iterdir())
        assert run([*words, "--confirm", "unitree_g1", "--seconds", "1"]) == 0
        said = capsys.readouterr().out
        assert f"unitree_g1 on {folder}, 50 commands/s" in said and "  stand" in said
        counted = handle.end()
    assert counted["commands"] > 50 and counted["unsafe"] == 0 and counted["senders"] == 1
    (session,) = tmp_path.iterdir()
    assert run(["deploy", "replay", str(session)]) == 0


def test_a_robot_that_measures_too_little_is_refused(tmp_path: Path) -> None:
    settings = SimulationSettings(tick=0.02, odometry=False)
    with (
        robot_on(lock_step=True, settings=settings) as (folder, _),
        pytest.raises(MimicError, match="observes .*base_lin_vel, which this robot does not"),
    ):
        run([*words_for(folder, tmp_path), "--real", "--lock-step", "--confirm", "unitree_g1"])
    assert not list(tmp_path.iterdir())
