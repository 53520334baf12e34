"""Seams of the whole-clip solver, for bench_fidelity.py: parts of other sizes, and half a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from motions import HumanMotion
from retarget.feet.contacts import FootContacts
from retarget.feet.plan import plan_feet
from retarget.person.calibration import CalibratedHuman
from retarget.pipeline import prepare
from retarget.settings import RetargetSettings
from retarget.solvers.whole_clip import solver
from retarget.solvers.whole_clip.clip import solve_whole_clip
from robots.frames import robot_frames
from robots.robot import Robot

PARTS = (64, 512, 4096)
"""Frames assembled at once."""
AWAY_S = 2.0
"""From the cut; what is nearer may feel it."""


def seam_rows(robot: Robot, clips: Iterable[tuple[str, HumanMotion]]) -> Iterator[list[str]]:
    """Differences of angles (largest of a frame) and of the root from the clip solved as usual.

    The first half alone is compared away from the cut. The solver begins with key frames that are
    spread evenly from the first frame to the last, so half a clip has others; where both numbers
    of frames are odd, every second frame is one in either.
    """
    figures = ("median", "p99", "max")
    yield [
        "robot", "clip", *(f"parts of {n} frames: max rad" for n in PARTS),
        *(f"half: {f} rad" for f in figures), *(f"half, same key frames: {f} rad" for f in figures),
        "root, its shift taken out: max mm", "shift mm",
    ]  # fmt: skip
    settings = RetargetSettings()
    usual = solver.CHUNK
    for clip, human in clips:
        human, person, contacts = prepare(human, human.fps, settings)
        whole = solved(robot, person, contacts, settings)
        cells = []
        for size in PARTS:
            solver.CHUNK = size
            other = solved(robot, person, contacts, settings)
            cells.append(f"{np.abs(other - whole)[:, 7:].max():.0e}")
        solver.CHUNK = usual
        root = np.zeros((1, 3))
        for odd in (0, 1):
            half = person.num_frames // 2 - odd
            if odd:
                whole = solved(robot, *first_frames(person, contacts, 2 * half + 1), settings)
            first = solved(robot, *first_frames(person, contacts, half), settings)
            apart = (first - whole[:half])[: half - round(AWAY_S * person.fps)]
            worst = np.abs(apart[:, 7:]).max(axis=1)
            shares = np.median(worst), np.percentile(worst, 99), worst.max()
            cells += [f"{share:.1e}" for share in shares]
            root = apart[:, :3]
        shift = root.mean(axis=0)
        cells.append(f"{1e3 * np.linalg.norm(root - shift, axis=1).max():.2f}")
        yield [robot.name, clip, *cells, f"{1e3 * np.linalg.norm(shift):.1f}"]


def solved(
    robot: Robot, person: CalibratedHuman, contacts: FootContacts, settings: RetargetSettings
) -> np.ndarray:
    """The solver's result, [T, 7 + J]."""
    plan, frames = plan_feet(person, contacts), robot_frames(robot)
    return solve_whole_clip(person, contacts, plan, robot, frames, settings.clip, settings.root)


def first_frames(
    person: CalibratedHuman, contacts: FootContacts, count: int
) -> tuple[CalibratedHuman, FootContacts]:
    """The beginning of a calibrated clip; what was found out of the whole clip stays as it is."""
    segments = {
        name: replace(
            track, primary=track.primary[:count], secondary=track.secondary[:count],
            confidence=track.confidence[:count],
        )
        for name, track in person.segments.items()
    }  # fmt: skip
    paths = {name: getattr(person, name)[:count] for name in ("hips", "ankle", "ball", "heel")}
    fields = ("ball", "heel", "ball_confidence", "heel_confidence")
    masks = {name: getattr(contacts, name)[:count] for name in fields}
    return replace(person, segments=segments, **paths), replace(contacts, **masks)
