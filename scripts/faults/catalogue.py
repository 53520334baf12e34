"""The faults, each a class that hooks into a deployment (`faults.bench.Bench`)."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from faults.bench import STEP, TICK, Bench
from mimic.deploy.guard import Request
from mimic.deploy.messages import Remote, RobotState, remote_bytes
from mimic.deploy.recorder import Recorder, step_layout
from mimic_base.errors import MimicError
from mimic_base.rotations import quat_exp, quat_mul


@dataclass
class Fault:
    """Something that goes wrong at tick ``at``; the usual one does nothing.

    Attributes:
        random: of this case. demands: whether damping is demanded.
        within: s from the fault within which the motors have to damp.
        tracking: whether it strikes a robot that tracks, not one that stands or gets ready too.
        watched: ticks for which it is watched at least.
    """

    tracking: ClassVar[bool] = False
    watched: ClassVar[int] = 0

    at: int
    random: np.random.Generator
    demands: bool = True
    within: float = 2 * TICK
    kept: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What it demands, and within what time."""

    def on(self, bench: Bench) -> bool:
        return bench.ticks >= self.at

    def begin(self, bench: Bench) -> None:
        """At its tick, once."""

    def loop_hangs(self, bench: Bench) -> bool:
        return False

    def loop_died(self, bench: Bench) -> bool:
        return False

    def events(self, bench: Bench) -> tuple[str, ...]:
        return ()

    def overruns(self, bench: Bench) -> int:
        return 0

    def recorded(self, bench: Bench, step: Any) -> None:
        """After a control step."""

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        return state

    def state_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return data, 0

    def command_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return data, 0

    def flipped(self, data: bytes) -> bytes:
        bit = int(self.random.integers(8 * 4, 8 * len(data)))
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        return bytes(wrong)


class HungLoop(Fault):
    """The loop hangs."""

    def __post_init__(self) -> None:
        self.within = 0.060 + STEP + 2 * TICK

    def loop_hangs(self, bench: Bench) -> bool:
        return self.on(bench)


class StoppedLoop(HungLoop):
    """The loop's process is stopped and goes on 0.15 s later: the motors go on damping."""

    watched = 100

    def loop_hangs(self, bench: Bench) -> bool:
        return self.at <= bench.ticks < self.at + 75


class KilledLoop(Fault):
    """The loop's process is killed: its end of the socket closes."""

    def loop_hangs(self, bench: Bench) -> bool:
        return self.on(bench)

    loop_died = loop_hangs


class StaleState(Fault):
    """The robot says nothing any more."""

    def __post_init__(self) -> None:
        self.within = 0.040 + 2 * TICK

    def state_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return (None if self.on(bench) else data), 0


class FrozenTick(Fault):
    """States come, always with the same tick."""

    def __post_init__(self) -> None:
        self.within = 0.040 + 2 * TICK

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        if not self.on(bench):
            return state
        return replace(state, tick=self.kept.setdefault("tick", state.tick))


class FlippedStates(Fault):
    """A bit of every state is wrong."""

    def __post_init__(self) -> None:
        # Ten in a row; one in twenty falls on bytes that mean nothing and begins the row anew.
        self.within = 0.060

    def state_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return (self.flipped(data) if self.on(bench) else data), 0


class FlippedCommands(Fault):
    """A bit of every command is wrong: the robot refuses them and goes limp by itself."""

    def __post_init__(self) -> None:
        self.demands = False

    def command_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return (self.flipped(data) if self.on(bench) else data), 0


class _Network(Fault):
    # What the network says matters while it is asked.
    tracking = True
    value = 0.0

    def begin(self, bench: Bench) -> None:
        joints = bench.pilot.player.contract.num_joints
        value, random = self.value, self.random
        act = bench.pilot.act

        def broken(observation: Any) -> Any:
            action = np.array(act(observation))
            action[random.integers(joints)] = value
            if not np.isfinite(action).all():
                raise MimicError("the policy's action is not finite")
            return action

        bench.pilot.act = broken  # type: ignore[method-assign]


class NanAction(_Network):
    """The network gives a number that is none."""

    value = float("nan")

    def __post_init__(self) -> None:
        self.within = STEP + 2 * TICK


class HugeAction(_Network):
    """The network gives a million."""

    value = 1e6

    def __post_init__(self) -> None:
        self.demands = False


class NanRequest(Fault):
    """The pilot itself asks for a number that is none."""

    def __post_init__(self) -> None:
        self.within = STEP + 2 * TICK

    def begin(self, bench: Bench) -> None:
        ask, random = bench.pilot.request, self.random

        def broken(*words: Any) -> Request:
            asked = ask(*words)
            name = ("joint_pos", "kp", "kd")[random.integers(3)]
            values = np.array(getattr(asked, name))
            values[random.integers(len(values))] = random.choice([np.nan, np.inf, -np.inf])
            return replace(asked, **{name: values})

        bench.pilot.request = broken  # type: ignore[method-assign]


class OtherRobot(Fault):
    """The robot calls itself another kind."""

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        return replace(state, mode_machine=6) if self.on(bench) else state


class LostPackets(Fault):
    """States and commands are lost, each with a chance of up to 90 %."""

    def __post_init__(self) -> None:
        self.demands = False
        self.kept["chance"] = self.random.uniform(0.05, 0.9)

    def _lost(self, bench: Bench) -> bool:
        return self.on(bench) and self.random.random() < self.kept["chance"]

    def state_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return (None if self._lost(bench) else data), 0

    command_wire = state_wire


class LateStates(Fault):
    """States are late by up to 100 ms; beyond 40 ms the gap is a stale state."""

    def __post_init__(self) -> None:
        self.kept["late"] = int(self.random.integers(1, 51))
        self.demands = self.kept["late"] * TICK > 0.040 + 2 * TICK
        self.within = 0.040 + 2 * TICK

    def state_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return data, self.kept["late"] if self.on(bench) else 0


class LateCommands(Fault):
    """Commands are late by up to 100 ms, each by another time: they overtake each other."""

    def __post_init__(self) -> None:
        self.demands = False
        self.kept["late"] = int(self.random.integers(1, 51))

    def command_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]:
        return data, self.kept["late"] if self.on(bench) else 0


class TimeJump(Fault):
    """The clock jumps forward by 50 ms to 100 s: the computer slept."""

    def begin(self, bench: Bench) -> None:
        bench.jump += float(10.0 ** self.random.uniform(-1.3, 2.0))


class RemoteStop(Fault):
    """B or SELECT of the remote is pressed for a moment."""

    def begin(self, bench: Bench) -> None:
        button = (Remote.B, Remote.SELECT)[self.random.integers(2)]
        bench.robot.remote = remote_bytes(button)

    def __post_init__(self) -> None:
        self.within = 3 * TICK


class OperatorStop(Fault):
    """The operator presses a key."""

    def __post_init__(self) -> None:
        self.within = STEP + 2 * TICK

    def events(self, bench: Bench) -> tuple[str, ...]:
        return ("stop",) if self.on(bench) else ()


class EndOfClip(Fault):
    """The clip ends at once."""

    tracking = True

    def __post_init__(self) -> None:
        self.demands = False

    def begin(self, bench: Bench) -> None:
        bench.pilot.frame = bench.pilot.reference.num_frames - 1


class FullDisk(Fault):
    """The disk is full while the session is recorded."""

    def __post_init__(self) -> None:
        self.demands = False

    def recorded(self, bench: Bench, step: Any) -> None:
        recorder = self.kept.get("recorder")
        if recorder is None:
            self.kept["folder"] = tempfile.TemporaryDirectory()
            path = Path(self.kept["folder"].name) / "session.rec"
            recorder = self.kept["recorder"] = Recorder(path, {"joints": 29, "observation": 160})
        if self.on(bench) and not recorder.failed and os.path.exists("/dev/full"):
            os.close(recorder._file)
            recorder._file = os.open("/dev/full", os.O_WRONLY)
        row = np.zeros((), step_layout(29, 160))
        row["now"] = bench.now
        recorder.row(row)


class NanState(Fault):
    """A measured number is none."""

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        if not self.on(bench):
            return state
        name = ("joint_pos", "joint_vel", "imu_quat_w", "gyro")[self.random.integers(4)]
        values = np.array(getattr(state, name))
        values[self.random.integers(len(values))] = self.random.choice([np.nan, np.inf])
        return replace(state, **{name: values})


class ZeroState(Fault):
    """All measured numbers are zero, the quaternion too, as drivers say without a robot."""

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        if not self.on(bench):
            return state
        zero = np.zeros_like(state.joint_pos)
        return replace(state, joint_pos=zero, joint_vel=zero, imu_quat_w=np.zeros(4))


class Leaning(Fault):
    """The base leans by 1 to 2 rad."""

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        if not self.on(bench):
            return state
        if "turn" not in self.kept:
            way = self.random.uniform(-np.pi, np.pi)
            axis = np.array([np.cos(way), np.sin(way), 0.0])
            self.kept["turn"] = quat_exp(self.random.uniform(1.0, 2.0) * axis)
        return replace(state, imu_quat_w=quat_mul(self.kept["turn"], state.imu_quat_w))


class FastJoint(Fault):
    """A joint turns faster than its motor can, either way."""

    def sensed(self, bench: Bench, state: RobotState) -> RobotState:
        if not self.on(bench):
            return state
        values = np.array(state.joint_vel)
        values[self.random.integers(len(values))] = self.random.choice([-40.0, 40.0])
        return replace(state, joint_vel=values)


class MotorError(Fault):
    """A motor tells an error."""

    def begin(self, bench: Bench) -> None:
        bench.robot.motor_error = np.zeros(29)
        bench.robot.motor_error[self.random.integers(29)] = self.random.integers(1, 1000)

    def __post_init__(self) -> None:
        self.within = 3 * TICK


class HotMotor(Fault):
    """A motor is over 90 degrees."""

    def begin(self, bench: Bench) -> None:
        bench.robot.heat(int(self.random.integers(29)), self.random.uniform(92.0, 150.0))

    def __post_init__(self) -> None:
        self.within = 3 * TICK


class Overruns(Fault):
    """The loop misses deadline after deadline."""

    def __post_init__(self) -> None:
        self.within = STEP + 2 * TICK

    def overruns(self, bench: Bench) -> int:
        return 7 if self.on(bench) else 0


class OffReference(Fault):
    """A joint is held 1.5 rad from where it should be."""

    tracking = True

    def __post_init__(self) -> None:
        self.within = 0.3 + STEP + 2 * TICK

    def begin(self, bench: Bench) -> None:
        ask, joint = bench.pilot.request, int(self.random.integers(29))
        way = self.random.choice([-1.5, 1.5])

        def elsewhere(*words: Any) -> Request:
            asked = ask(*words)
            reference = np.array(asked.reference)
            reference[joint] = np.asarray(bench.robot.body.state.joint_pos)[joint] + way
            return replace(asked, reference=reference)

        bench.pilot.request = elsewhere  # type: ignore[method-assign]


FAULTS: tuple[type[Fault], ...] = (
    HungLoop, KilledLoop, StoppedLoop, StaleState, FrozenTick, FlippedStates, FlippedCommands,
    NanAction, HugeAction, NanRequest, OtherRobot, LostPackets, LateStates, LateCommands, TimeJump,
    RemoteStop, OperatorStop, EndOfClip, FullDisk, NanState, ZeroState, Leaning, FastJoint,
    MotorError, HotMotor, Overruns, OffReference,
)  # fmt: skip
