"""The one limiter that every command to a robot passes.

What leaves it holds, for each joint: every number is finite; ``lower <= q_cmd <= upper``; from one
tick to the next the position moves by at most ``max_step``; ``0 <= kp <= kp_cap`` and
``0 <= kd <= kd_cap``; stiffness and feed-forward torque ask for no more than the motor has, alone
and together: ``kp |q_cmd - q| <= tau_max``, ``|tau_ff| <= tau_max`` and
``|kp (q_cmd - q) + tau_ff| <= tau_max``; the velocity is within the motor's. All of them can hold
at once: position and step meet in an interval that is never empty, since the position before was
within its limits too, and where the torque would still be too large, the stiffness gives way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mimic.deploy.messages import Array, RobotCommand, RobotIdentity, array, damping_command
from mimic_base.errors import RobotError

_WITHIN = 1.0 - 1e-6
"""The torque bound is kept this much inside, for numbers that travel in single precision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CommandLimits:
    """What commands are kept within, [J] each.

    Attributes:
        lower, upper: rad, of positions.
        max_step: rad that a position moves from one tick to the next.
        torque: N m, of stiffness times position error, of feed-forward torque, and of their sum.
        velocity: rad/s, of commanded velocities.
        kp_cap, kd_cap: N m/rad, N m s/rad.
        damping: N m s/rad, the gain of damping commands.
    """

    lower: Array
    upper: Array
    max_step: Array
    torque: Array
    velocity: Array
    kp_cap: Array
    kd_cap: Array
    damping: Array

    def __post_init__(self) -> None:
        for name in ("max_step", "torque", "velocity", "kp_cap", "kd_cap", "damping"):
            values = getattr(self, name)
            if not (np.isfinite(values).all() and np.all(values >= 0)):
                raise RobotError(f"command limits: {name} must be finite and not negative")
        if not np.all(self.lower < self.upper):
            raise RobotError("command limits: lower must be below upper for every joint")
        if not np.all(self.damping <= self.kd_cap):
            raise RobotError("command limits: damping must not exceed kd_cap")


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """Where the limits come from."""

    rate_factor: float = 2.0
    """Fastest position command, in times of the motor's own velocity limit. A policy's targets
    are no trajectory: they run ahead of the joint to make torque, and jump from one control step
    to the next."""
    kp_factor: float = 5.0
    """Largest stiffness, in times of the policy's own: standing wants more than tracking."""
    kd_factor: float = 5.0
    """Largest damping gain, in times of the policy's own."""
    damping_factor: float = 2.0
    """Gain of damping commands, in times of the policy's own damping."""


def limits_of(
    identity: RobotIdentity, kp: Array, kd: Array, tick: float, settings: LimitSettings
) -> CommandLimits:
    """The limits of a robot whose policy has the gains ``kp``, ``kd`` [J]; ``tick`` in s."""
    return CommandLimits(
        lower=array(identity.joint_lower),
        upper=array(identity.joint_upper),
        max_step=settings.rate_factor * tick * array(identity.velocity_limit),
        torque=array(identity.effort_limit),
        velocity=array(identity.velocity_limit),
        kp_cap=settings.kp_factor * kp,
        kd_cap=settings.kd_factor * kd,
        damping=settings.damping_factor * kd,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Limited:
    """A command that keeps the limits, and what it took.

    Attributes:
        command: what may be sent.
        finite: whether the wanted command and the measured positions were; where not, the command
            is damping.
        changed: [J] whether a joint's position, gains or torque are not the wanted ones.
    """

    command: RobotCommand
    finite: bool
    changed: Array


def limit_command(
    wanted: RobotCommand, measured: Array, before: RobotCommand | None, limits: CommandLimits
) -> Limited:
    """The nearest command that keeps the limits.

    Args:
        wanted: what is asked for.
        measured: [J] rad, where the joints are.
        before: the command of the tick before, which has passed this limiter; None for the first.

    A joint that had no stiffness before starts from where it is measured.
    """
    ask, parts = array(wanted.joint_pos), (wanted.joint_vel, wanted.torque, wanted.kp, wanted.kd)
    finite = bool(
        np.isfinite(ask).all()
        and np.isfinite(measured).all()
        and all(np.isfinite(part).all() for part in parts)
    )
    if not finite:
        where = measured if before is None else array(before.joint_pos)
        damping = damping_command(
            np.clip(np.nan_to_num(where), limits.lower, limits.upper),
            limits.damping,
            wanted.mode_machine,
        )
        return Limited(command=damping, finite=False, changed=np.ones(len(measured), bool))
    kp = _clip(wanted.kp, 0.0, limits.kp_cap)
    kd = _clip(wanted.kd, 0.0, limits.kd_cap)
    start = measured
    if before is not None:
        start = np.where(array(before.kp) > 0, before.joint_pos, measured)
    start = _clip(start, limits.lower, limits.upper)
    torque = _clip(wanted.torque, -limits.torque, limits.torque)
    # What is left to the stiffness on top of the feed-forward torque, upwards and downwards; the
    # positions that make so much of it lie that far from where the joint is.
    most = _WITHIN * limits.torque
    up, down = _clip(most - torque, 0.0, most), _clip(most + torque, 0.0, most)
    soft = np.maximum(kp, 1e-12)
    pos = _clip(ask, measured - down / soft, measured + up / soft)
    pos = _clip(pos, start - limits.max_step, start + limits.max_step)
    pos = _clip(pos, limits.lower, limits.upper)
    error, room = np.abs(pos - measured), np.where(pos > measured, up, down)
    kp = np.where(kp * error > room, room / np.maximum(error, 1e-12), kp)
    command = RobotCommand(
        joint_pos=pos,
        joint_vel=_clip(wanted.joint_vel, -limits.velocity, limits.velocity),
        torque=torque,
        kp=kp,
        kd=kd,
        mode_machine=wanted.mode_machine,
    )
    changed = (pos != ask) | (kp != wanted.kp) | (kd != wanted.kd) | (torque != wanted.torque)
    return Limited(command=command, finite=True, changed=changed)


def _clip(values: Any, low: Any, high: Any) -> Array:
    """`np.clip` of finite numbers, without what makes it slow for short arrays."""
    return np.minimum(np.maximum(values, low), high)
