"""Faults of a recording, frame by frame: jumps, spikes, frozen and dropped frames.

A step is the change from a frame to the next, per group of coordinates: metres of the base's path,
radians of its rotation, radians of each joint. A *jump* is a step that is large and isolated: real
limbs gather speed over several frames. A jump away and back within a short time is a *spike*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mimic_base.rotations import quat_conj, quat_log, quat_mul
from mimic_base.vectors import Array
from motions.robot.curation.drops import dropped_frames
from motions.robot.curation.settings import FaultSettings
from motions.robot.formats.trajectory import RobotTrajectory

LONGEST_RUN = (5, 2)
"""Large steps in a row that still count as isolated: of the base, of a joint."""

MOST_LINES = 4
"""Faults of one kind that are told one by one."""

Kind = Literal["jump", "spike", "frozen", "dropped"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in frames `start` to `stop` (excluded).

    Attributes:
        size: of a jump or spike its largest step in the unit of `where`; of dropped frames their
            number; of frozen frames their number.
        where: "base" (m), "turn" (rad) or a joint's name (rad).
    A jump lies between frames `start` and `start + 1`; a spike's frames are the bad ones; frozen
    frames repeat the one before `start`; dropped frames are missing after frame `start`.
    """

    kind: Kind
    start: int
    stop: int
    size: float
    where: str
    joints: tuple[int, ...] | None = None
    """Columns of the joints concerned when the base is not; None: everything."""

    def text(self, fps: float, first: int = 0) -> str:
        """One phrase about it; `first` is the file's frame that is the motion's first."""
        unit = "m" if self.where == "base" else "rad"
        plural = "" if self.size == 1 else "s"
        what = {
            "jump": f"jump of {self.size:.2f} {unit} ({self.where})",
            "spike": f"spike of {self.size:.2f} {unit} ({self.where})",
            "frozen": f"{self.size:.0f} frozen frame{plural}",
            "dropped": f"{self.size:.0f} dropped frame{plural}",
        }[self.kind]
        return f"{what} at {(self.start + first) / fps:.2f} s"


def folded(verb: str, faults: Sequence[Fault], fps: float, first: int) -> list[str]:
    """A phrase for each fault, or one for all of a kind when there are more than `MOST_LINES`."""
    lines = []
    for kind in dict.fromkeys(fault.kind for fault in faults):
        alike = sorted((f for f in faults if f.kind == kind), key=lambda fault: fault.start)
        if len(alike) <= MOST_LINES:
            lines += [f"{verb}: {fault.text(fps, first)}" for fault in alike]
            continue
        since, until = ((f.start + first) / fps for f in (alike[0], alike[-1]))
        worst = max(alike, key=lambda fault: fault.size)
        if kind in ("jump", "spike"):
            what = f"{len(alike)} {kind}s"
        else:
            what = f"{sum(f.size for f in alike):.0f} {kind} frames at {len(alike)} places"
        largest = f", the largest {worst.text(fps, first)}" if worst.size != 1 else ""
        lines.append(f"{verb}: {what} from {since:.2f} to {until:.2f} s{largest}")
    return lines


def steps(motion: RobotTrajectory) -> Array:
    """Size of every step [T - 1, 2 + J]: base in m, its rotation in rad, joints in rad."""
    turn = quat_log(quat_mul(motion.root_quat[1:], quat_conj(motion.root_quat[:-1])))
    return np.concatenate(
        [
            np.linalg.norm(np.diff(motion.root_pos, axis=0), axis=1)[:, None],
            np.linalg.norm(turn, axis=1)[:, None],
            np.abs(np.diff(motion.joint_pos, axis=0)),
        ],
        axis=1,
    )


def find_faults(motion: RobotTrajectory, settings: FaultSettings) -> list[Fault]:
    """All faults of a motion in the order of time."""
    size = steps(motion)
    others = _jumps_and_spikes(motion, size, settings) + _frozen(motion, size, settings)
    dropped = _dropped(motion, settings, others)
    gaps = {fault.start for fault in dropped}
    # Missing frames of a run are a large step as well, but one that has an explanation.
    found = dropped + [f for f in others if f.kind != "jump" or f.start not in gaps]
    return sorted(found, key=lambda fault: (fault.start, fault.stop))


def _floors(motion: RobotTrajectory, settings: FaultSettings) -> Array:
    joints = [settings.joint_step] * len(motion.joint_names)
    return np.array([settings.root_step, settings.turn_step, *joints])


def isolated(size: Array, floors: Array, ratio: float) -> Array:
    """Which steps [T - 1, C] belong to a short run of large steps with calm around it.

    A joint may move fast for three frames; the base of a robot cannot for five, so its runs may be
    longer.
    """
    frames = len(size)
    large = size > floors
    result = np.zeros_like(large)
    for t in np.flatnonzero(large.any(axis=1)):
        for length in range(1, LONGEST_RUN[0] + 1):
            if t + length > frames:
                break
            around = [size[i] for i in (t - 1, t + length) if 0 <= i < frames]
            if not around:
                break
            run = size[t : t + length]
            hit = (run > floors).all(axis=0) & (run.min(axis=0) > ratio * np.max(around, axis=0))
            if length > LONGEST_RUN[1]:
                hit[2:] = False
            result[t : t + length] |= hit
    return result


def _jumps_and_spikes(motion: RobotTrajectory, size: Array, settings: FaultSettings) -> list[Fault]:
    floors = _floors(motion, settings)
    bad = isolated(size, floors, settings.isolation)
    where = ("base", "turn", *motion.joint_names)
    longest = settings.longest_gap * motion.fps
    events = np.flatnonzero(bad.any(axis=1))

    def fault(kind: Kind, first: int, last: int, start: int, stop: int) -> Fault:
        part = bad[first : last + 1]
        relative = np.where(part, size[first : last + 1], 0.0) / floors
        column = int(relative.max(axis=0).argmax())
        columns = np.flatnonzero(part.any(axis=0))
        alone = columns[0] >= 2 and len(columns) <= max(1, len(motion.joint_names) // 4)
        return Fault(
            kind=kind,
            start=start,
            stop=stop,
            size=float(np.where(part, size[first : last + 1], 0.0)[:, column].max()),
            where=where[column],
            joints=tuple(int(c) - 2 for c in columns) if alone else None,
        )

    found: list[Fault] = []
    k = 0
    while k < len(events):
        first = last = int(events[k])
        while k + 1 < len(events) and events[k + 1] - first <= longest:
            k += 1
            last = int(events[k])
        k += 1
        if last > first and _returns(motion, first, last, floors):
            found.append(fault("spike", first, last, first + 1, last + 1))
            continue
        for t in events[(events >= first) & (events <= last)]:
            found.append(fault("jump", int(t), int(t), int(t), int(t) + 1))
    return found


def _returns(motion: RobotTrajectory, first: int, last: int, floors: Array) -> bool:
    """Whether the pose after the steps `first`..`last` continues the one before them."""
    ends = steps(
        RobotTrajectory(
            fps=motion.fps,
            root_pos=motion.root_pos[[first, last + 1]],
            root_quat=motion.root_quat[[first, last + 1]],
            joint_pos=motion.joint_pos[[first, last + 1]],
            joint_names=motion.joint_names,
        )
    )[0]
    # Over the gap the motion may have gone on at a pace that is no fault itself.
    return bool((ends < floors * max(1.0, 0.5 * (last + 1 - first))).all())


def _pace(motion: RobotTrajectory, size: Array) -> Array:
    """Root mean square speed of the joints in each step, [T - 1] rad/s."""
    return np.sqrt((size[:, 2:] ** 2).mean(axis=1)) * motion.fps


def _frozen(motion: RobotTrajectory, size: Array, settings: FaultSettings) -> list[Fault]:
    still = size.max(axis=1) < 1e-6
    pace = _pace(motion, size)
    found = []
    start = 0
    while start < len(still):
        if not still[start]:
            start += 1
            continue
        stop = start
        while stop < len(still) and still[stop]:
            stop += 1
        # At rest before or after: a clip may begin, end or pause with a pose held.
        inside = start > 0 and stop < len(still)
        if inside and min(pace[start - 1], pace[stop]) > settings.moving:
            found.append(
                Fault(kind="frozen", start=start + 1, stop=stop + 1, size=stop - start, where="all")
            )
        start = stop
    return found


def _dropped(motion: RobotTrajectory, settings: FaultSettings, others: list[Fault]) -> list[Fault]:
    """Missing frames, but not beside a spike or frozen frames: these are to be mended first."""
    taken = {t for f in others if f.kind != "jump" for t in range(f.start - 2, f.stop + 2)}
    return [
        Fault(kind="dropped", start=frame, stop=frame + 1, size=missing, where="all")
        for frame, missing, _ in dropped_frames(
            motion, settings.longest_drop, settings.drop_evidence
        )
        if frame not in taken
    ]
