"""The manner of the demo clips: what pelvis, trunk, head and arms do over the footsteps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.demo.compose import PLAN_RATE, STANDING_KNEE, Plan
from motions.human.demo.curves import shift, smooth, window
from motions.human.demo.gait import (
    STANCE_HALF_WIDTH,
    TOE_OUT,
    Feet,
    Step,
    feet_motion,
    pressure_plan,
)
from motions.human.demo.posture import Arms, yaw_pitch_roll

Array = NDArray[Any]
STILL = 0.45
"""Standing at both ends of a clip, s."""
SETTLE = 0.5
"""Shift of weight before the first lift-off and after the last landing, s."""
SIGN = (1.0, -1.0)
STEP_HALF_WIDTH = 0.07
MIDFOOT = 0.0625
# Robots with wide hips stand wider than this skeleton: weight on the outer half of the foot
# brings their mass centre nearer to the stance foot, too.
OUTWARD = 0.02
HANG = {"flexion": 0.04, "abduction": 0.20, "internal": 0.15, "elbow": 0.32, "pronation": 0.0}
CHEST_LEAN, HEAD_LEAN = 0.035, 0.03
START = np.array([[0.0, STANCE_HALF_WIDTH], [0.0, -STANCE_HALF_WIDTH]])
START_YAW = np.array([TOE_OUT, -TOE_OUT])


def clock(seconds: float) -> Array:
    """Times [T] of the plan's frames, s."""
    return np.arange(round(seconds * PLAN_RATE) + 1) / PLAN_RATE


def _stride(feet: Feet, heading: Array) -> Array:
    """How far the left foot is ahead of the right along the heading, [T]."""
    apart = feet.sole[:, 0, :2] - feet.sole[:, 1, :2]
    return apart[:, 0] * np.cos(heading) + apart[:, 1] * np.sin(heading)


def arm_angles(t: Array, **changes: Array) -> Arms:
    """Arms hanging at the sides, with some of the angles [T] or [T, 2] replaced."""
    angles = {}
    for name, value in HANG.items():
        angle = np.asarray(changes.get(name, np.array(value)))
        if angle.ndim == 1:
            angle = angle[:, None]
        angles[name] = np.broadcast_to(angle, (len(t), 2))
    return Arms(**angles)


def gait_plan(steps: Sequence[Step], *, forward: float, list_angle: float = 0.05) -> Plan:
    """Stepping in any direction: pelvis, trunk, head and arms follow from the footsteps.

    `forward` (0..1) scales the lean of the trunk, `list_angle` is the drop of the pelvis on the
    side of the swing leg, rad.
    """
    t = clock(steps[-1].land + SETTLE + STILL)
    feet = feet_motion(t, steps, START, START_YAW)
    roll = 0.0475 * forward
    pressure = pressure_plan(
        t,
        feet,
        steps,
        PLAN_RATE,
        settle=SETTLE,
        back=MIDFOOT - roll,
        front=MIDFOOT + roll,
        outward=OUTWARD,
    )
    heading = smooth(feet.yaw.mean(axis=1), 0.12, PLAN_RATE)
    stride = _stride(feet, heading)
    lead, sway = smooth(stride, 0.06, PLAN_RATE), smooth(stride, 0.09, PLAN_RATE)
    start, stop = steps[0].lift - SETTLE, steps[-1].land + SETTLE
    going = forward * window(t, start, steps[0].land, steps[-1].lift, stop)
    flying = (feet.swing > 0).astype(np.float64)
    # The pelvis drops on the side of the swing leg soon after lift-off and is level at landing.
    low = smooth(shift(flying[:, 0] - flying[:, 1], -0.05, PLAN_RATE), 0.07, PLAN_RATE)
    look = smooth(shift(heading, -0.25, PLAN_RATE), 0.1, PLAN_RATE)
    swing = np.stack([-sway, sway], axis=-1)
    return Plan(
        t=t,
        feet=feet,
        pressure=pressure,
        still_until=start,
        still_from=stop,
        settle=SETTLE,
        pelvis_rot=yaw_pitch_roll(heading - 0.17 * lead, 0.05 * going, -list_angle * low),
        chest_rot=yaw_pitch_roll(
            heading + 0.14 * sway, CHEST_LEAN + 0.03 * going, 0.36 * list_angle * low
        ),
        head_rot=yaw_pitch_roll(look, HEAD_LEAN + 0.03 * going, 0.0 * t),
        arms=arm_angles(
            t,
            flexion=HANG["flexion"] + 0.55 * swing + 0.02 * going[:, None],
            elbow=HANG["elbow"] + 0.10 * going[:, None] + 0.30 * shift(swing, 0.05, PLAN_RATE),
        ),
        knee_bend=STANDING_KNEE + 0.0 * t,
    )


def standing_plan(t: Array, start: float, stop: float, shift_y: Array, **parts: Any) -> Plan:
    """A plan with both feet on the ground, the pressure moved `shift_y` [T] m to the left."""
    feet = feet_motion(t, (), START, START_YAW)
    middle = np.broadcast_to(np.array([MIDFOOT, 0.0]), (len(t), 2)).copy()
    middle[:, 1] += shift_y
    return Plan(
        t=t,
        feet=feet,
        pressure=middle,
        still_until=start,
        still_from=stop,
        settle=SETTLE,
        knee_bend=STANDING_KNEE + 0.0 * t,
        **parts,
    )
