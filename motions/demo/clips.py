"""The demo clips as plans: footsteps, gestures and timing of each motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.demo.compose import PLAN_RATE, STANDING_KNEE, Plan
from motions.demo.curves import shift, smooth, through, window
from motions.demo.gait import STANCE_HALF_WIDTH, TOE_OUT, Feet, Step, feet_motion, pressure_plan
from motions.demo.posture import Arms, yaw_pitch_roll

Array = NDArray[Any]
STILL = 0.45
SETTLE = 0.5
SIGN = (1.0, -1.0)
STEP_HALF_WIDTH = 0.07
MIDFOOT = 0.0625
# Robots with wide hips stand wider than this skeleton: weight on the outer half of the foot
# brings their mass centre nearer to the stance foot, too.
OUTWARD = 0.02
HANG = {"flexion": 0.04, "abduction": 0.16, "internal": 0.25, "elbow": 0.32, "pronation": 0.0}
CHEST_LEAN, HEAD_LEAN = 0.035, 0.03
START = np.array([[0.0, STANCE_HALF_WIDTH], [0.0, -STANCE_HALF_WIDTH]])
START_YAW = np.array([TOE_OUT, -TOE_OUT])


def _time(seconds: float) -> Array:
    return np.arange(round(seconds * PLAN_RATE) + 1) / PLAN_RATE


def _stride(feet: Feet, heading: Array) -> Array:
    """How far the left foot is ahead of the right along the heading, [T]."""
    apart = feet.sole[:, 0, :2] - feet.sole[:, 1, :2]
    return apart[:, 0] * np.cos(heading) + apart[:, 1] * np.sin(heading)


def _arms(t: Array, **changes: Array) -> Arms:
    """Arms hanging at the sides, with some of the angles [T] or [T, 2] replaced."""
    angles = {}
    for name, value in HANG.items():
        angle = np.asarray(changes.get(name, np.array(value)))
        if angle.ndim == 1:
            angle = angle[:, None]
        angles[name] = np.broadcast_to(angle, (len(t), 2))
    return Arms(**angles)


def _gait_plan(steps: Sequence[Step], *, forward: float, list_angle: float = 0.05) -> Plan:
    """Stepping in any direction: pelvis, trunk, head and arms follow from the footsteps.

    `forward` (0..1) scales the lean of the trunk, `list_angle` is the drop of the pelvis on the
    side of the swing leg, rad.
    """
    t = _time(steps[-1].land + SETTLE + STILL)
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
        arms=_arms(
            t,
            flexion=HANG["flexion"] + 0.55 * swing + 0.02 * going[:, None],
            elbow=HANG["elbow"] + 0.10 * going[:, None] + 0.30 * shift(swing, 0.05, PLAN_RATE),
        ),
        knee_bend=STANDING_KNEE + 0.0 * t,
    )


def _walk_along(
    ahead: Sequence[float], place: Callable[[float], tuple[float, float, float]]
) -> Plan:
    """Walk with footsteps `ahead` metres along a path; `place` gives its x, y and heading."""
    double = 0.12
    lift = STILL + SETTLE
    steps = []
    for n, along in enumerate(ahead):
        foot, closing = n % 2, n == len(ahead) - 1
        half = STANCE_HALF_WIDTH if n >= len(ahead) - 2 else STEP_HALF_WIDTH
        flight = 0.54 if n == 0 or closing else 0.50
        x, y, yaw = place(along)
        steps.append(
            Step(
                foot=foot,
                lift=lift,
                land=lift + flight,
                x=x - SIGN[foot] * half * np.sin(yaw),
                y=y + SIGN[foot] * half * np.cos(yaw),
                yaw=yaw + SIGN[foot] * TOE_OUT,
                heel_off=0.20 if n == 0 else 0.34,
                toe_up=0.05 if closing else 0.12,
            )
        )
        lift += flight + double
    return _gait_plan(steps, forward=1.0)


def walk() -> Plan:
    """Stand, walk nine steps straight ahead at about 0.85 m/s, stand."""
    ahead = [0.32, 0.82, 1.33, 1.84, 2.35, 2.86, 3.37, 3.75, 3.75]
    return _walk_along(ahead, lambda along: (along, 0.0, 0.0))


def walk_turn() -> Plan:
    """Stand, walk a quarter circle to the left, stand."""
    s = np.linspace(0.0, 4.0, 4001)
    x = np.clip((s - 0.25) / 2.7, 0.0, 1.0)
    yaw = 0.5 * np.pi * x * x * (3.0 - 2.0 * x)
    path = np.cumsum(np.stack([np.cos(yaw), np.sin(yaw)], axis=-1), axis=0) * (s[1] - s[0])

    def place(along: float) -> tuple[float, float, float]:
        px, py, heading = (float(np.interp(along, s, v)) for v in (path[:, 0], path[:, 1], yaw))
        return px, py, heading

    return _walk_along([0.31, 0.77, 1.24, 1.71, 2.18, 2.65, 3.10, 3.40, 3.40], place)


def side_step() -> Plan:
    """Two steps to the left, two back to the right, facing ahead."""
    flight, double, width = 0.42, 0.26, 0.18
    lift = STILL + SETTLE
    steps = []
    for n, (foot, shift_to) in enumerate(
        [(0, 1), (1, 1), (0, 2), (1, 2), (1, 1), (0, 1), (1, 0), (0, 0)]
    ):
        if n == 4:
            lift += 0.25
        steps.append(
            Step(
                foot=foot,
                lift=lift,
                land=lift + flight,
                x=0.0,
                y=SIGN[foot] * STANCE_HALF_WIDTH + width * shift_to,
                yaw=SIGN[foot] * TOE_OUT,
                clearance=0.075,
                heel_off=0.10,
                toe_up=0.04,
            )
        )
        lift += flight + double
    return _gait_plan(steps, forward=0.25, list_angle=0.02)


def _standing_plan(t: Array, start: float, stop: float, shift_y: Array, **parts: Any) -> Plan:
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


def squat() -> Plan:
    """Squat 28 cm deep with the arms stretched forward, stay a moment, rise."""
    down, low, up = STILL, STILL + 1.35, STILL + 1.75
    stop = up + 1.35
    t = _time(stop + STILL)
    depth = through(t, [(down, 0.0), (low, 1.0), (up, 1.0), (stop, 0.0)])
    reach = through(t, [(down, 0.0), (low - 0.1, 1.0), (up + 0.1, 1.0), (stop, 0.0)])
    zero = 0.0 * t
    return _standing_plan(
        t,
        down,
        stop,
        zero,
        pelvis_rot=yaw_pitch_roll(zero, 0.36 * depth, zero),
        chest_rot=yaw_pitch_roll(zero, CHEST_LEAN + 0.52 * depth, zero),
        head_rot=yaw_pitch_roll(zero, HEAD_LEAN + 0.10 * depth, zero),
        arms=_arms(
            t,
            flexion=HANG["flexion"] + (1.90 - HANG["flexion"]) * reach,
            abduction=HANG["abduction"] + (0.10 - HANG["abduction"]) * reach,
            elbow=HANG["elbow"] - 0.04 * reach,
            internal=HANG["internal"] * (1.0 - 0.6 * reach),
        ),
        drop=0.28 * depth,
    )


def wave() -> Plan:
    """Raise the right arm, wave four times, lower it."""
    start, ready, finish = STILL, STILL + 0.85, STILL + 3.05
    stop = finish + 1.0
    t = _time(stop + STILL)
    raised = through(t, [(start, 0.0), (ready, 1.0), (finish, 1.0), (stop, 0.0)])
    beat = np.sin(2 * np.pi * (t - ready) * 4 / (finish - ready - 0.15))
    beat = beat * window(t, ready - 0.15, ready + 0.25, finish - 0.25, finish + 0.1)
    lean = through(t, [(start, 0.0), (ready, 1.0), (finish, 1.0), (stop, 0.0)])
    zero = 0.0 * t

    def right(name: str, up: float, swing: float = 0.0) -> Array:
        still = np.full(len(t), HANG[name])
        return np.stack([still, still + (up - HANG[name]) * raised + swing * beat], axis=-1)

    return _standing_plan(
        t,
        start,
        stop,
        0.018 * lean,
        pelvis_rot=yaw_pitch_roll(0.03 * lean, zero, 0.02 * lean),
        chest_rot=yaw_pitch_roll(0.05 * lean, CHEST_LEAN + zero, 0.04 * lean + 0.01 * beat),
        head_rot=yaw_pitch_roll(-0.10 * lean, HEAD_LEAN - 0.03 * lean, -0.03 * lean),
        arms=_arms(
            t,
            flexion=right("flexion", 0.75),
            abduction=right("abduction", 1.05, 0.04),
            internal=right("internal", -1.0, 0.10),
            elbow=right("elbow", 1.95, 0.36),
        ),
        drop=zero,
    )


CLIPS: dict[str, Callable[[], Plan]] = {
    "walk": walk,
    "walk_turn": walk_turn,
    "side_step": side_step,
    "squat": squat,
    "wave": wave,
}
