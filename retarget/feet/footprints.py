"""Where the feet go: footprints that stay or slide, and ankles carried from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimic_base.signals import smooth_curve, stiffness, upper_envelope
from mimic_base.vectors import Array, smoothstep
from retarget.feet.plan import SWING_HZ, FootPlan
from retarget.person.scaling import Stance
from robots.frames import RobotFrames

SLIDE = 0.03
"""m; a standing foot that strays by more from its middle is moved on."""
SLIDE_SPEED = (0.15, 0.45)
"""m/s; a footprint moves on while the source's foot is faster."""
LOCK = 300.0
"""Weight of a footprint's place where the source's foot is slow, against 1 where it is fast."""
STANDING = 50.0
"""Weight of a footprint's place for the ankles, against 1 of the path that swing follows."""


def stances_from(
    plan: FootPlan, ankle: Array, offsets: Array, ball: Array, fps: float
) -> list[Stance]:
    """Stances for the root fit.

    Args: `ankle` [T, 2, 3] m seen from the root; `ball` [T, 2, 3] m path of the source's balls,
    scaled, which tells whether a foot slides.
    """
    origin = ankle - offsets
    result = []
    for foot, a, b in plan.stances:
        weight = plan.confidence[a:b, foot]
        slide = np.zeros((b - a, 3))
        slide[:, :2] = slide_path(ball[a:b, foot, :2], fps)
        result.append(Stance(foot, a, b, origin[a:b, foot], slide, weight))
    return result


def slide_path(path: Array, fps: float) -> Array:
    """Movement [n, 2] m of a footprint: zero for a foot that stands, locks and slips for one that
    slides or is set over without leaving the ground.

    The path is cut into locks until each stays within `SLIDE` of its middle.
    """
    shortest = max(2, int(round(0.1 * fps)))

    def spread(part: Array) -> float:
        return float(np.percentile(np.linalg.norm(part - np.median(part, axis=0), axis=1), 90))

    def cut(start: int, stop: int) -> list[tuple[int, int]]:
        if stop - start < 2 * shortest or spread(path[start:stop]) < SLIDE:
            return [(start, stop)]
        # The sum of both parts' squared distances from their means is least where that between
        # the means counts most.
        part = path[start:stop] - path[start:stop].mean(axis=0)
        before = np.arange(shortest, len(part) - shortest + 1)
        sums = np.cumsum(part, axis=0)[before - 1]
        between = (sums**2).sum(axis=1) * (1.0 / before + 1.0 / (len(part) - before))
        best = start + int(before[int(np.argmax(between))])
        return cut(start, best) + cut(best, stop)

    locks = cut(0, len(path))
    moved = np.zeros_like(path)
    if len(locks) == 1:
        return moved
    for start, stop in locks:
        moved[start:stop] = np.median(path[start:stop], axis=0)
    # It moves while the source's does, and is held where that is slow.
    speed = np.linalg.norm(np.gradient(path, 1.0 / fps, axis=0), axis=1)
    held = 1.0 + LOCK * (1.0 - smoothstep(speed, *SLIDE_SPEED))
    return smooth_curve(moved - moved[0], held, stiffness(2.5, fps))


def ankle_targets(
    plan: FootPlan,
    offsets: Array,
    stances: Sequence[Stance],
    footprints: Array,
    wanted: Array,
    frames: RobotFrames,
    fps: float,
) -> Array:
    """Ankle positions [T, 2, 3] m: on the footprint while standing, near `wanted` else.

    The correction that footprints ask for is carried through the swing as a curve of least
    bending; swinging soles are kept above the ground (`plan.ground`).
    """
    count = len(wanted)
    target = wanted.copy()
    for foot in (0, 1):
        error = np.zeros((count, 3))
        weight = np.full(count, 1e-4)
        for stance, place, lifted in zip(stances, footprints, plan.lift_frames, strict=True):
            if stance.foot != foot:
                continue
            w = slice(stance.start, stance.stop)
            target[w, foot] = place + stance.slide + offsets[w, foot]
            error[w] = target[w, foot] - wanted[w, foot]
            weight[w] = np.maximum(weight[w], STANDING * stance.weight**2)
            # A foot that rises stays over its footprint, as high as it likes to be.
            lift = slice(stance.stop, stance.stop + lifted)
            over = place + stance.slide[-1] + offsets[lift, foot]
            error[lift, :2] = (over - wanted[lift, foot])[:, :2]
            error[lift, 2] = error[stance.stop - 1, 2]
            target[lift, foot] = wanted[lift, foot] + error[lift]
            weight[lift] = STANDING
        carried = wanted[:, foot] + smooth_curve(error, weight, stiffness(2.0, fps))
        held = (weight / (weight + 1.0))[:, None]
        mixed = held * target[:, foot] + (1 - held) * carried
        target[:, foot] = smooth_curve(mixed, 1.0 + weight, stiffness(SWING_HZ, fps))
        if plan.ground.is_flat:
            lowest = np.einsum("tj,kj->tk", plan.matrix[:, foot, 2], frames.soles[foot])
            clearance = target[:, foot, 2] + lowest.min(axis=1)
        else:
            turned = np.einsum("tij,kj->tki", plan.matrix[:, foot], frames.soles[foot])
            clearance = plan.ground.clearance(target[:, foot, None] + turned).min(axis=1)
        depth = np.maximum(-clearance, 0.0)
        target[:, foot, 2] += upper_envelope(depth, fps)
    return target
