"""The demo clips as plans: footsteps, gestures and timing of each motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motions.human.demo.compose import Plan
from motions.human.demo.curves import through, window
from motions.human.demo.gait import STANCE_HALF_WIDTH, TOE_OUT, Step
from motions.human.demo.posture import yaw_pitch_roll
from motions.human.demo.style import (
    CHEST_LEAN,
    HANG,
    HEAD_LEAN,
    SETTLE,
    SIGN,
    STEP_HALF_WIDTH,
    STILL,
    arm_angles,
    clock,
    gait_plan,
    standing_plan,
)

Array = NDArray[Any]


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
                # Higher than most people step: a robot's long flat foot needs the room.
                clearance=0.095,
                heel_off=0.14 if n == 0 else 0.22,
                toe_up=0.05 if closing else 0.10,
            )
        )
        lift += flight + double
    return gait_plan(steps, forward=1.0)


def walk() -> Plan:
    """Stand, walk nine steps straight ahead at about 0.82 m/s, stand."""
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
                clearance=0.09,
                heel_off=0.08,
                toe_up=0.04,
            )
        )
        lift += flight + double
    return gait_plan(steps, forward=0.25, list_angle=0.02)


def squat() -> Plan:
    """Squat 28 cm deep with the arms stretched forward, stay a moment, rise."""
    down, low, up = STILL, STILL + 1.35, STILL + 1.75
    stop = up + 1.35
    t = clock(stop + STILL)
    depth = through(t, [(down, 0.0), (low, 1.0), (up, 1.0), (stop, 0.0)])
    reach = through(t, [(down, 0.0), (low - 0.1, 1.0), (up + 0.1, 1.0), (stop, 0.0)])
    zero = 0.0 * t
    return standing_plan(
        t,
        down,
        stop,
        zero,
        pelvis_rot=yaw_pitch_roll(zero, 0.36 * depth, zero),
        chest_rot=yaw_pitch_roll(zero, CHEST_LEAN + 0.52 * depth, zero),
        head_rot=yaw_pitch_roll(zero, HEAD_LEAN + 0.10 * depth, zero),
        arms=arm_angles(
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
    t = clock(stop + STILL)
    raised = through(t, [(start, 0.0), (ready, 1.0), (finish, 1.0), (stop, 0.0)])
    beat = np.sin(2 * np.pi * (t - ready) * 4 / (finish - ready - 0.15))
    beat = beat * window(t, ready - 0.15, ready + 0.25, finish - 0.25, finish + 0.1)
    zero = 0.0 * t

    def right(name: str, up: float, swing: float = 0.0) -> Array:
        still = np.full(len(t), HANG[name])
        return np.stack([still, still + (up - HANG[name]) * raised + swing * beat], axis=-1)

    return standing_plan(
        t,
        start,
        stop,
        0.018 * raised,
        pelvis_rot=yaw_pitch_roll(0.03 * raised, zero, 0.02 * raised),
        chest_rot=yaw_pitch_roll(0.05 * raised, CHEST_LEAN + zero, 0.04 * raised + 0.01 * beat),
        head_rot=yaw_pitch_roll(-0.10 * raised, HEAD_LEAN - 0.03 * raised, -0.03 * raised),
        arms=arm_angles(
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
