"""The robot's own eye on what it is told: counts commands that are outside the limits.

This is the judge of the limiter and shares nothing with it: it sits behind the wire, knows the
robot's own numbers, and sees commands as they arrive, in single precision, late or twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mimic.deploy.messages import Array, RobotCommand, array

_MEMORIES = 1024
"""States that are remembered at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InspectionLimits:
    """What a command may ask of the robot, [J] each.

    Attributes:
        lower, upper: rad. rate: rad/s, of position commands. torque: N m.
        velocity: rad/s. kp_cap, kd_cap: N m/rad, N m s/rad.
        memory: s for which a position of the robot may have been on its way to the sender and
            back.
    """

    lower: Array
    upper: Array
    rate: Array
    torque: Array
    velocity: Array
    kp_cap: Array
    kd_cap: Array
    memory: float = 0.25


class CommandInspector:
    """Counts commands and what is wrong with them, at the robot's input.

    Attributes:
        seen: commands that came. unsafe: those of them that broke a rule.
        reasons: how often each rule was broken, by the rule's name.
        first: what the first unsafe command was, in words; empty while there is none.
    """

    def __init__(self, limits: InspectionLimits) -> None:
        self.limits = limits
        self.seen = 0
        self.unsafe = 0
        self.reasons: Counter[str] = Counter()
        self.first = ""
        self._times = np.full(_MEMORIES, -np.inf)
        self._positions = np.zeros((_MEMORIES, len(limits.lower)))
        self._told = 0
        self._before: tuple[Array, Array, float] | None = None

    def measured(self, time: float, joint_pos: Array) -> None:
        """The robot's joints ``joint_pos`` [J] rad at ``time`` s, as it has told them."""
        at = self._told % _MEMORIES
        self._times[at], self._positions[at] = time, joint_pos
        self._told += 1

    def inspect(self, command: RobotCommand, sent: float) -> bool:
        """Count a command; whether it is safe.

        Args:
            sent: s, when it was sent on the sender's clock, by the message's own number: packets
                that were held up arrive together, and are judged by their distance then.
        """
        self.seen += 1
        broken = self._broken(command, sent)
        if broken:
            self.unsafe += 1
            self.reasons.update(broken)
            self.first = self.first or f"{', '.join(broken)} at {sent:.3f} s"
        if all(rule != "finite" for rule in broken):
            self._before = (array(command.joint_pos), array(command.kp), sent)
        return not broken

    def _broken(self, command: RobotCommand, sent: float) -> list[str]:
        bounds, rules = self.limits, []
        pos, kp, kd = array(command.joint_pos), array(command.kp), array(command.kd)
        velocity, torque = array(command.joint_vel), array(command.torque)
        numbers = np.concatenate([pos, kp, kd, velocity, torque])
        if not np.isfinite(numbers).all():
            return ["finite"]
        stiff = kp > 0
        slack = 1e-5
        if np.any(stiff & ((pos < bounds.lower - slack) | (pos > bounds.upper + slack))):
            rules.append("position")
        if np.any(kp < 0) or np.any(kp > bounds.kp_cap * (1 + slack)):
            rules.append("kp")
        if np.any(kd < 0) or np.any(kd > bounds.kd_cap * (1 + slack)):
            rules.append("kd")
        if np.any(np.abs(velocity) > bounds.velocity * (1 + slack)):
            rules.append("velocity")
        if np.any(np.abs(torque) > bounds.torque * (1 + slack)):
            rules.append("torque")
        if self._told:
            rules += self._too_much(pos, kp, torque)
        if self._before is not None:
            last, last_kp, at = self._before
            allowed = bounds.rate * max(sent - at, 0.0) + 1e-4
            if np.any(stiff & (last_kp > 0) & (np.abs(pos - last) > allowed)):
                rules.append("rate")
        return rules

    def _too_much(self, pos: Array, kp: Array, torque: Array) -> list[str]:
        """Rules that the torque breaks: the sender saw one of the states that were told lately,
        and for each joint the most favourable of them counts."""
        bounds = self.limits
        most = bounds.torque * (1 + 1e-4) + 1e-5
        newest = (self._told - 1) % _MEMORIES
        stiffness = kp * (pos - self._positions[newest])
        if np.all(np.abs(stiffness) <= most) and np.all(np.abs(stiffness + torque) <= most):
            return []
        known = self._positions[self._times >= self._times[newest] - bounds.memory - 1e-9]
        stiffness = kp * (pos - known)
        alone = np.abs(stiffness).min(axis=0) > most
        # With the feed-forward torque, where neither of them is too much alone.
        both = np.abs(stiffness + torque).min(axis=0) > most
        both &= ~alone & (np.abs(torque) <= bounds.torque)
        return ["stiffness"] * bool(alone.any()) + ["together"] * bool(both.any())
