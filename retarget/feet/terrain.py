"""Feet on a ground that is not flat: clearances, support, the tilt of soles, places to stand.

The plan of the feet is made as on a flat floor, of clearances and orientations relative to the
ground, and is then laid on the robot's surface:

- the source's soles and hips lose the height of the surface that the person walked on
  (`flattened`), so that what is left is the height over it;
- the robot's root gains the height of its own surface below the feet (`support_height`);
- feet are turned by the least rotation from the vertical to the surface's normal (`tilts`);
- a footprint lies where the sole touches the surface and no point of it is below (`sole_height`).

A person on a flat floor thus becomes a robot on a slope or on stairs, and a person on stairs, given
their surface, a robot on stairs of its own size (`Surface.scaled`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimic_base.signals import smooth_curve, stiffness
from mimic_base.surface import Surface
from mimic_base.vectors import Array
from retarget.feet.contacts import FootContacts
from retarget.feet.plan import FootPlan
from retarget.person.calibration import CalibratedHuman
from retarget.person.scaling import leg_scale
from robots.frames import RobotFrames
from robots.segments import SIDES, SegmentTrack

SUPPORT_HZ = 1.0
"""The ground's height below the root follows that below the feet up to this rate."""
TILT_HZ = 3.0
"""Normals below the feet are smoothed above it."""


def support_height(surface: Surface, ball: Array, confidence: Array, fps: float) -> Array:
    """Height [T] m of a surface below a walker, smooth in time.

    Args: `ball` [T, 2, 3] m places of the balls of both feet; `confidence` [T, 2] that they stand.
    The mean of the heights below both feet, weighted by what stands: ``sum_i w_i h_i / sum_i w_i``.
    """
    weight = confidence + 1e-2
    height = surface.height(ball[..., 0], ball[..., 1])
    mean = (weight * height).sum(axis=1) / weight.sum(axis=1)
    return smooth_curve(mean[:, None], np.ones(len(mean)), stiffness(SUPPORT_HZ, fps))[:, 0]


def tilts(surface: Surface, ball: Array, fps: float) -> Array:
    """Least rotations [T, 2, 3, 3] from the vertical to the surface's normal below both feet."""
    normal = surface.normal(ball[..., 0], ball[..., 1])
    flat = normal.reshape(len(normal), -1)
    normal = smooth_curve(flat, np.ones(len(flat)), stiffness(TILT_HZ, fps)).reshape(normal.shape)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return upright_to(normal)


def upright_to(normal: Array) -> Array:
    """Least rotations [..., 3, 3] from the vertical to unit vectors `normal` [..., 3], which point
    up: ``R = I + [v]x + [v]x^2 / (1 + c)`` with ``v = e_z x n`` and ``c = n_z``."""
    x, y, c = np.moveaxis(normal, -1, 0)
    one, zero = np.ones_like(x), np.zeros_like(x)
    k = np.stack([zero, zero, x, zero, zero, y, -x, -y, zero], axis=-1).reshape(*x.shape, 3, 3)
    eye = np.broadcast_to(np.eye(3), k.shape)
    return eye + k + k @ k / (one + c)[..., None, None]


def flattened(person: CalibratedHuman, surface: Surface) -> CalibratedHuman:
    """A person's soles and feet relative to the surface below them; the hips as they are.

    Heights of ankles, balls and heels become clearances; the feet's axes are turned back by the
    surface's tilt.
    """
    paths = {}
    for name in ("ankle", "ball", "heel"):
        path = getattr(person, name).copy()
        path[..., 2] = surface.clearance(path)
        paths[name] = path
    tilt = tilts(surface, person.ball, person.fps)
    segments = dict(person.segments)
    for i, side in enumerate(SIDES):
        track = segments[f"{side}_foot"]
        primary, secondary = (
            np.einsum("tji,tj->ti", tilt[:, i], axis) for axis in (track.primary, track.secondary)
        )
        segments[f"{side}_foot"] = SegmentTrack(primary, secondary, track.confidence)
    return replace(person, segments=segments, **paths)


def lowered(
    person: CalibratedHuman, original: CalibratedHuman, surface: Surface, contacts: FootContacts
) -> CalibratedHuman:
    """The flattened person with the hips at their height over the ground that carries it."""
    hips = person.hips.copy()
    hips[:, 2] -= support_height(surface, original.ball, contacts.confidence, person.fps)
    return replace(person, hips=hips)


def on_surface(
    plan: FootPlan,
    person: CalibratedHuman,
    contacts: FootContacts,
    frames: RobotFrames,
    surface: Surface,
) -> FootPlan:
    """A plan made for the flat floor laid on the robot's `surface`."""
    if surface.is_flat:
        return plan
    ball = leg_scale(person, frames) * person.ball
    tilt = tilts(surface, ball, person.fps)
    support = support_height(surface, ball, contacts.confidence, person.fps)
    matrix = tilt @ plan.matrix
    return replace(plan, ground=surface, tilt=tilt, support=support, matrix=matrix)


def sole_height(surface: Surface, place: Array, heading: Array, tilt: Array, sole: Array) -> Array:
    """Heights [n] m of footprints such that no point of a flat sole is below the surface.

    Args:
        place: [n, 2] m horizontal places of the footprint's origin, the ball of the foot.
        heading: [n] rad of the foot. tilt: [n, 3, 3] of the surface below it.
        sole: [K, 3] m points of the sole from its ball; forward, left, up.

    The sole lies in the plane through the origin with the surface's tilt. Where the surface rises
    above that plane somewhere below the sole (the edge of a step), the whole sole rises with it.
    """
    c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y = sole[:, 0], sole[:, 1]
    ahead, aside = c * x - s * y, s * x + c * y
    level = np.stack([ahead, aside, np.zeros_like(ahead)])
    offset = np.einsum("nij,jnk->ink", tilt, level)
    height = surface.height(place[:, :1] + offset[0], place[:, 1:] + offset[1])
    return (height - offset[2]).max(axis=1)
