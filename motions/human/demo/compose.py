"""Puts a clip together: feet, pressure plan and gestures in, a balanced moving skeleton out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.demo import skeleton
from motions.human.demo.balance import GRAVITY, centre_of_mass, pendulum_path, zero_moment_point
from motions.human.demo.curves import smooth, smooth_below
from motions.human.demo.gait import Feet
from motions.human.demo.posture import Arms, Targets, solve

Array = NDArray[Any]
PLAN_RATE = 120.0
STANDING_KNEE = 0.22
# Lets through a rise and fall of about 2 cm at the step rate (s^6, see `smooth_below`).
BOB_STIFFNESS = 1.0e-6
# A robot of 0.7 times this skeleton's height that moves in the same rhythm has its zero-moment
# point nearer to its mass centre. A pendulum between the two sizes keeps it under the stance
# foot of both.
PENDULUM_SHARE = 0.85


@dataclass(frozen=True)
class Plan:
    """Everything about a clip but the pelvis position, at `PLAN_RATE`."""

    t: Array
    feet: Feet
    pressure: Array
    """[T, 2] wanted zero-moment point."""
    still_until: float
    still_from: float
    """The body rests before the first and after the second time, s."""
    settle: float
    """How long the shift of weight may take at both ends, s."""
    pelvis_rot: Array
    chest_rot: Array
    head_rot: Array
    arms: Arms
    knee_bend: Array
    """[T] least knee flexion, rad."""
    drop: Array | None = None
    """[T] how far the pelvis is below its standing height, m; None: as high as the legs allow."""


@dataclass(frozen=True)
class Body:
    """The finished motion at `PLAN_RATE`."""

    position: Array
    """[T, J, 3] metres, world frame z up."""
    rotation: Array
    """[T, J, 3, 3] world rotations."""
    targets: Targets
    zmp: Array


def realise(plan: Plan, iterations: int = 8) -> Body:
    """Find the pelvis path for which the jointed body follows the plan's pressure."""
    t = plan.t
    moving = (t > plan.still_until) & (t < plan.still_from)
    pulses = (
        _bell(t, plan.still_until, plan.still_until + plan.settle),
        _bell(t, plan.still_from - plan.settle, plan.still_from),
    )
    pelvis = np.zeros((len(t), 3))
    pelvis[:, :2] = smooth(plan.pressure, 0.15, PLAN_RATE)
    targets = _targets(plan, pelvis)
    correction = np.zeros_like(plan.pressure)
    centre = plan.pressure
    position, rotation = np.zeros(0), np.zeros(0)
    for _ in range(iterations):
        for _ in range(3):
            targets = replace(targets, pelvis=_at_height(plan, targets, moving))
            position, rotation = solve(targets)
            mass = centre_of_mass(position, rotation)
            height = float(mass[0, 2])
            wanted = plan.pressure + correction
            planned = PENDULUM_SHARE * height
            centre = np.stack(
                [pendulum_path(wanted[:, k], planned, PLAN_RATE, pulses) for k in range(2)],
                axis=-1,
            )
            moved = targets.pelvis.copy()
            moved[:, :2] += centre - mass[:, :2]
            targets = replace(targets, pelvis=moved)
        targets = replace(targets, pelvis=_at_height(plan, targets, moving))
        position, rotation = solve(targets)
        zmp = zero_moment_point(position, rotation, PLAN_RATE)
        acc = np.gradient(np.gradient(centre, axis=0), axis=0) * PLAN_RATE**2
        ideal = centre - height / GRAVITY * acc
        error = np.where(moving[:, None], ideal - zmp, 0.0)
        correction = smooth(error, 0.015, PLAN_RATE)
    return Body(position, rotation, targets, zero_moment_point(position, rotation, PLAN_RATE))


def _bell(t: Array, start: float, stop: float) -> Array:
    x = np.clip((t - start) / (stop - start), 0.0, 1.0)
    return 64.0 * x**3 * (1.0 - x) ** 3


def _targets(plan: Plan, pelvis: Array) -> Targets:
    forward = plan.pelvis_rot[:, None, :, 0] + plan.feet.foot_rot[..., 0]
    forward = forward * np.array([1.0, 1.0, 0.0])
    return Targets(
        pelvis=pelvis,
        pelvis_rot=plan.pelvis_rot,
        chest_rot=plan.chest_rot,
        head_rot=plan.head_rot,
        ankle=plan.feet.ankle,
        foot_rot=plan.feet.foot_rot,
        toe_rot=plan.feet.toe_rot,
        knee_forward=forward / np.linalg.norm(forward, axis=-1, keepdims=True),
        arms=plan.arms,
    )


def _at_height(plan: Plan, targets: Targets, moving: Array) -> Array:
    """The pelvis path raised as far as the knees may straighten, smoothly, [T, 3]."""
    a, b = skeleton.THIGH, skeleton.SHANK
    reach = np.sqrt(a * a + b * b + 2 * a * b * np.cos(plan.knee_bend))
    limit = np.full(len(plan.t), np.inf)
    for k, side in enumerate(("LeftUpLeg", "RightUpLeg")):
        arm = targets.pelvis_rot @ skeleton.OFFSETS[skeleton.INDEX[side]]
        hip = targets.pelvis[:, :2] + arm[:, :2]
        across = np.sum((targets.ankle[:, k, :2] - hip) ** 2, axis=-1)
        top = targets.ankle[:, k, 2] + np.sqrt(np.maximum(reach**2 - across, 0.01)) - arm[:, 2]
        limit = np.minimum(limit, top)
    pelvis = targets.pelvis.copy()
    if plan.drop is not None:
        pelvis[:, 2] = limit[0] - plan.drop
    else:
        pelvis[:, 2] = smooth_below(limit, ~moving, PLAN_RATE, BOB_STIFFNESS)
    return pelvis
