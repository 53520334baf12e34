"""States, requests and commands as rows of fixed size: between our processes and in records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mimic.deploy.guard import Request, Verdict
from mimic.deploy.messages import (
    COMMAND_ARRAYS,
    STATE_ARRAYS,
    Odometry,
    RobotCommand,
    RobotState,
    array,
)
from mimic.deploy.modes import Mode

TEXT = 160
"""Bytes of a sentence."""


@dataclass(frozen=True)
class Rows:
    """The layouts of rows for a robot of so many joints."""

    joints: int

    @cached_property
    def state(self) -> np.dtype:
        sizes = {"imu_quat_w": 4, "gyro": 3, "accelerometer": 3}
        return np.dtype(
            [
                ("time", "<f8"), ("tick", "<u4"), ("mode_machine", "u1"), ("remote", "V40"),
                ("located", "u1"), ("pos_w", "<f8", 3), ("lin_vel_b", "<f8", 3),
                *((name, "<f8", sizes.get(name, self.joints)) for name in STATE_ARRAYS),
            ]
        )  # fmt: skip

    @cached_property
    def command(self) -> np.dtype:
        arrays = ((name, "<f8", self.joints) for name in COMMAND_ARRAYS)
        return np.dtype([("mode_machine", "u1"), *arrays])

    @cached_property
    def request(self) -> np.dtype:
        return np.dtype(
            [
                ("number", "<u4"), ("mode", "u1"), ("overruns", "<u2"), ("reset", "u1"),
                ("up_b", "<f8", 3), ("joint_pos", "<f8", self.joints), ("kp", "<f8", self.joints),
                ("kd", "<f8", self.joints), ("reference", "<f8", self.joints), ("stop", f"S{TEXT}"),
            ]
        )  # fmt: skip

    @cached_property
    def report(self) -> np.dtype:
        """What the guard tells: the newest state, and its last command with what that was made
        from: the joints as measured, the command before, the number of the request."""
        return np.dtype(
            [
                ("now", "<f8"), ("ticks", "<u4"), ("rejected", "<u4"), ("request", "<u4"),
                ("has_state", "u1"), ("has_command", "u1"), ("has_before", "u1"),
                ("trip", "S16"), ("told", f"S{TEXT}"), ("tripped_at", "<f8"),
                ("measured", "<f8", self.joints),
                ("state", self.state), ("before", self.command), ("command", self.command),
            ]
        )  # fmt: skip

    # to rows -------------------------------------------------------------------------------

    def of_state(self, state: RobotState, row: Any) -> None:
        """Write a state into a row."""
        row["time"], row["tick"], row["mode_machine"] = state.time, state.tick, state.mode_machine
        row["remote"] = np.void(state.remote)
        row["located"] = state.odometry is not None
        if state.odometry is not None:
            row["pos_w"], row["lin_vel_b"] = state.odometry.pos_w, state.odometry.lin_vel_b
        for name in STATE_ARRAYS:
            row[name] = getattr(state, name)

    def of_command(self, command: RobotCommand, row: Any) -> None:
        """Write a command into a row."""
        row["mode_machine"] = command.mode_machine
        for name in COMMAND_ARRAYS:
            row[name] = getattr(command, name)

    def of_request(self, request: Request, row: Any) -> None:
        """Write a request into a row; a long sentence is cut."""
        for name in ("number", "overruns", "reset", "up_b", "joint_pos", "kp", "kd", "reference"):
            row[name] = getattr(request, name)
        row["mode"] = int(request.mode)
        row["stop"] = _cut(request.stop)

    def request_bytes(self, request: Request) -> bytes:
        row = np.zeros((), self.request)
        self.of_request(request, row)
        return row.tobytes()

    def of_report(
        self,
        row: Any,
        now: float,
        ticks: int,
        rejected: int,
        request: int,
        state: RobotState | None,
        before: RobotCommand | None,
        verdict: Verdict,
        tripped_at: float,
    ) -> None:
        """Write what happened in a tick of the guard into a row."""
        row["now"], row["ticks"], row["rejected"], row["request"] = now, ticks, rejected, request
        row["has_state"], row["has_command"] = state is not None, verdict.command is not None
        row["has_before"] = before is not None
        row["trip"], row["told"] = _cut(verdict.trip, 16), _cut(verdict.told)
        row["tripped_at"] = tripped_at
        if state is not None:
            self.of_state(state, row["state"])
            row["measured"] = state.joint_pos
        if before is not None:
            self.of_command(before, row["before"])
        if verdict.command is not None:
            self.of_command(verdict.command, row["command"])

    # and back ------------------------------------------------------------------------------

    def to_state(self, row: Any) -> RobotState:
        odometry = None
        if row["located"]:
            odometry = Odometry(pos_w=row["pos_w"], lin_vel_b=row["lin_vel_b"])
        return RobotState(
            time=float(row["time"]),
            tick=int(row["tick"]),
            mode_machine=int(row["mode_machine"]),
            remote=row["remote"].tobytes(),
            odometry=odometry,
            **{name: row[name] for name in STATE_ARRAYS},
        )

    def to_command(self, row: Any) -> RobotCommand:
        return RobotCommand(
            mode_machine=int(row["mode_machine"]), **{name: row[name] for name in COMMAND_ARRAYS}
        )

    def to_request(self, row: Any) -> Request:
        arrays = ("up_b", "joint_pos", "kp", "kd", "reference")
        return Request(
            number=int(row["number"]),
            mode=Mode(int(row["mode"])),
            overruns=int(row["overruns"]),
            reset=bool(row["reset"]),
            stop=row["stop"].decode("utf-8", "replace"),
            **{name: array(row[name]) for name in arrays},
        )


def _cut(text: str, size: int = TEXT) -> bytes:
    return text.encode("utf-8")[:size].decode("utf-8", "ignore").encode("utf-8")
