"""Projecting a reference onto what the robot could do, under bounded changes.

First the base moves sideways so that the zero-moment point comes into the support polygon, the
feet pinned (`shift`, `pinned`); then what is still too fast slows down (`warp`). A step counts only
if the violation falls and the quality figures stay within bounds; else the motion is given back as
it was, with a line that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from motions import RobotMotion
from motions.errors import InputError
from retarget.dynamics.feasibility import DynamicsSettings, Feasibility, check_dynamics
from retarget.dynamics.loads import measure_loads
from retarget.dynamics.pinned import PinnedFeet
from retarget.dynamics.shift import plan_shift
from retarget.dynamics.warp import frame_positions, plan_warp, rebuilt, warped
from retarget.metrics import measure
from retarget.vectors import Array
from robots.robot import Robot

SHARES = (1.0, 0.5, 0.25)
"""Of a planned shift, tried in turn where the quality does not allow the whole of it."""
STANDS = 0.9
"""Confidence of a contact above which the foot should not slip."""
Means = Literal["both", "shift", "warp"]


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
    """Most times that the shift is planned again on what the one before has left."""
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
        dynamics = check_dynamics(motion, robot, settings)
        contact = motion.contact > STANDS if motion.contact.any() else None
        quality = measure(
            robot, motion.fps, motion.root_pos, motion.root_quat, motion.joint_pos, contact=contact
        )
        mean = float(violation(dynamics, motion, robot).mean())
        return cls(motion, dynamics, quality, mean)


@dataclass(frozen=True)
class Projection:
    """What came out.

    Attributes:
        before, after: the same object when nothing was changed.
        shift: [T] m, distance of the base from its path, at the frames of the original.
        joint_change: rad, largest of any joint at the same moment.
        positions: [T'] where the frames of the result lie in the original, in frames.
        notes: what was done or refused, one line each.
    """

    before: State
    after: State
    shift: Array
    joint_change: float
    positions: Array
    notes: tuple[str, ...] = field(default=())

    @property
    def motion(self) -> RobotMotion:
        return self.after.motion

    @property
    def changed(self) -> bool:
        return self.after is not self.before


def violation(dynamics: Feasibility, motion: RobotMotion, robot: Robot) -> Array:
    """How far each frame is from feasible, [T], in shares of the weight: the missing force, three
    times the missing torque per metre, and what torques and joint speeds exceed their limits by."""
    speed = (np.abs(motion.joint_vel) / robot.velocity_limit).max(axis=1)
    over = np.maximum(dynamics.torque - 1.0, 0.0) + np.maximum(speed - 1.0, 0.0)
    return dynamics.residual + 3.0 * dynamics.moment + over


def project(
    motion: RobotMotion,
    robot: Robot,
    settings: ProjectionSettings | None = None,
    dynamics: DynamicsSettings | None = None,
    say: Callable[[str], None] | None = None,
) -> Projection:
    """Change a motion, within bounds, so that fewer of its frames ask for the impossible.

    Args:
        say: called with a line at every step.

    A motion whose frames are all feasible comes back as it is, the same object.

    Raises:
        InputError: bounds that are none, less than four frames, joints that are not the robot's.
    """
    s, d = settings or ProjectionSettings(), dynamics or DynamicsSettings()
    s.check()
    ordered = motion.with_joint_order(robot.joint_names)
    before = State.of(ordered, robot, d)
    before = replace(before, motion=motion)
    frames = np.arange(motion.num_frames, dtype=float)
    nothing = Projection(before, before, np.zeros(len(frames)), 0.0, frames)
    if not _bad(before.dynamics, ordered, robot).any():
        return replace(nothing, notes=("every frame is feasible: nothing to change",))
    now, notes = replace(before, motion=ordered), []
    if s.means != "warp":
        now = _shift(now, robot, s, d, notes, say)
    change = now.motion.joint_pos - ordered.joint_pos
    moved = np.linalg.norm(now.motion.root_pos - ordered.root_pos, axis=1)
    positions = frames
    if s.means != "shift":
        now, positions = _warp(now, robot, s, d, notes, say)
    if now.motion is ordered:
        return replace(nothing, notes=tuple(notes))
    result = Projection(before, now, moved, float(np.abs(change).max()), positions, tuple(notes))
    figures = {**now.quality, "projection": summary(result)}
    return replace(result, after=replace(now, motion=replace(now.motion, quality=figures)))


def summary(result: Projection) -> dict[str, Any]:
    """Plain figures of the change, for the motion's `quality`."""
    before, after = result.before, result.after
    return {
        "feasible_rate": [float(x.dynamics.feasible.mean()) for x in (before, after)],
        "violation": [before.violation, after.violation],
        "largest_shift_m": float(result.shift.max()),
        "largest_joint_change_rad": result.joint_change,
        "seconds": [before.motion.duration, after.motion.duration],
    }


def _bad(dynamics: Feasibility, motion: RobotMotion, robot: Robot) -> Array:
    """[T] bool: frames to be helped, those that are not feasible or too fast."""
    fast = (np.abs(motion.joint_vel) > robot.velocity_limit).any(axis=1)
    return np.asarray(~dynamics.feasible | fast)


def _shift(
    start: State,
    robot: Robot,
    s: ProjectionSettings,
    d: DynamicsSettings,
    notes: list[str],
    say: Callable[[str], None] | None,
) -> State:
    """The best of a few rounds, each of which plans on the motion that the last one has left."""
    feet = PinnedFeet(start.motion, robot)
    shift = np.zeros((start.motion.num_frames, 2))
    best, refused = start, ""
    for k in range(s.rounds):
        bad = _bad(best.dynamics, best.motion, robot)
        loads = measure_loads(best.motion, robot, d)
        planned = plan_shift(loads, bad, shift, s.max_shift, d.friction)
        if planned is None:
            break
        for share in SHARES:
            part = shift + share * (planned - shift)
            qpos = feet.moved(part, s.max_shift, s.max_joint_change)
            parts = qpos[:, :3], qpos[:, 3:7], qpos[:, 7:]
            moved = rebuilt(start.motion, robot, *parts, start.motion.contact)
            new = State.of(moved, robot, d)
            worse, why = _no_gain(best, new, s), _no_quality(new, start, s)
            if say is not None:
                text = f"shift {k + 1}, {share:.0%} of it: violation {new.violation:.4f}"
                say(f"{text}, {worse or why or 'better'}")
            if worse or not why:
                break
        refused = refused or worse or why
        if worse or why:
            break
        best, shift = new, part
    if best is start:
        notes.append(f"the base stays on its path: {refused or 'no shift helps'}")
    return best


def _warp(
    start: State,
    robot: Robot,
    s: ProjectionSettings,
    d: DynamicsSettings,
    notes: list[str],
    say: Callable[[str], None] | None,
) -> tuple[State, Array]:
    """The motion slowed down where that helps, and where its frames lie in the one before."""
    motion = start.motion
    unchanged = np.arange(motion.num_frames, dtype=float)
    bad = _bad(start.dynamics, motion, robot)
    if not bad.any():
        return start, unchanged
    loads = measure_loads(motion, robot, d)
    slowness = plan_warp(motion, robot, loads, bad, s.max_slow_down, d)
    positions = unchanged if slowness is None else frame_positions(slowness, s.max_slow_down)
    if len(positions) == len(unchanged):
        notes.append("the timing stays: slowing down does not help")
        return start, unchanged
    slower = State.of(warped(motion, robot, positions), robot, d)
    why = _no_gain(start, slower, s) or _no_quality(slower, start, s)
    if say is not None:
        say(f"slower by {len(positions) - len(unchanged)} frames: violation "
            f"{slower.violation:.4f}, {why or 'better'}")  # fmt: skip
    if why:
        notes.append(f"the timing stays: {why}")
        return start, unchanged
    return slower, positions


def _no_gain(last: State, new: State, s: ProjectionSettings) -> str:
    """Why `new` is no step forward from `last`; nothing if it is."""
    if new.violation > (1.0 - s.gain) * last.violation:
        return f"the violation would go from {last.violation:.4f} to {new.violation:.4f}"
    old, now = (float(state.dynamics.feasible.mean()) for state in (last, new))
    if now < old:
        return f"feasible frames would go from {old:.1%} to {now:.1%}"
    return ""


def _no_quality(new: State, start: State, s: ProjectionSettings) -> str:
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
