"""Plays a recorded session again and names the first place where it comes out otherwise.

The boundaries are looked at in the order in which a step passes them, each from what was recorded
before it, so that one difference does not hide behind another: signals to observation, observation
to action, action to request, request to command, and, for a simulated robot in lock-step, command
to state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.configuration import from_plain
from mimic.deploy.estimation import estimating
from mimic.deploy.foreign import open_policy
from mimic.deploy.guard import Request, wanted_command
from mimic.deploy.kinematics import Chain
from mimic.deploy.limiter import CommandLimits, limit_command
from mimic.deploy.messages import COMMAND_ARRAYS, RobotIdentity
from mimic.deploy.modes import Mode
from mimic.deploy.packing import Rows
from mimic.deploy.pilot import Pilot
from mimic.deploy.recorder import Record, read_record
from mimic.deploy.rest import Rest
from mimic.deploy.setup import (
    DeploySettings,
    command_limits,
    make_pilot,
    make_stander,
    references_of,
)
from mimic.deploy.sticks import steering_of
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError, input_error

if TYPE_CHECKING:
    from robots import Robot

RECORD, POLICY, DESCRIPTION = "session.rec", "policy.onnx", "policy.toml"
HOLD_POLICY = "hold_policy.onnx"
BOUNDARIES = (
    "signals -> observation", "observation -> action", "action -> request", "request -> command",
    "command -> state",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where a replay differs.

    Attributes:
        boundary: one of `BOUNDARIES`. step: of the session. now: s, of its time.
        what: the quantity. largest: by how much it differs at most.
    """

    boundary: str
    step: int
    now: float
    what: str
    largest: float

    def __str__(self) -> str:
        return (
            f"{self.boundary}: {self.what} differs by {self.largest:.3g} in step {self.step} "
            f"({self.now:.3f} s)"
        )


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a replay found.

    Attributes:
        steps: control steps in the record. acted: those in which the network ran.
        commands: commands that were computed again. states: likewise, in the simulation.
        difference: the first one; None where every bit is the same.
        left_over: bytes behind the record's last whole frame.
    """

    steps: int
    acted: int
    commands: int
    states: int
    difference: Difference | None
    left_over: int


def replay(folder: Path, *, simulate: bool = True) -> Replay:
    """Play the session in a folder again.

    Args:
        simulate: also the simulated robot of a session in lock-step.

    Raises:
        InputError, MimicError: no session, or files of it that are gone or damaged.
    """
    import robots

    record = read_record(_file(folder, RECORD))
    header = record.header
    if header.get("live"):
        raise MimicError(
            f"{folder}: this session followed a live stream, whose poses are not in its record; "
            "only sessions with clips are played again"
        )
    named = header.get("describe")
    describe = _file(folder, named if isinstance(named, str) else DESCRIPTION) if named else None
    player = open_policy(_file(folder, POLICY), describe, header.get("velocity", (0.0, 0.0, 0.0)))
    try:
        identity = identity_from(header["identity"])
        settings = from_plain(DeploySettings, header["settings"], source=str(record.path))
        motions = [_file(folder, str(name)) for name in header["motions"]]
        further = [_file(folder, str(name)) for name in header.get("library", ())]
        lock_step = bool(header["lock_step"])
    except (KeyError, TypeError) as error:
        raise input_error(
            record.path, "the record's header is incomplete", found=str(error)
        ) from error
    nothing = (0.0, 0.0, 0.0)
    steering = steering_of(player, header.get("stick", nothing), header.get("velocity", nothing))
    robot, stander = robots.load(player.contract.robot.name), None
    if header.get("hold_policy"):
        holds = PolicyPlayer(_file(folder, HOLD_POLICY))
        stander = make_stander(holds, player, robot, identity, settings)
    anchor = Chain.of(robot, player.contract.anchor_body, player.contract.joint_names)
    clips = references_of(player, motions)
    library = references_of(player, further) if further else []
    # Sessions of before say nothing of where a robot can stay, and held their last frame.
    rest = Rest.of(player.contract, robot, [*clips, *library]) if header.get("rests") else None
    pilot = make_pilot(
        player, identity, clips, anchor, settings, library=library, rest=rest, stander=stander,
        steering=steering,
    )  # fmt: skip
    if (identity.num_joints, pilot.observation_size) != (header["joints"], header["observation"]):
        raise MimicError(f"{folder}: {POLICY} is not the policy of this session")
    limits = command_limits(
        player, identity, settings, None if stander is None else stander.skill.player
    )
    again = _Again(pilot, limits, record)
    difference, states = again.run(), 0
    if simulate and lock_step and header.get("robot_process"):
        found, states = _simulated(record, robot, identity, limits, settings)
        if found is not None and (difference is None or found.step < difference.step):
            difference = found
    return Replay(
        steps=len(record.steps),
        acted=int(np.count_nonzero(record.steps["acted"])) if len(record.steps) else 0,
        commands=again.commands,
        states=states,
        difference=difference,
        left_over=record.left_over,
    )


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise input_error(
            folder,
            f"there is no '{name}' in this folder",
            fix="name the folder of a session, as mimic deploy has written it",
        )
    return path


def identity_to(identity: RobotIdentity) -> dict[str, Any]:
    """An identity as plain data."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(identity).items()
    }


def identity_from(plain: Mapping[str, Any]) -> RobotIdentity:
    """The reverse."""
    return RobotIdentity(**{**plain, "joint_names": tuple(plain["joint_names"])})


class _Again:
    """The steps of a record once more."""

    def __init__(self, pilot: Pilot, limits: CommandLimits, record: Record) -> None:
        self.pilot, self.limits, self.record = pilot, limits, record
        self.rows = Rows(pilot.identity.num_joints)
        self.commands = 0
        self._lock_step = bool(record.header["lock_step"])
        self._requests: dict[int, Request] = {}

    def run(self) -> Difference | None:
        for step, row in enumerate(self.record.steps):
            found = self._step(step, row)
            if found is not None:
                return found
        return None

    def _step(self, step: int, row: Any) -> Difference | None:
        pilot, now = self.pilot, float(row["now"])
        found = self._command(step, row)
        if found is not None:
            return found
        state = self.rows.to_state(row["state"])
        events = [each for each in row["events"].decode().split(",") if each]
        pilot.change_mode(now, state, row["trip"].decode(), events)
        action = np.zeros(0)
        if pilot.mode in (Mode.TRACK, Mode.HOLD):
            try:
                observation = pilot.observe(state)
                if not row["acted"]:
                    pilot.act(observation)
            except MimicError as error:
                pilot.fail(now, str(error))
            else:
                seen = row["observation"][: len(observation)]
                differs = _differ(observation, seen)
                if differs or not row["acted"]:
                    return self._told(0, step, now, "the observation", differs)
                action = np.array(row["action"])
                differs = _differ(pilot.act(seen), action)
                if differs:
                    return self._told(1, step, now, "the action", differs)
                pilot.remember(action)
        request = pilot.request(now, action, int(row["overruns"]))
        recorded = self.rows.to_request(row["request"])
        self._requests[recorded.number] = recorded
        for name in ("number", "mode", "reset", "joint_pos", "kp", "kd", "up_b", "reference"):
            differs = _differ(getattr(request, name), getattr(recorded, name))
            if differs:
                return self._told(2, step, now, name, differs)
        return None

    def _command(self, step: int, row: Any) -> Difference | None:
        """The guard's last command from what it saw, in the record of the step after it."""
        told = row["guard"]
        number = int(told["request"])
        if not told["has_command"] or (number and number not in self._requests):
            return None
        # In lock-step the page's stop button trips after the command that is told beside it.
        after = self._lock_step and told["tripped_at"] == told["now"]
        tripped = bool(told["trip"]) and not after
        request = None if tripped or not number else self._requests[number]
        before = self.rows.to_command(told["before"]) if told["has_before"] else None
        recorded = self.rows.to_command(told["command"])
        measured = np.array(told["measured"])
        wanted = wanted_command(request, measured, self.limits, recorded.mode_machine)
        command = limit_command(wanted, measured, before, self.limits).command
        self.commands += 1
        for name in COMMAND_ARRAYS:
            differs = _differ(getattr(command, name), getattr(recorded, name))
            if differs:
                return self._told(3, step, float(told["now"]), name, differs)
        return None

    def _told(self, boundary: int, step: int, now: float, what: str, by: float) -> Difference:
        return Difference(boundary=BOUNDARIES[boundary], step=step, now=now, what=what, largest=by)


def _differ(mine: Any, recorded: Any) -> float:
    """By how much two values differ at most; zero only where every bit is the same."""
    a, b = np.asarray(mine, np.float64), np.asarray(recorded, np.float64)
    if a.shape != b.shape:
        return float("inf")
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    return float(np.nan_to_num(np.abs(a - b), nan=np.inf).max())


def _simulated(
    record: Record,
    robot: Robot,
    identity: RobotIdentity,
    limits: CommandLimits,
    settings: DeploySettings,
) -> tuple[Difference | None, int]:
    """The simulated robot once more, through the same wire, from the recorded requests."""
    from mimic.deploy.guard import Guard
    from mimic.deploy.robot_process import RobotProcessConfig
    from mimic.deploy.simulated import SimulatedRobot
    from mimic.deploy.wire.codecs import codec_of
    from mimic.deploy.wire.link import at_time

    config = RobotProcessConfig.from_json(json.dumps(record.header["robot_process"]))
    simulated = SimulatedRobot(robot, config.settings, config.imperfections, rules=config.rules)
    codec, rows = codec_of(identity), Rows(identity.num_joints)
    guard = Guard(identity, limits, settings.thresholds)
    every, states, released = int(record.header["every"]), 0, False
    see = estimating(str(record.header.get("estimate", "")))
    for step, row in enumerate(record.steps):
        request = rows.to_request(row["request"])
        for tick in range(every):
            told = simulated.read()
            if told is None:
                return None, states
            now = told.tick * 1e-3
            decoded = codec.decode_state(codec.encode_state(told), now, told.odometry)
            state = see(at_time(decoded, now))
            assert state is not None
            if tick == 0:
                mine = np.zeros((), rows.state)
                rows.of_state(state, mine)
                for name in ("tick", "joint_pos", "joint_vel", "imu_quat_w", "pos_w", "lin_vel_b"):
                    differs = _differ(mine[name], row["state"][name])
                    if differs:
                        return Difference(
                            boundary=BOUNDARIES[4], step=step, now=float(row["now"]), what=name,
                            largest=differs,
                        ), states  # fmt: skip
                states += 1
                if request.mode == Mode.TRACK and not released:
                    simulated.release()
                    released = True
            verdict = guard.tick(now, state, request)
            if verdict.command is not None:
                command = codec.decode_command(codec.encode_command(verdict.command))
                simulated.write(command)
            simulated.step()
    return None, states
