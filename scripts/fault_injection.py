"""Break a deployment in every way we know, and let the robot count what it was told.

    python scripts/fault_injection.py [--cases 10000] [--real 12] [--seed 0] [--out FILE.md]

The first part runs in lock-step with an injected clock: the shipped policy walks on the simulated
G1 through Unitree's messages (encoded, decoded, checksums and all), and at a random moment one
fault strikes. The second part runs guard and robot as processes in real time (slowed down by
``--pace``) and kills, stops and cuts off what can be. Told are, for each fault, how often the
motors damped, the time from the fault to damping motors, the time allowed, and the commands
outside the limits, which the robot counts at its input. Exit code 1 if there was one, or if damping
came too late or did not last.
"""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.options import parse

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

import mujoco  # noqa: E402

import robots  # noqa: E402
from mimic.deploy.guard import Guard, Request  # noqa: E402
from mimic.deploy.guard_process import GuardConfig  # noqa: E402
from mimic.deploy.kinematics import Chain  # noqa: E402
from mimic.deploy.messages import Remote, RobotState, remote_bytes  # noqa: E402
from mimic.deploy.modes import Mode  # noqa: E402
from mimic.deploy.packing import Rows  # noqa: E402
from mimic.deploy.pilot import Pilot, PilotSettings, next_event  # noqa: E402
from mimic.deploy.recorder import Recorder, step_layout  # noqa: E402
from mimic.deploy.robot_process import RobotProcessConfig  # noqa: E402
from mimic.deploy.session import ended, guard_process, short_folder, simulated_robot  # noqa: E402
from mimic.deploy.setup import (  # noqa: E402
    SHIPPED_POLICY,
    DeploySettings,
    command_limits,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings, identity_of  # noqa: E402
from mimic.deploy.wire.hg import HgCodec, WrongMessage  # noqa: E402
from mimic.policy.player import PolicyPlayer  # noqa: E402
from mimic_base.command_line import exit_on_user_error  # noqa: E402
from mimic_base.errors import MimicError  # noqa: E402
from mimic_base.files import atomic_write_text  # noqa: E402
from mimic_base.rotations import quat_exp, quat_mul  # noqa: E402

TICK = 0.002
STEP = 0.02


@dataclass(frozen=True)
class Options:
    """Break a deployment in every way we know."""

    cases: int = 10000
    """Faults in lock-step."""
    real: int = 12
    """Faults with real processes."""
    seed: int = 0
    pace: float = 0.1
    """Share of real time at which real processes run."""
    out: Path | None = None
    """Also write the tables here (Markdown)."""
    minutes: float | None = None
    """Stop the first part after so many minutes, whatever was asked for."""


class Bench:
    """A deployment in lock-step through the wire's bytes, with hooks where faults strike.

    A hook is told what passes and answers with what passes on. Attributes that are copied with a
    bench are all that changes from tick to tick.
    """

    def __init__(self, robot: SimulatedRobot, guard: Guard, pilot: Pilot, codec: HgCodec) -> None:
        self.robot, self.guard, self.pilot, self.codec = robot, guard, pilot, codec
        self.ticks, self.jump, self.rejected = 0, 0.0, 0
        self.state: RobotState | None = None
        self.request: Request | None = None
        self.trip = ""
        self.released = False
        self.arriving: list[tuple[int, RobotState]] = []
        self.leaving: list[tuple[int, bytes, int]] = []

    @property
    def now(self) -> float:
        return self.robot.time + self.jump

    def tick(self, fault: Fault | None = None) -> None:
        """One tick of the robot."""
        told = self.robot.read()
        if told is not None:
            self._receive(fault, told)
        if self.ticks % round(STEP / TICK) == 0 and not (fault and fault.loop_hangs(self)):
            events = [*next_event(self.pilot.mode), *(fault.events(self) if fault else ())]
            overruns = fault.overruns(self) if fault else 0
            step = self.pilot.tick(
                self.now, self.state, trip=self.trip, events=events, overruns=overruns
            )
            self.request = step.request if step else None
            if fault and step:
                fault.recorded(self, step)
        if fault and fault.loop_died(self):
            self.guard.stop(self.now, "silent", "the process of the policy has ended")
        verdict = self.guard.tick(self.now, self.state, self.request, self.rejected)
        self.trip = verdict.trip
        if verdict.command is not None:
            self._send(fault, self.codec.encode_command(verdict.command))
        if self.pilot.mode == Mode.TRACK and not self.released:
            self.robot.release()
            self.released = True
        self.robot.step()
        self.ticks += 1

    def _receive(self, fault: Fault | None, told: RobotState) -> None:
        told = fault.sensed(self, told) if fault else told
        data: bytes | None = self.codec.encode_state(told)
        late = 0
        if fault and data is not None:
            data, late = fault.state_wire(self, data)
        if data is not None:
            try:
                state = self.codec.decode_state(data, 0.0, told.odometry)
                self.arriving.append((self.ticks + late, state))
            except WrongMessage:
                self.rejected += 1
        due = [state for at, state in self.arriving if at <= self.ticks]
        self.arriving = [each for each in self.arriving if each[0] > self.ticks]
        if due:
            self.state, self.rejected = replace(due[-1], time=self.now), 0

    def _send(self, fault: Fault | None, data: bytes) -> None:
        late = 0
        if fault:
            sent, late = fault.command_wire(self, data)
            if sent is None:
                return
            data = sent
        self.leaving.append((self.ticks + late, data, self.ticks))
        due = [each for each in self.leaving if each[0] <= self.ticks]
        self.leaving = [each for each in self.leaving if each[0] > self.ticks]
        for _, message, number in due:
            try:
                self.robot.write(self.codec.decode_command(message), number)
            except WrongMessage:
                continue


@dataclass
class Fault:
    """Something that goes wrong at tick ``at``; the usual one does nothing.

    Attributes:
        random: of this case. demands: whether damping is demanded.
        within: s from the fault within which the motors have to damp.
    """

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
    """The loop's process is stopped and goes on 0.15 s later."""

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


@dataclass
class Row:
    """What came of the cases of one fault."""

    fault: str
    within: float = 0.0
    cases: int = 0
    damped: int = 0
    demanded: int = 0
    late: int = 0
    unsafe: int = 0
    commands: int = 0
    times: list[float] = field(default_factory=list)
    first: str = ""

    @property
    def wrong(self) -> bool:
        return bool(self.late or self.unsafe)


def make_bench() -> Bench:
    """The shipped policy on the simulated G1, before its first tick."""
    player, robot = PolicyPlayer(SHIPPED_POLICY), robots.load("unitree_g1")
    settings = DeploySettings(pilot=PilotSettings(stand_s=0.4, ready_s=0.4))
    simulated = SimulatedRobot(robot, SimulationSettings(tick=TICK, physics_hz=500.0))
    identity, contract = simulated.identity, player.contract
    anchor = Chain.of(robot, contract.anchor_body, contract.joint_names)
    return Bench(
        simulated,
        make_guard(player, identity, settings),
        make_pilot(player, identity, references_of(player, ()), anchor, settings),
        HgCodec(joints=identity.num_joints),
    )


@dataclass
class Snapshot:
    """A deployment at one moment; all share one simulation, of which one at a time is going on."""

    bench: Bench
    physics: np.ndarray
    gains: tuple[np.ndarray, np.ndarray]

    @property
    def mode(self) -> Mode:
        return self.bench.pilot.mode

    @classmethod
    def of(cls, bench: Bench) -> Snapshot:
        body = bench.robot.body
        size = mujoco.mj_stateSize(body.model, _EVERYTHING)
        physics = np.zeros(size)
        mujoco.mj_getState(body.model, body.data, physics, _EVERYTHING)
        gains = body.model.actuator_gainprm.copy(), body.model.actuator_biasprm.copy()
        return cls(_copied(bench), physics, gains)

    def restored(self) -> Bench:
        """The deployment once more, to go on from here."""
        bench = _copied(self.bench)
        body = bench.robot.body
        mujoco.mj_resetData(body.model, body.data)
        mujoco.mj_setState(body.model, body.data, self.physics, _EVERYTHING)
        body.model.actuator_gainprm[:], body.model.actuator_biasprm[:] = self.gains
        mujoco.mj_kinematics(body.model, body.data)
        return bench


_EVERYTHING = int(mujoco.mjtState.mjSTATE_INTEGRATION)


def _copied(bench: Bench) -> Bench:
    """What changes is copied, what never does and the simulation are shared."""
    pilot, body = bench.pilot, bench.robot.body
    shared = (pilot.player, pilot.anchor, bench.robot.robot, pilot._clip, pilot._reference, body)
    return copy.deepcopy(bench, {id(each): each for each in shared})


def snapshots(bench: Bench, seconds: float, every: float) -> list[Snapshot]:
    """A deployment at many moments, from passive to walking."""
    kept = []
    for tick in range(round(seconds / TICK)):
        if tick % round(every / TICK) == 0 and tick > 10:
            kept.append(Snapshot.of(bench))
        bench.tick()
    assert bench.robot.inspector.unsafe == 0 and not bench.trip
    return kept


def strike(bench: Bench, kind: type[Fault], random: np.random.Generator, row: Row) -> None:
    """One case: a while of health, the fault, and what comes of it."""
    start = bench.ticks
    fault = kind(at=start + int(random.integers(5, 40)), random=random)
    row.within = max(row.within, fault.within)
    damped: int | None = None
    seen = bench.robot.inspector.seen
    last = fault.at + round(max(fault.within, 0.1) / TICK) + 40
    while bench.ticks < last:
        if bench.ticks == fault.at:
            fault.begin(bench)
        bench.tick(fault)
        if bench.robot.damps and bench.ticks > fault.at:
            damped = bench.ticks if damped is None else damped
        elif damped is not None and not bench.robot.limp:
            # It damped and then did something else.
            row.late += fault.demands
            row.first = row.first or f"damping did not last, tick {bench.ticks}"
            break
    row.cases += 1
    row.demanded += fault.demands
    row.unsafe += bench.robot.inspector.unsafe
    row.commands += bench.robot.inspector.seen - seen
    row.first = row.first or bench.robot.inspector.first
    if damped is not None and bench.trip:
        row.damped += 1
        row.times.append((damped - fault.at) * TICK)
        if fault.demands and row.times[-1] > fault.within + 1e-9:
            row.late += 1
            row.first = row.first or f"damped after {1e3 * row.times[-1]:.0f} ms"
    elif fault.demands:
        row.late += 1
        row.first = row.first or "never damped"


def lock_step(options: Options) -> list[Row]:
    """The first part."""
    kept = snapshots(make_bench(), 3.0, 0.1)
    random = np.random.default_rng(options.seed)
    rows = [Row(kind.__name__) for kind in FAULTS]
    began = time.monotonic()
    active = [each for each in kept if each.mode in (Mode.TRACK, Mode.READY, Mode.STAND)]
    for case in range(options.cases):
        if options.minutes is not None and time.monotonic() - began > 60 * options.minutes:
            break
        at = case % len(FAULTS)
        tracking = [each for each in active if each.mode == Mode.TRACK]
        # What the network says matters while it is asked; the rest strikes at any time.
        policy = issubclass(FAULTS[at], _Network | EndOfClip | OffReference)
        choice = tracking if policy else active
        bench = choice[random.integers(len(choice))].restored()
        strike(bench, FAULTS[at], np.random.default_rng([options.seed, case]), rows[at])
        if case % 500 == 499:
            print(f"{case + 1} cases, {time.monotonic() - began:.0f} s", flush=True)
    return [row for row in rows if row.cases]


LOOP = """
import sys, time, socket
pilot = socket.socket(fileno=int(sys.argv[1]))
data, number = open(sys.argv[2], "rb").read(), 0
print("going", flush=True)
while True:
    number += 1
    pilot.send(number.to_bytes(4, "little") + data[4:])
    time.sleep(0.02 / float(sys.argv[3]))
"""
HOW: dict[str, Callable[[Any, subprocess.Popen[bytes]], None]] = {
    "SIGKILL of the loop": lambda robot, loop: loop.send_signal(signal.SIGKILL),
    "SIGSTOP of the loop": lambda robot, loop: loop.send_signal(signal.SIGSTOP),
    "SIGTERM of the loop": lambda robot, loop: loop.send_signal(signal.SIGTERM),
    "robot falls silent": lambda robot, loop: robot.tell(mute=True),
    "flipped bits": lambda robot, loop: robot.tell(flip=True),
    "remote stop": lambda robot, loop: robot.tell(buttons=["B"]),
}


def real_process(name: str, pace: float, row: Row) -> None:
    """One case with guard, robot and loop as processes: a G1 stands in its gantry."""
    player, robot = PolicyPlayer(SHIPPED_POLICY), robots.load("unitree_g1")
    settings, identity = DeploySettings(), identity_of(robot)
    standing = Request(
        number=1, mode=Mode.STAND, joint_pos=robot.default_joint_pos, kp=3 * robot.kp,
        kd=3 * robot.kd, up_b=np.array([0.0, 0.0, 1.0]), reference=robot.default_joint_pos,
    )  # fmt: skip
    with short_folder() as folder:
        config = RobotProcessConfig(bus=str(folder), pace=pace, results=str(folder / "results.npz"))
        guard = GuardConfig(
            bus=str(folder), identity=identity, limits=command_limits(player, identity, settings),
            thresholds=settings.thresholds, tick=TICK, pace=pace, leave_s=0.1, lonely_s=0.1,
        )  # fmt: skip
        request = folder / "request"
        request.write_bytes(Rows(identity.num_joints).request_bytes(standing))
        with simulated_robot(config) as simulated, guard_process(guard) as (socket, process):
            loop = subprocess.Popen(
                [sys.executable, "-c", LOOP, str(socket.fileno()), str(request), str(pace)],
                pass_fds=[socket.fileno()], stdout=subprocess.PIPE,
            )  # fmt: skip
            socket.close()
            assert loop.stdout is not None
            loop.stdout.readline()
            time.sleep(0.2 / pace)
            HOW[name](simulated, loop)
            time.sleep(0.2 / pace)
            counted = simulated.end()
            loop.kill()
            loop.wait()
            loop.stdout.close()
            row.cases += 1
            row.demanded += 1
            row.commands += counted["commands"]
            row.unsafe += counted["unsafe"]
            row.first = row.first or counted["first"]
            if counted["damped_since"] is None or counted["limp"]:
                row.late += 1
                row.first = row.first or "never damped"
            else:
                row.damped += 1
            ended(process, 3.0 / pace)


def table(rows: list[Row], *, timed: bool) -> list[str]:
    """Markdown."""
    head = ["fault", "cases", "damped", "of demanded"]
    head += ["p50 ms", "max ms", "allowed ms"] if timed else []
    head += ["commands", "outside the limits"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in [*rows, total(rows)]:
        cells = [row.fault, row.cases, row.damped, row.demanded]
        if timed:
            times = 1e3 * np.array(row.times)
            shown = bool(row.demanded and len(times) and row.fault != "all")
            cells += [f"{np.median(times):.0f}" if shown else "–"]
            cells += [f"{times.max():.0f}" if shown else "–"]
            cells += [f"{1e3 * row.within:.0f}" if shown else "–"]
        cells += [row.commands, row.unsafe]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def total(rows: list[Row]) -> Row:
    sums = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("cases", "damped", "demanded", "late", "unsafe", "commands")
    }
    return Row("all", **sums)


def main() -> int:
    options = parse(Options, None, prog="fault_injection.py")
    text = ["Lock-step, injected clock:", ""]
    rows = lock_step(options) if options.cases else []
    text += table(rows, timed=True)
    real = [Row(name) for name in HOW]
    for case in range(options.real):
        real_process(real[case % len(real)].fault, options.pace, real[case % len(real)])
    if options.real:
        text += ["", f"Guard, robot and loop as processes, at {options.pace:g} of real time:", ""]
        text += table([row for row in real if row.cases], timed=False)
    print("\n".join(text))
    if options.out is not None:
        atomic_write_text(options.out, "\n".join(text) + "\n")
    wrong = [row for row in (*rows, *real) if row.wrong]
    for row in wrong:
        print(f"WRONG: {row.fault}: {row.late} late, {row.unsafe} unsafe; {row.first}")
    return 1 if wrong else 0


if __name__ == "__main__":
    exit_on_user_error(main)
