"""The curves of a rollout: what a report plots and keeps as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic.sim.states import States
from mimic.viewer.charts import Line, line_chart, timeline
from mimic.viewer.rollout import Rollout
from motions import RobotMotion

Array = NDArray[Any]
REFERENCE, ROBOT, SECOND = "#2f7de1", "#2b3038", "#d9822b"


def rollout_series(rollout: Rollout, motion: RobotMotion) -> dict[str, list[float]]:
    """Curves over time, [T] each, rounded for a file.

    ``motion`` is the reference the rollout tracked, for its contacts. Keys: ``time_s``;
    ``pelvis_height_m`` and ``pelvis_speed_m_s`` (horizontal) with their ``reference_`` twins;
    ``key_body_mm``, ``key_body_anchor_mm``; ``left_contact`` and ``right_contact`` (0 or 1) with
    their ``reference_`` twins.
    """
    count, dt = len(rollout.states), rollout.control_dt
    planned = motion.resample(1.0 / dt).contact[:count] > 0.5
    series = {
        "time_s": np.arange(count) * dt,
        "pelvis_height_m": rollout.states.root_pos_w[:, 2],
        "reference_pelvis_height_m": rollout.reference.root_pos_w[:, 2],
        "pelvis_speed_m_s": _speed(rollout.states, dt),
        "reference_pelvis_speed_m_s": _speed(rollout.reference, dt),
        "key_body_mm": 1e3 * rollout.key_body_error,
        "key_body_anchor_mm": 1e3 * rollout.key_body_error_anchor,
        "left_contact": rollout.foot_contact[:, 0],
        "right_contact": rollout.foot_contact[:, 1],
        "reference_left_contact": planned[:, 0],
        "reference_right_contact": planned[:, 1],
    }
    return {name: np.round(values.astype(float), 4).tolist() for name, values in series.items()}


def _speed(states: States, dt: float) -> Array:
    if len(states) < 2:
        return np.zeros(len(states))
    return np.linalg.norm(np.gradient(states.root_pos_w[:, :2], dt, axis=0), axis=-1)


def rollout_charts(series: dict[str, list[float]], failed_s: float | None = None) -> list[str]:
    """Four SVG charts of ``rollout_series``: height, speed, error, feet on the ground."""
    time = series["time_s"]

    def pair(name: str) -> list[Line]:
        return [
            Line("reference", series[f"reference_{name}"], REFERENCE, dashed=True),
            Line("simulated", series[name], ROBOT),
        ]

    return [
        line_chart("Pelvis height", time, pair("pelvis_height_m"), unit="m", mark_at=failed_s),
        line_chart(
            "Pelvis speed", time, pair("pelvis_speed_m_s"), unit="m/s",
            from_zero=True, mark_at=failed_s,
        ),
        line_chart(
            "Key-body error", time,
            [
                Line("world", series["key_body_mm"], ROBOT, area=True),
                Line("anchor-relative", series["key_body_anchor_mm"], SECOND),
            ],
            unit="mm", from_zero=True, mark_at=failed_s,
        ),
        timeline(
            "Feet on the ground, left and right", time,
            [
                (
                    f"{side[0].upper()} {kind}",
                    np.array(series[f"{prefix}{side}_contact"]) > 0.5,
                    colour,
                )
                for side in ("left", "right")
                for kind, prefix, colour in (("ref", "reference_", REFERENCE), ("sim", "", ROBOT))
            ],
        ),
    ]  # fmt: skip
