"""The simulated robot in a process of its own: ``python -m mimic.deploy.robot_process OPTIONS``.

It is reached over a bus in Unitree's messages, as a robot is over DDS. Its time is real time, or in
lock-step passes with the commands that come. When it ends (SIGTERM, or told so) it writes what it
has counted at its input, and where it has been.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mimic.deploy.limiter import LimitSettings
from mimic.deploy.messages import Remote, RobotCommand, remote_bytes
from mimic.deploy.pace import Pace
from mimic.deploy.simulated import Imperfections, SimulatedRobot, SimulationSettings
from mimic.deploy.sticks import stick_bytes
from mimic.deploy.wire.bus import Bus
from mimic.deploy.wire.codecs import codec_of
from mimic.deploy.wire.hg import WrongMessage, encode_odometry
from mimic.deploy.wire.link import COMMANDS, CONTROL, ODOMETRY, STATES
from mimic.deploy.wire.network import open_network

FRAME = 0.02
"""s between two frames of the trajectory that is kept."""
ORPHANED = 5.0
"""s that a robot goes on whose starter is gone, so that it is seen to damp."""
STARTER = os.getppid()
"""The process that has started this one."""
LOCK_STEP_WAIT = 20.0
"""s that a lock-step robot waits for a command before it ends."""


@dataclass(frozen=True, kw_only=True)
class RobotProcessConfig:
    """What the simulated robot is started with."""

    bus: str
    """Folder for what a simulation is told."""
    network: str = ""
    """Network for its states and commands (``dds:INTERFACE:DOMAIN``); empty: the same folder."""
    robot: str = "unitree_g1"
    lock_step: bool = False
    settings: SimulationSettings = field(default_factory=SimulationSettings)
    imperfections: Imperfections = field(default_factory=Imperfections)
    rules: LimitSettings = field(default_factory=LimitSettings)
    pace: float = 1.0
    """Share of real time at which it runs."""
    results: str = ""
    """File for what was counted and where the robot has been (.npz); empty: none."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RobotProcessConfig:
        plain = json.loads(text)
        plain["settings"] = SimulationSettings(**plain["settings"])
        plain["imperfections"] = Imperfections(**plain["imperfections"])
        plain["rules"] = LimitSettings(**plain["rules"])
        return cls(**plain)


class RobotProcess:
    """A simulated robot on a bus.

    Attributes:
        wrong: commands with a wrong size, header or checksum; they are thrown away.
    """

    def __init__(self, config: RobotProcessConfig) -> None:
        import robots

        self.config = config
        bus = Bus(Path(config.bus))
        self.robot = SimulatedRobot(
            robots.load(config.robot), config.settings, config.imperfections, rules=config.rules
        )
        self._codec = codec_of(self.robot.identity)
        network = open_network(
            config.network or config.bus, config.settings.tick, self._codec.family
        )
        self._states, self._odometry = network.publisher(STATES), network.publisher(ODOMETRY)
        self._commands, self._control = network.subscribe(COMMANDS), bus.subscribe(CONTROL)
        self.wrong = 0
        self.senders: set[int] = set()
        self.late = 0
        self._end = False
        self._frames: list[np.ndarray] = []
        self._times: list[float] = []
        self._damped_since: float | None = None
        self._marked: float | None = None
        self._mute = False
        self._flip = False

    def run(self) -> None:
        """Until told to end."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_end", True))
        try:
            (self._lock_step if self.config.lock_step else self._real_time)()
        finally:
            self._write_results()
            for each in (self._states, self._odometry, self._commands, self._control):
                each.close()

    def _real_time(self) -> None:
        tick, pace = self.config.settings.tick, Pace(self.config.pace)
        deadline, parent = pace.now(), os.getppid()
        orphaned: float | None = None
        while not self._end:
            self._step()
            if os.getppid() != parent:
                orphaned = self.robot.time if orphaned is None else orphaned
                self._end = self._end or self.robot.time - orphaned > ORPHANED
            now = pace.now()
            deadline += tick
            if now - deadline > 10 * tick:
                # The computer is too slow: the robot's time falls behind.
                deadline, self.late = now, self.late + 1
            pace.sleep(deadline - now)

    def _lock_step(self) -> None:
        self._tell()
        waiting = time.monotonic()
        while not self._end:
            # Nobody commands it, and nobody will: its starter is gone.
            if os.getppid() != STARTER and not self.senders:
                return
            if self._commands.wait(0.02):
                self._step()
                waiting = time.monotonic()
                continue
            self._listen()
            # Until somebody is there, the first state is told again.
            if not self.senders:
                self._tell()
                waiting = time.monotonic() if self.robot.time == 0.0 else waiting
            if time.monotonic() - waiting > LOCK_STEP_WAIT:
                return

    def _step(self) -> None:
        robot = self.robot
        self._listen()
        for message in self._commands.drain():
            command = self._command(message.data)
            if command is not None:
                self.senders.add(message.sender)
                robot.write(command, message.number)
        if round(robot.time / FRAME) >= len(self._frames):
            self._frames.append(robot.body.data.qpos.copy())
            self._times.append(robot.time)
        robot.step()
        if robot.damps:
            self._damped_since = robot.time if self._damped_since is None else self._damped_since
        else:
            self._damped_since = None
        self._tell()

    def _command(self, data: bytes) -> RobotCommand | None:
        try:
            return self._codec.decode_command(data)
        except WrongMessage:
            self.wrong += 1
            return None

    def _tell(self) -> None:
        state = self.robot.read()
        if state is None or self._mute:
            return
        if state.odometry is not None:
            self._odometry.send(encode_odometry(state.odometry))
        data = self._codec.encode_state(state)
        if self._flip:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]
        self._states.send(data)

    def _listen(self) -> None:
        """What a simulation is told, one JSON object in a message."""
        for message in self._control.drain():
            told: dict[str, Any] = json.loads(message.data)
            if told.get("release"):
                self.robot.release()
            if told.get("end"):
                self._end = True
            if "buttons" in told:
                self.robot.remote = remote_bytes(*(Remote[name] for name in told["buttons"]))
            if "sticks" in told:
                self.robot.remote = stick_bytes(self.robot.remote, **told["sticks"])
            if told.get("mark"):
                self._marked = self.robot.time
            # Faults, for tests.
            self._mute = bool(told.get("mute", self._mute))
            self._flip = bool(told.get("flip", self._flip))

    def results(self) -> dict[str, Any]:
        """What it has counted at its input."""
        robot, inspector = self.robot, self.robot.inspector
        return {
            "seconds": robot.time,
            "commands": inspector.seen,
            "unsafe": inspector.unsafe,
            "reasons": dict(inspector.reasons),
            "first": inspector.first,
            "refused": robot.refused,
            "wrong": self.wrong,
            "senders": len(self.senders),
            "late": self.late,
            "damped_since": self._damped_since,
            "marked": self._marked,
            "limp": robot.limp,
        }

    def _write_results(self) -> None:
        if not self.config.results:
            return
        from mimic_base.files import save_npz

        save_npz(
            self.config.results,
            results=np.array(json.dumps(self.results())),
            qpos=np.array(self._frames).reshape(len(self._frames), -1),
            time=np.array(self._times),
        )


def main() -> None:
    """Be the robot that the first argument, JSON, describes."""
    RobotProcess(RobotProcessConfig.from_json(sys.argv[1])).run()


if __name__ == "__main__":
    main()
