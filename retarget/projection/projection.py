"""Projecting a reference onto what the robot could do, under bounded changes.

First the base moves sideways so that the zero-moment point comes into the support polygon, the
feet pinned (`shift`, `pinned`); then what is still too fast slows down (`warp`). A step counts only
if the violation falls and the quality figures stay within bounds; else the motion is given back as
it was, with a line that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.vectors import Array
from motions import RobotMotion
from motions.robot.dynamics.feasibility import DynamicsSettings, Feasibility
from motions.robot.terrain import ground_of
from retarget.projection.acceptance import (
    ProjectionSettings,
    State,
    no_gain,
    no_quality,
)
from retarget.projection.loads import measure_loads
from retarget.projection.pinned import PinnedFeet
from retarget.projection.shift import plan_shift
from retarget.projection.warp import frame_positions, plan_warp, rebuilt, warped
from robots.robot import Robot

SHARES = (1.0, 0.5, 0.25)
"""Shares of a planned shift, tried in turn where the quality does not allow the whole of it."""


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
        InputError: bounds that are none, terrain, less than four frames, joints that are not the
            robot's.
    """
    s, d = settings or ProjectionSettings(), dynamics or DynamicsSettings()
    s.check()
    if not ground_of(motion.scene).is_flat:
        raise input_error(
            motion.name, "projection knows the level floor only",
            found=f"terrain of type {motion.scene['terrain']['type']}",
        )  # fmt: skip
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
            moved = rebuilt(start.motion, robot, *parts, start.motion.contact, start.motion.objects)
            new = State.of(moved, robot, d)
            worse, why = no_gain(best, new, s), no_quality(new, start, s)
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
    """The motion slowed down where that helps, and where its frames lie in the one before.

    Planned again on what comes out, within what the bound has left: differences of a slower motion
    lose less to the check's filter, so that the first plan may fall a little short.
    """
    best, refused = start, ""
    positions = np.arange(start.motion.num_frames, dtype=float)
    for k in range(s.rounds):
        bad = _bad(best.dynamics, best.motion, robot)
        steps = np.diff(positions)
        # The slower of the two steps beside a frame, times the bound: exactly what is left of it.
        most = s.max_slow_down * np.minimum(np.append(steps, 1.0), np.insert(steps, 0, 1.0))
        most = np.maximum(most, 1.0)
        loads = measure_loads(best.motion, robot, d)
        slowness = plan_warp(best.motion, robot, loads, bad, most, d)
        if slowness is None:
            break
        at = frame_positions(slowness, most)
        if len(at) == len(positions):
            break
        at = np.interp(at, np.arange(len(positions)), positions)
        slower = State.of(warped(start.motion, robot, at), robot, d)
        why = no_gain(best, slower, s) or no_quality(slower, start, s)
        if say is not None:
            text = f"slower {k + 1}, by {len(at) - len(positions)} frames: violation"
            say(f"{text} {slower.violation:.4f}, {why or 'better'}")
        refused = refused or why
        if why:
            break
        best, positions = slower, at
    if best is start and _bad(start.dynamics, start.motion, robot).any():
        notes.append(f"the timing stays: {refused or 'slowing down does not help'}")
    return best, positions
