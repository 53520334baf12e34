"""A velocity from the sticks of the wireless remote.

The remote's bytes are part of every state that the robot tells, and of its record, so that a
session in which somebody steered is played again bit by bit. Where no states come, the guard damps;
a stick that is let go asks for nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimic.deploy.messages import RobotState
from mimic.policy.player import PolicyPlayer
from mimic_base.errors import MimicError

PLACES = {"lx": 4, "rx": 8, "ry": 12, "ly": 20}
"""Of a stick's two directions in the remote's 40 bytes, floats from -1 to 1, little endian: to the
right and to the front."""
VELOCITY_TERMS = ("velocity_command", "velocity_commands")
"""Observations of the velocity that is asked for."""
DEAD_ZONE = 0.08
"""What a stick shows at rest at most; beyond it the velocity begins at zero."""


def sticks(remote: bytes) -> dict[str, float]:
    """The sticks of the remote's 40 bytes, each in [-1, 1]; what is not finite is at rest."""
    found = {}
    for name, place in PLACES.items():
        (value,) = struct.unpack_from("<f", remote, place)
        value = float(np.clip(value, -1.0, 1.0)) if np.isfinite(value) else 0.0
        over = max(0.0, abs(value) - DEAD_ZONE) / (1.0 - DEAD_ZONE)
        found[name] = float(np.copysign(over, value))
    return found


def stick_bytes(remote: bytes, **values: float) -> bytes:
    """The remote's 40 bytes with sticks (``lx``, ``rx``, ``ry``, ``ly``) pushed this far."""
    changed = bytearray(remote)
    for name, value in values.items():
        struct.pack_into("<f", changed, PLACES[name], value)
    return bytes(changed)


@dataclass(frozen=True)
class Steering:
    """What the sticks ask a policy for.

    The left one goes forwards and to the sides, the right one turns, as with the robot's own
    controller. Off the sticks the policy is asked for ``rest``.

    Attributes:
        most: forwards, to the left (m/s), turning (rad/s) at full deflection.
        rest: the same with the sticks at rest.
    """

    most: tuple[float, float, float]
    rest: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("most", "rest"):
            values = getattr(self, name)
            if not np.isfinite(values).all():
                raise MimicError(f"a velocity must be three finite numbers (found {values})")
        if min(self.most) < 0:
            raise MimicError(
                f"--stick: velocities at full deflection, none negative (found {self.most})"
            )

    def velocity(self, remote: bytes) -> tuple[float, float, float]:
        """Forwards, to the left (m/s), turning (rad/s) that the remote's bytes ask for."""
        at = sticks(remote)
        pushed = (at["ly"], -at["lx"], -at["rx"])
        forwards, left, turning = (
            rest + share * most
            for rest, share, most in zip(self.rest, pushed, self.most, strict=True)
        )
        return forwards, left, turning

    def __call__(self, player: PolicyPlayer, state: RobotState) -> None:
        """Ask a policy for it."""
        taking: Any = player
        taking.velocity = self.velocity(state.remote)


def takes_velocity(player: PolicyPlayer) -> bool:
    """Whether a policy can be asked for a velocity."""
    names = {entry.name for entry in player.contract.observations}
    return hasattr(player, "velocity") and not names.isdisjoint(VELOCITY_TERMS)


def steering_of(
    player: PolicyPlayer, stick: Sequence[float], velocity: Sequence[float]
) -> Steering | None:
    """The steering of a policy; None where the sticks ask for nothing.

    Raises:
        MimicError: a velocity is asked for, of a policy that takes none.
    """
    for name, asked in (("stick", stick), ("velocity", velocity)):
        if any(asked) and not takes_velocity(player):
            raise MimicError(
                f"--{name}: {player.path} observes no velocity that it could be asked for; leave "
                "it out"
            )
    if not any(stick):
        return None
    return Steering(_three(stick), _three(velocity))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    forwards, left, turning = (float(value) for value in values)
    return forwards, left, turning
