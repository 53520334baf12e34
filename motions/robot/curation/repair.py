"""Repairing what is short: filling, inserting, cutting ends off; nothing is invented for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mimic_base.resample import lerp_frames, slerp_frames
from mimic_base.rotations import quat_exp, quat_log, quat_mul, slerp
from mimic_base.vectors import Array
from motions.robot.curation.faults import Fault, find_faults, folded
from motions.robot.curation.settings import FaultSettings
from motions.robot.formats.trajectory import RobotTrajectory
from robots.robot import Robot

MOST_ROUNDS = 3
"""Filling one fault may uncover the next."""
CLAMPED = 0.10
"""rad beyond a joint's range that is clamped; more is a reason to reject."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """A motion after repair.

    Attributes:
        changed: [T] bool, frames that are no longer the file's.
        first: index in the file of the motion's first frame.
        done: what was repaired, a phrase each or one for many alike. left: faults that could not
            be.
    """

    motion: RobotTrajectory
    changed: Array
    first: int
    done: tuple[str, ...]
    left: tuple[Fault, ...]


def repair(motion: RobotTrajectory, robot: Robot, settings: FaultSettings) -> Repaired:
    """Cut glitched ends off, fill spikes and frozen frames, insert dropped frames, clamp joints.

    A gap is filled only up to `longest_gap`, by cubics that keep the velocities at both ends
    (slerp with a cubic offset for the base's rotation). Jumps in the middle stay and are returned;
    the clip is to be parted there.
    """
    fps = motion.fps
    motion, first, done = _cut_ends(motion, settings)
    changed = np.zeros(motion.num_frames, dtype=bool)
    filled: list[Fault] = []
    for _ in range(MOST_ROUNDS):
        faults = find_faults(motion, settings)
        repaired = []
        for fault in faults:
            gap = _gap(fault, motion, settings)
            if gap is None:
                continue
            motion = fill(motion, *gap, fault.joints)
            changed[gap[0] : gap[1]] = True
            repaired.append(fault)
        filled += repaired
        if not repaired:
            break
    done += folded("filled", filled, fps, first)
    motion, changed, dropped = _insert_dropped(motion, changed, settings)
    done += folded("inserted", dropped, fps, first)
    left = tuple(f for f in find_faults(motion, settings) if f.kind != "dropped")
    motion, clamped = clamp(motion, robot)
    if clamped.any():
        done.append(f"clamped to the joint limits in {_frames(int(clamped.sum()))}")
    return Repaired(
        motion=motion, changed=changed | clamped, first=first, done=tuple(done), left=left
    )


def _insert_dropped(
    motion: RobotTrajectory, changed: Array, settings: FaultSettings
) -> tuple[RobotTrajectory, Array, list[Fault]]:
    """Put missing frames back until none are found; the faults tell the file's own frames."""
    inserted: list[Fault] = []
    for _ in range(MOST_ROUNDS):
        dropped = [f for f in find_faults(motion, settings) if f.kind == "dropped"]
        if not dropped:
            break
        motion, changed = insert(motion, changed, dropped)
        earlier = sorted(inserted, key=lambda f: f.start)
        for fault in dropped:
            here = fault.start
            for other in earlier:
                if other.start < here:
                    here = max(other.start, here - int(other.size))
            inserted.append(replace(fault, start=here, stop=here + 1))
    return motion, changed, inserted


def _gap(fault: Fault, motion: RobotTrajectory, settings: FaultSettings) -> tuple[int, int] | None:
    """Frames (start, stop excluded) to fill for a fault; None when it is not one to fill."""
    start, stop = fault.start, fault.stop
    if fault.kind == "jump":
        if fault.joints is None or fault.size > settings.joint_jump:
            return None
        half = max(1, round(0.5 * settings.joint_spread * motion.fps))
        start, stop = fault.start + 1 - half, fault.start + 1 + half
    elif fault.kind == "dropped" or stop - start > settings.longest_gap * motion.fps:
        return None
    return (start, stop) if start > 0 and stop < motion.num_frames else None


def _cut_ends(
    motion: RobotTrajectory, settings: FaultSettings
) -> tuple[RobotTrajectory, int, list[str]]:
    """Without the frames before a jump near the start, and those after one near the end."""
    edge = settings.edge * motion.fps
    jumps = [
        f
        for f in find_faults(motion, settings)
        if f.kind == "jump" and _gap(f, motion, settings) is None
    ]
    heads = [f for f in jumps if f.start < edge]
    tails = [f for f in jumps if f.start >= motion.num_frames - 1 - edge]
    start = max((f.start + 1 for f in heads), default=0)
    stop = min((f.start + 1 for f in tails), default=motion.num_frames)
    if stop - start < 2:
        return motion, 0, []
    done = []
    if start:
        worst = max(heads, key=lambda f: f.size)
        done.append(f"cut off the first {_frames(start)}: {worst.text(motion.fps)}")
    if stop < motion.num_frames:
        worst = max(tails, key=lambda f: f.size)
        ending = _frames(motion.num_frames - stop)
        done.append(f"cut off the last {ending}: {worst.text(motion.fps)}")
    return motion.with_frames(start, stop), start, done


def _frames(number: int) -> str:
    return "frame" if number == 1 else f"{number} frames"


def fill(
    motion: RobotTrajectory, start: int, stop: int, joints: tuple[int, ...] | None = None
) -> RobotTrajectory:
    """Frames `start` to `stop` (excluded) anew, from the frames on both sides.

    Only the columns `joints` when given, else the base and all joints.

    Cubics through the neighbours with their velocities (central differences where there are two
    good frames on that side); the base's rotation is slerp plus the cubic part of the same
    velocities in the tangent.
    """
    before, after = start - 1, stop
    span = after - before
    u = np.arange(1, span) / span
    has_two = (before > 0, after + 1 < motion.num_frames)

    def velocity(values: Array, side: int) -> Array:
        if side == 0:
            return values[before] - values[before - 1] if has_two[0] else np.zeros_like(values[0])
        return values[after + 1] - values[after] if has_two[1] else np.zeros_like(values[0])

    def cubic(values: Array) -> Array:
        shape = (-1, *([1] * (values.ndim - 1)))
        w = u.reshape(shape)
        chord = values[after] - values[before]
        slope0 = velocity(values, 0) * span if has_two[0] else chord
        slope1 = velocity(values, 1) * span if has_two[1] else chord
        return (
            values[before]
            + chord * (3 * w**2 - 2 * w**3)
            + slope0 * (w**3 - 2 * w**2 + w)
            + slope1 * (w**3 - w**2)
        )

    root_pos, joint_pos, quat = (
        motion.root_pos.copy(), motion.joint_pos.copy(), motion.root_quat.copy()
    )  # fmt: skip
    if joints is not None:
        columns = list(joints)
        joint_pos[start:stop, columns] = cubic(motion.joint_pos[:, columns])
        return replace(motion, joint_pos=joint_pos, bodies=None)
    root_pos[start:stop] = cubic(motion.root_pos)
    joint_pos[start:stop] = cubic(motion.joint_pos)
    quat[start:stop] = _turn_through(motion.root_quat, before, after, u, has_two)
    return replace(motion, root_pos=root_pos, joint_pos=joint_pos, root_quat=quat, bodies=None)


def _turn_through(
    quat: Array, before: int, after: int, u: Array, has_two: tuple[bool, bool]
) -> Array:
    span = after - before

    def between(a: int, b: int) -> Array:
        return quat_log(quat_mul(quat[b], quat[a] * [1, -1, -1, -1]))

    chord = between(before, after)
    slope0 = between(before - 1, before) * span if has_two[0] else chord
    slope1 = between(after, after + 1) * span if has_two[1] else chord
    w = u[:, None]
    bend = (slope0 - chord) * (w**3 - 2 * w**2 + w) + (slope1 - chord) * (w**3 - w**2)
    straight = slerp(
        np.repeat(quat[before][None], len(u), 0), np.repeat(quat[after][None], len(u), 0), u
    )
    return quat_mul(quat_exp(bend), straight)


def insert(
    motion: RobotTrajectory, changed: Array, dropped: Sequence[Fault]
) -> tuple[RobotTrajectory, Array]:
    """The motion with the missing frames of `dropped` put in, in true time; cubics as in `fill`."""
    extra = np.zeros(motion.num_frames, dtype=int)
    for fault in dropped:
        extra[fault.start] = int(fault.size)
    positions = np.concatenate(
        [t + np.arange(extra[t] + 1) / (extra[t] + 1) for t in range(motion.num_frames)]
    )
    new = np.concatenate([np.arange(extra[t] + 1) > 0 for t in range(motion.num_frames)])
    starts = [f.start + 1 + int(extra[: f.start].sum()) for f in dropped]
    motion = replace(
        motion,
        root_pos=lerp_frames(motion.root_pos, positions),
        root_quat=slerp_frames(motion.root_quat, positions),
        joint_pos=lerp_frames(motion.joint_pos, positions),
        contact=None if motion.contact is None else lerp_frames(motion.contact, positions),
        objects=None if motion.objects is None else motion.objects.at(positions),
        bodies=None,
    )
    for start, fault in zip(starts, dropped, strict=True):
        motion = fill(motion, start, start + int(fault.size))
    return motion, new | changed[np.floor(positions).astype(int)]


def clamp(motion: RobotTrajectory, robot: Robot) -> tuple[RobotTrajectory, Array]:
    """Joints at most `CLAMPED` rad out of their range put back; which frames changed, [T]."""
    inside = np.clip(motion.joint_pos, robot.joint_lower, robot.joint_upper)
    excess = np.abs(motion.joint_pos - inside)
    use = (excess > 1e-6) & (excess <= CLAMPED)
    if not use.any():
        return motion, np.zeros(motion.num_frames, dtype=bool)
    joints = np.where(use, inside, motion.joint_pos)
    return replace(motion, joint_pos=joints, bodies=None), np.asarray(use.any(axis=1))
