"""Lean collision geometry of a derived robot: capsules along the limbs, measured on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robots.derive.anatomy import Anatomy, Array


@dataclass(frozen=True)
class Capsule:
    """A capsule in the frame of `body`; a sphere when both ends are the same (m)."""

    body: int
    group: str
    radius: float
    ends: Array


def limb_capsules(anatomy: Anatomy, points: dict[int, Array]) -> list[Capsule]:
    """Capsules of thighs, shanks, forearms and trunk, left ones before their mirror images.

    `points` are those of `geometry.body_points`.
    """
    data = anatomy.data
    found = []
    for k, side in enumerate(("left", "right")):
        leg, arm = anatomy.legs[k], anatomy.arms[k]
        hip, knee, ankle = (data.xpos[b] for b in (leg.bodies[0], leg.middle, leg.end))
        found.append(_along(anatomy, leg.upper, f"side_{side}", hip, knee, points, 0.25, 0.85))
        found.append(_along(anatomy, leg.middle, f"side_{side}", knee, ankle, points, 0.1, 0.8))
        elbow = data.xpos[arm.middle]
        end = data.xpos[arm.end] + data.xmat[arm.end].reshape(3, 3) @ arm.tip
        found.append(_along(anatomy, arm.middle, "hand", elbow, end, points, 0.3, 1.0))
        if arm.end != arm.middle and arm.end in points:
            found.append(_ball(anatomy, arm.end, "hand", points))
    shoulders = 0.5 * (data.xpos[anatomy.shoulder(0)] + data.xpos[anatomy.shoulder(1)])
    hips = 0.5 * (data.xpos[anatomy.legs[0].bodies[0]] + data.xpos[anatomy.legs[1].bodies[0]])
    low = hips + 0.35 * (shoulders - hips)
    found.append(_along(anatomy, anatomy.chest, "trunk", low, shoulders, points, 0.0, 0.8))
    return found


def _along(
    anatomy: Anatomy,
    body: int,
    group: str,
    start: Array,
    end: Array,
    points: dict[int, Array],
    first: float,
    last: float,
) -> Capsule:
    """A capsule between two shares of a bone, as thick as the median of the geometry around it."""
    bone = end - start
    length = float(np.linalg.norm(bone))
    axis = bone / max(length, 1e-9)
    radius = 0.15 * length
    if body in points:
        away = points[body] - start
        along = away @ axis
        inside = (along > first * length) & (along < last * length)
        off = np.linalg.norm(away - along[:, None] * axis, axis=1)
        if inside.sum() >= 8:
            radius = float(np.clip(np.median(off[inside]), 0.06 * length, 0.25 * length))
    ends = np.stack([start + first * bone, start + last * bone])
    local = (ends - anatomy.data.xpos[body]) @ anatomy.data.xmat[body].reshape(3, 3)
    return Capsule(body, group, round(radius, 4), np.round(local, 4))


def _ball(anatomy: Anatomy, body: int, group: str, points: dict[int, Array]) -> Capsule:
    centre = points[body].mean(axis=0)
    radius = float(np.median(np.linalg.norm(points[body] - centre, axis=1)))
    local = (centre - anatomy.data.xpos[body]) @ anatomy.data.xmat[body].reshape(3, 3)
    ends: Array = np.stack([local, local]).round(4)
    return Capsule(body, group, round(0.8 * radius, 4), ends)
