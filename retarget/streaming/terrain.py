"""The ground below a live walker, known from the past alone; `retarget.feet.terrain` of clips.

Height and tilt below the feet follow with first-order filters, where a clip's are smoothed to both
sides. A swinging foot looks ahead along its own movement, so that it has begun to rise when it
comes over a step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimic_base.surface import Surface
from mimic_base.vectors import Array, unit
from retarget.feet.plan import FootPlan
from retarget.feet.terrain import SUPPORT_HZ, TILT_HZ, upright_to
from retarget.person.calibration import CalibratedHuman
from robots.segments import SIDES, SegmentTrack

LOOK_AHEAD_S = 0.25
"""A swinging foot sees the ground that it will be over until then."""
LIFT_S = 0.035
"""Time constant of each of three first-order filters in a row, through which a foot follows the
height of the ground: no step in its acceleration."""
REACH = 0.985
"""A leg is stretched to this share of its length at most: a straight knee has no direction to bend
in."""


class GroundBelow:
    """Height and tilt of a surface below both feet of a walker."""

    def __init__(self, surface: Surface, fps: float) -> None:
        self.surface, self.fps = surface, fps
        self._support: float | None = None
        self._normal = np.tile([0.0, 0.0, 1.0], (2, 1))
        self._carried = np.zeros((3, 2))
        self._before: Array | None = None

    @property
    def support(self) -> float:
        """m, height of the ground that carries the walker."""
        return self._support or 0.0

    @property
    def tilt(self) -> Array:
        """[2, 3, 3] least rotations from the vertical to the surface's normals."""
        return upright_to(self._normal)

    def update(self, ball: Array, confidence: Array) -> None:
        """Take the next frame's balls [2, 3] m, and how surely [2] they stand."""
        x, y = ball[:, 0], ball[:, 1]
        weight = confidence + 1e-2
        height = float((weight * self.surface.height(x, y)).sum() / weight.sum())
        normal = self.surface.normal(x, y)
        if self._support is None:
            self._support, self._normal = height, normal
            return
        self._support += _share(SUPPORT_HZ, self.fps) * (height - self._support)
        self._normal = unit(self._normal + _share(TILT_HZ, self.fps) * (normal - self._normal))

    def lifts(self, soles: list[Array], standing: Array) -> Array:
        """How much higher [2] m than on a floor at `support` each foot is carried.

        Args: `soles` [K, 3] m of each foot, whose places count. A swinging foot takes the highest
        ground from where it is to where its movement will have brought it.
        """
        middle = np.stack([points.mean(axis=0) for points in soles])
        before = middle if self._before is None else self._before
        ahead = (middle - before) * self.fps * LOOK_AHEAD_S
        goal = np.zeros(2)
        for i, (points, normal) in enumerate(zip(soles, self._normal, strict=True)):
            aside = (points - middle[i])[:, :2]
            lean = -(aside @ normal[:2]) / normal[2]
            shares = (0.0,) if standing[i] else (0.0, 0.5, 1.0)
            places = [points + share * ahead[i] for share in shares]
            goal[i] = max(
                float((self.surface.height(at[:, 0], at[:, 1]) - lean).max()) for at in places
            )
        if self._before is None:
            self._carried[:] = goal
        self._before = middle
        share = 1.0 - np.exp(-1.0 / (LIFT_S * self.fps))
        for stage in self._carried:
            stage += share * (goal - stage)
            goal = stage.copy()
        return goal - self.support


def tilted(plan: FootPlan, below: GroundBelow) -> FootPlan:
    """A plan of one frame, made for the flat floor, laid on the surface below the robot."""
    tilt = below.tilt[None]
    return replace(
        plan, ground=below.surface, tilt=tilt, support=np.array([below.support]),
        matrix=tilt @ plan.matrix,
    )  # fmt: skip


def relative(person: CalibratedHuman, below: GroundBelow) -> CalibratedHuman:
    """A person (of one frame) relative to the ground below it; see `retarget.feet.terrain`."""
    paths = {}
    for name in ("ankle", "ball", "heel"):
        path = getattr(person, name).copy()
        path[..., 2] = below.surface.clearance(path)
        paths[name] = path
    segments = dict(person.segments)
    for i, side in enumerate(SIDES):
        track = segments[f"{side}_foot"]
        turn = below.tilt[i]
        segments[f"{side}_foot"] = SegmentTrack(
            track.primary @ turn, track.secondary @ turn, track.confidence
        )
    hips = person.hips - [0.0, 0.0, below.support]
    return replace(person, segments=segments, hips=hips, **paths)


def _share(hz: float, fps: float) -> float:
    """Weight of a new value in a first-order low-pass filter."""
    return 1.0 - float(np.exp(-2.0 * np.pi * hz / fps))


def within_reach(hip: Array, ankle: Array, leg: float) -> Array:
    """The place [3] m next to `ankle` that a leg of `leg` m reaches from its `hip` [3] m."""
    way = ankle - hip
    size = float(np.linalg.norm(way))
    return ankle if size <= REACH * leg else hip + way * (REACH * leg / size)


def highest_hip(hip: Array, ankle: Array, leg: float) -> float:
    """Height m of a hip over its place [3] m from which the leg still reaches `ankle` [3] m."""
    aside = float(((hip - ankle)[:2] ** 2).sum())
    return float(ankle[2] + np.sqrt(max((REACH * leg) ** 2 - aside, 0.0)))
