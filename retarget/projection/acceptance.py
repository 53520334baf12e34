"""When a changed motion counts as better: bounds of the changes, and of what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic_base.errors import InputError
from mimic_base.vectors import Array
from retarget.choices import Means

if TYPE_CHECKING:
    from motions import RobotMotion
    from motions.robot.dynamics.feasibility import DynamicsSettings, Feasibility
    from robots.robot import Robot

STANDS = 0.9
"""Confidence of a contact above which the foot should not slip."""


@dataclass(frozen=True)
class ProjectionSettings:
    """Bounds of the changes, and of what they may cost in quality."""

    max_shift: float = 0.05
    """m by which the base may leave its path."""
    max_slow_down: float = 1.3
    """Factor by which any part may take longer."""
    max_joint_change: float = 0.5
    """rad by which a leg joint may leave its angle at the same moment of the motion."""
    means: Means = "both"
    """Move the base, slow down, or both."""
    rounds: int = 3
    """Most times that either is planned, each time on what the one before has left."""
    gain: float = 0.02
    """Least share by which a step must lower the violation."""
    torque: float = 0.3
    """By which the largest joint torque over its limit may grow beyond one, or beyond what it was.
    Before, contacts that cannot be may have stood in for motors."""
    skate: float = 0.005
    """m/s by which the mean skate may grow."""
    penetration: float = 0.002
    """m by which the deepest point may sink further below the ground."""
    rate: float = 0.002
    """By which the shares of frames or samples in self-collision, 1 cm under the ground, beyond a
    joint's range and beyond its speed may grow."""

    def check(self) -> None:
        """Raises `InputError` for bounds that are none."""
        for name, value, least in (
            ("max_shift", self.max_shift, 0.0),
            ("max_joint_change", self.max_joint_change, 0.0),
            ("max_slow_down", self.max_slow_down, 1.0),
        ):
            if not (np.isfinite(value) and value > least):
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} must be above {least:g} (found {value:g})")


@dataclass(frozen=True)
class State:
    """A motion with its feasibility and its quality figures."""

    motion: RobotMotion
    dynamics: Feasibility
    quality: Mapping[str, Any]
    violation: float

    @classmethod
    def of(cls, motion: RobotMotion, robot: Robot, settings: DynamicsSettings) -> State:
        from motions.robot.dynamics.feasibility import check_dynamics
        from motions.robot.quality.metrics import measure

        dynamics = check_dynamics(motion, robot, settings)
        contact = motion.contact > STANDS if motion.contact.any() else None
        quality = measure(
            robot, motion.fps, motion.root_pos, motion.root_quat, motion.joint_pos, contact=contact
        )
        mean = float(violation(dynamics, motion, robot).mean())
        return cls(motion, dynamics, quality, mean)


def violation(dynamics: Feasibility, motion: RobotMotion, robot: Robot) -> Array:
    """How far each frame is from feasible, [T], in shares of the weight: the missing force, three
    times the missing torque per metre, and what torques and joint speeds exceed their limits by."""
    speed = (np.abs(motion.joint_vel) / robot.velocity_limit).max(axis=1)
    over = np.maximum(dynamics.torque - 1.0, 0.0) + np.maximum(speed - 1.0, 0.0)
    return dynamics.residual + 3.0 * dynamics.moment + over


def no_gain(last: State, new: State, s: ProjectionSettings) -> str:
    """Why `new` is no step forward from `last`; nothing if it is."""
    if new.violation > (1.0 - s.gain) * last.violation:
        return f"the violation would go from {last.violation:.4f} to {new.violation:.4f}"
    old, now = (float(state.dynamics.feasible.mean()) for state in (last, new))
    if now < old:
        return f"feasible frames would go from {old:.1%} to {now:.1%}"
    return ""


def no_quality(new: State, start: State, s: ProjectionSettings) -> str:
    """Which figure of `new` is worse than that of `start` by more than is allowed, or nothing."""
    stands = "source_contact" if "source_contact" in start.quality else "foot"
    old, now = (max(1.0, float(state.dynamics.torque.max())) for state in (start, new))
    if now > old + s.torque:
        return f"the largest torque would go from {old:.2f} to {now:.2f} of its limit"
    for name, keys, allowed, scale, unit in (
        ("skate", (stands, "skate_mean_mps"), s.skate, 100.0, "cm/s"),
        ("depth under the ground", ("any_geom_ground_pen", "max_m"), s.penetration, 1000.0, "mm"),
        ("frames 1 cm under the ground", ("any_geom_ground_pen", "rate_1cm"), s.rate, 100.0, "%"),
        ("frames in self-collision", ("self_collision", "rate_deep"), s.rate, 100.0, "%"),
        ("samples beyond a joint's range", ("joint_limit", "sample_rate"), s.rate, 100.0, "%"),
        ("samples beyond a joint's speed", ("velocity", "over_own_limit_rate"), s.rate, 100.0, "%"),
        ("jumps of a joint", ("jumps", "count"), 0.0, 1.0, ""),
    ):
        old, now = (state.quality[keys[0]].get(keys[1]) or 0.0 for state in (start, new))
        if now > old + allowed + 1e-12:
            text = f"{name} would grow from {scale * old:.2f} to {scale * now:.2f} {unit}"
            return f"{text.rstrip()} (at most {scale * allowed:g} more)"
    return ""
