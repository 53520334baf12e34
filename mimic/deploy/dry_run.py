"""A dry run: what would be sent to a robot, told in words, and none of it sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mimic.deploy.messages import Array, RobotIdentity, array

EVERY = 0.5
"""s between two lines."""


class DryRun:
    """Looks at what the guard would send.

    Attributes:
        commands: how many control steps had a command.
        farthest: rad between a position command and its joint, at most, and the joint.
        hardest: share of a motor's torque that was asked for, at most, and the joint.
    """

    def __init__(self, identity: RobotIdentity, say: Callable[[str], object] = print) -> None:
        self._identity, self._say = identity, say
        self.commands = 0
        self.farthest: tuple[float, str] = (0.0, "")
        self.hardest: tuple[float, str] = (0.0, "")
        self._told: float | None = None

    def __call__(self, report: Any, mode: str) -> None:
        """Take a report of the guard (`mimic.deploy.packing.Rows.report`).

        Args:
            mode: what is being done, for the line.
        """
        if not (report["has_command"] and report["has_state"]):
            return
        names, command = self._identity.joint_names, report["command"]
        self.commands += 1
        off = np.where(command["kp"] > 0, np.abs(command["joint_pos"] - report["measured"]), 0.0)
        share = np.abs(torque_of(command, report)) / array(self._identity.effort_limit)
        far, hard = int(np.argmax(off)), int(np.argmax(share))
        self.farthest = max(self.farthest, (float(off[far]), names[far]))
        self.hardest = max(self.hardest, (float(share[hard]), names[hard]))
        now = float(report["now"])
        if self._told is None or now - self._told >= EVERY:
            self._told = now
            self._say(
                f"  would send ({mode}): {off[far]:.2f} rad from {names[far]}, "
                f"{100 * share[hard]:.0f} % of the torque of {names[hard]}, kp up to "
                f"{command['kp'].max():.0f}, kd up to {command['kd'].max():.1f}"
            )

    def line(self) -> str:
        """All of it in a sentence."""
        if not self.commands:
            return "dry run: no command was computed, none was sent"
        return (
            f"dry run: commands of {self.commands} control steps, none of them sent; at most "
            f"{self.farthest[0]:.2f} rad from {self.farthest[1]} and {100 * self.hardest[0]:.0f} % "
            f"of the torque of {self.hardest[1]}"
        )


def torque_of(command: Any, report: Any) -> Array:
    """N m [J] that the motors would make: kp (q_cmd - q) + kd (dq_cmd - dq) + tau."""
    state = report["state"]
    return (
        command["kp"] * (command["joint_pos"] - state["joint_pos"])
        + command["kd"] * (command["joint_vel"] - state["joint_vel"])
        + command["torque"]
    )
