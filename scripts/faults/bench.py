"""What faults strike: a deployment in lock-step through the wire's bytes, at any moment of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mujoco
import numpy as np

import robots
from mimic.deploy.guard import Guard, Request
from mimic.deploy.kinematics import Chain
from mimic.deploy.messages import Odometry, RobotState
from mimic.deploy.modes import Mode
from mimic.deploy.pilot import Pilot, PilotSettings, next_event
from mimic.deploy.setup import (
    SHIPPED_POLICY,
    DeploySettings,
    make_guard,
    make_pilot,
    references_of,
)
from mimic.deploy.simulated import SimulatedRobot, SimulationSettings
from mimic.deploy.wire.hg import HgCodec, WrongMessage
from mimic.policy.player import PolicyPlayer

TICK = 0.002
"""s between two commands."""
STEP = 0.02
"""s between two control steps of the policy."""


class Hooks(Protocol):
    """Where a fault strikes: each is told what passes, and answers with what passes on."""

    def loop_hangs(self, bench: Bench) -> bool: ...
    def loop_died(self, bench: Bench) -> bool: ...
    def events(self, bench: Bench) -> tuple[str, ...]: ...
    def overruns(self, bench: Bench) -> int: ...
    def recorded(self, bench: Bench, step: Any) -> None: ...
    def sensed(self, bench: Bench, state: RobotState) -> RobotState: ...
    def state_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]: ...
    def command_wire(self, bench: Bench, data: bytes) -> tuple[bytes | None, int]: ...


class Bench:
    """A deployment in lock-step through the wire's bytes, with hooks where faults strike.

    Attributes that are copied with a bench are all that changes from tick to tick.
    """

    def __init__(self, robot: SimulatedRobot, guard: Guard, pilot: Pilot, codec: HgCodec) -> None:
        self.robot, self.guard, self.pilot, self.codec = robot, guard, pilot, codec
        self.ticks, self.jump, self.rejected = 0, 0.0, 0
        self.state: RobotState | None = None
        self.request: Request | None = None
        self.trip = ""
        self.released = False
        self.arriving: list[tuple[int, bytes, Odometry | None]] = []
        self.leaving: list[tuple[int, bytes, int]] = []

    @property
    def now(self) -> float:
        return self.robot.time + self.jump

    def tick(self, fault: Hooks | None = None) -> None:
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

    def _receive(self, fault: Hooks | None, told: RobotState) -> None:
        told = fault.sensed(self, told) if fault else told
        data: bytes | None = self.codec.encode_state(told)
        late = 0
        if fault and data is not None:
            data, late = fault.state_wire(self, data)
        if data is not None:
            self.arriving.append((self.ticks + late, data, told.odometry))
        due = [each for each in self.arriving if each[0] <= self.ticks]
        self.arriving = [each for each in self.arriving if each[0] > self.ticks]
        for _, message, odometry in due:
            try:
                self.state = self.codec.decode_state(message, self.now, odometry)
                self.rejected = 0
            except WrongMessage:
                self.rejected += 1

    def _send(self, fault: Hooks | None, data: bytes) -> None:
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


def make_bench(policy: Path = SHIPPED_POLICY) -> Bench:
    """A policy with a clip of its own on the simulated G1, before its first tick."""
    player, robot = PolicyPlayer(policy), robots.load("unitree_g1")
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
    shared = (pilot.player, pilot.anchor, bench.robot.robot, *pilot.playlist.shared, body)
    return copy.deepcopy(bench, {id(each): each for each in shared})


def snapshots(bench: Bench, seconds: float, every: float) -> list[Snapshot]:
    """A deployment at many moments ``every`` so many s, from passive to walking."""
    kept = []
    for tick in range(round(seconds / TICK)):
        if tick % round(every / TICK) == 0 and tick > 10:
            kept.append(Snapshot.of(bench))
        bench.tick()
    assert bench.robot.inspector.unsafe == 0 and not bench.trip
    return kept
