"""Footsteps: where and when the feet stand, how they travel, where the pressure is meant to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.demo import skeleton
from motions.human.demo.curves import ease, ease_between, smooth, through
from motions.human.demo.posture import rot

Array = NDArray[Any]

STANCE_HALF_WIDTH = 0.09
TOE_OUT = 0.09
HEEL_OFF_LEAD = 0.09
FOOT_FLAT_LAG = 0.08


@dataclass(frozen=True)
class Step:
    """One step: the foot (0 left, 1 right), when it flies and where its ankle comes to stand."""

    foot: int
    lift: float
    land: float
    x: float
    y: float
    yaw: float
    clearance: float = 0.06
    heel_off: float = 0.0
    """Largest heel-up pitch around lift-off, rad."""
    toe_up: float = 0.0
    """Toe-up pitch at landing, rad."""


@dataclass(frozen=True)
class Feet:
    """Motion of both feet at a fixed rate; index 1 is left, right."""

    sole: Array
    """[T, 2, 3] point of the sole under the ankle if the foot were flat."""
    yaw: Array
    pitch: Array
    """[T, 2] heading, and pitch with the heel up positive."""
    ankle: Array
    """[T, 2, 3] ankle joint positions."""
    foot_rot: Array
    toe_rot: Array
    """[T, 2, 3, 3] world rotations."""
    contact: Array
    flat: Array
    """[T, 2] bool: touching the ground; standing still with the whole sole."""
    swing: Array
    """[T, 2] progress 0..1 within a swing, 0 elsewhere."""


def feet_motion(t: Array, steps: Sequence[Step], start: Array, yaw: Array) -> Feet:
    """Trajectories of both feet through `steps` from the stance `start` [2, 2] and `yaw` [2].

    A foot moves only between lift and landing (minimum-jerk, so that it leaves and meets the
    ground without speed). Around lift-off it pitches about the ball, at landing about the heel.
    """
    frames = len(t)
    sole = np.zeros((frames, 2, 3))
    heading = np.zeros((frames, 2))
    pitch = np.zeros((frames, 2))
    pivot = np.full((frames, 2), skeleton.TOE_FORWARD)
    toe_free = np.zeros((frames, 2))
    contact = np.ones((frames, 2), dtype=bool)
    flat = np.ones((frames, 2), dtype=bool)
    swing = np.zeros((frames, 2))
    for k in range(2):
        here, facing = np.asarray(start[k], dtype=np.float64), float(yaw[k])
        sole[:, k, :2], heading[:, k] = here, facing
        for step in (s for s in steps if s.foot == k):
            duration = step.land - step.lift
            go = ease_between(t, step.lift, step.land)
            there = np.array([step.x, step.y])
            sole[:, k, :2] += go[:, None] * (there - here)
            heading[:, k] += go * (step.yaw - facing)
            apex = step.lift + 0.42 * duration
            sole[:, k, 2] += through(
                t, [(step.lift, 0.0), (apex, step.clearance), (step.land, 0.0)]
            )
            off, on = step.lift - HEEL_OFF_LEAD, step.land + FOOT_FLAT_LAG
            if step.heel_off or step.toe_up:
                pitch[:, k] += through(
                    t,
                    [
                        (off, 0.0),
                        (step.lift + 0.24 * duration, step.heel_off),
                        (step.land - 0.04, -step.toe_up),
                        (on, 0.0),
                    ],
                )
                flat[(t > off) & (t < on), k] = False
            roll_over = ease_between(t, step.lift + 0.2 * duration, step.lift + 0.7 * duration)
            # Once flat again (pitch zero) the pivot may go back to the ball unseen.
            roll_over = np.where(t > on, 0.0, roll_over)
            pivot[:, k] += roll_over * (-skeleton.HEEL_BACK - skeleton.TOE_FORWARD)
            free = ease((t - step.lift) / (0.35 * duration))
            toe_free[:, k] += np.where(t > on, 0.0, free)
            flying = (t > step.lift) & (t < step.land)
            contact[flying, k] = False
            flat[flying, k] = False
            swing[flying, k] = (t[flying] - step.lift) / duration
            here, facing = there, step.yaw
    foot_rot = rot("z", heading) @ rot("y", pitch)
    toe_pitch = np.where(pitch > 0, pitch * toe_free, pitch)
    toe_rot = rot("z", heading) @ rot("y", toe_pitch)
    return Feet(
        sole=sole,
        yaw=heading,
        pitch=pitch,
        ankle=_ankles(sole, heading, pitch, pivot),
        foot_rot=foot_rot,
        toe_rot=toe_rot,
        contact=contact,
        flat=flat,
        swing=swing,
    )


def _ankles(sole: Array, yaw: Array, pitch: Array, pivot: Array) -> Array:
    """Ankle positions of feet pitched about a point `pivot` metres in front of the ankle.

    The ball's pivot is the toe joint, the heel's is on the ground; between them its height
    follows linearly.
    """
    share = (pivot + skeleton.HEEL_BACK) / (skeleton.TOE_FORWARD + skeleton.HEEL_BACK)
    zero = np.zeros_like(pivot)
    about = np.stack([pivot, zero, share * skeleton.TOE_HEIGHT], axis=-1)
    arm = np.array([0.0, 0.0, skeleton.ANKLE_HEIGHT]) - about
    local = about + (rot("y", pitch) @ arm[..., None])[..., 0]
    return sole + (rot("z", yaw) @ local[..., None])[..., 0]


def pressure_plan(
    t: Array,
    feet: Feet,
    steps: Sequence[Step],
    rate: float,
    *,
    settle: float,
    back: float,
    front: float,
    outward: float,
) -> Array:
    """Wanted zero-moment point [T, 2]: rolls along each stance foot and over to the next.

    `back` and `front` are the ends of the roll, in metres in front of the ankle, reached at the
    other foot's lift-off and landing, `outward` metres off the foot's middle line. Before the
    first lift-off and after the last landing it travels from and to the middle of the feet within
    `settle` seconds.
    """
    times: list[float] = []
    points: list[Array] = []

    def middle(frame: int) -> Array:
        ahead = _along(feet.yaw[frame], 0.5 * (back + front))
        return np.mean(feet.sole[frame, :, :2] + ahead, axis=0)

    def put(time: float, point: Array) -> None:
        times.append(time)
        points.append(point)

    put(steps[0].lift - settle, middle(0))
    for step in steps:
        stance = 1 - step.foot
        frame = int(np.searchsorted(t, 0.5 * (step.lift + step.land)))
        place, yaw = feet.sole[frame, stance, :2], feet.yaw[frame, stance]
        place = place + _along(yaw + 0.5 * np.pi, outward if stance == 0 else -outward)
        put(step.lift, place + _along(yaw, back))
        put(step.land, place + _along(yaw, front))
    put(steps[-1].land + settle, middle(-1))
    plan = np.stack([np.interp(t, times, np.array(points)[:, k]) for k in range(2)], axis=-1)
    return smooth(plan, 0.03, rate)


def _along(yaw: Array | float, distance: float) -> Array:
    return distance * np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
