"""How smoothly a robot moves, on its own terms: pure functions of recorded signals (numpy).

Torque jumps and chatter, contact and torso stability are HoloMotion's (1.4, its evaluation of
tracking); the rest are root mean squares and shares. A figure that a signal is too short for is
NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEAST_SAMPLES = 8
"""Samples that a spectrum needs."""
LOW_HZ = 0.5
"""Below this nothing counts as motion: the mean and slow drift."""
SHAKY_HZ = 10.0
"""From here on a torque or an action is chatter, not motion."""
TORQUE_BAND_HZ = 40.0
TORSO_SHAKY_HZ, TORSO_BAND_HZ = 5.0, 20.0
BURST_S = 0.5
TOUCHDOWN_S = 0.05
"""How long after a touchdown its largest force may come."""
CONTACT_N = 1.0
"""Force on a foot that counts as contact."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of smoothness of an episode; smaller is smoother."""

    heading: str
    unit: str
    about: str
    """Formula or words."""


FIGURES: Mapping[str, Figure] = {
    "torque_rms": Figure(
        heading="torque", unit="N m", about="sqrt of the mean over joints and time of tau^2"
    ),
    "torque_peak_share": Figure(
        heading="largest torque of its limit", unit="1", about="max over joints of |tau| / limit"
    ),
    "torque_rate_rms": Figure(
        heading="torque rate", unit="N m/s", about="sqrt of the mean of ((tau - tau')/dt)^2"
    ),
    "torque_jump_mean": Figure(
        heading="torque jump, mean", unit="N m/s",
        about="mean over time of |tau - tau'| / dt, the norm over joints (HoloMotion)",
    ),
    "torque_jump_p95": Figure(
        heading="torque jump, 95th percentile", unit="N m/s", about="the same (HoloMotion)"
    ),
    "torque_jump_ratio_p95": Figure(
        heading="relative torque jump, 95th percentile", unit="1",
        about="|tau - tau'| / max(|tau|, |tau'|), norms over joints (HoloMotion)",
    ),
    "torque_burst": Figure(
        heading="torque burst", unit="1",
        about="largest mean over 0.5 s of the relative torque jump (HoloMotion)",
    ),
    "torque_chatter": Figure(
        heading="torque chatter", unit="1",
        about="mean over joints of the share of the torque's power at 10-40 Hz of that at 0.5-40 "
        "Hz (Welch) (HoloMotion)",
    ),
    "joint_acceleration_rms": Figure(
        heading="joint acceleration", unit="rad/s^2",
        about="sqrt of the mean of ((qd - qd')/dt)^2 from one control step to the next",
    ),
    "joint_jerk_rms": Figure(
        heading="joint jerk", unit="rad/s^3",
        about="sqrt of the mean of ((qd - 2 qd' + qd'')/dt^2)^2 over three control steps",
    ),
    "action_rate_rms": Figure(
        heading="action change", unit="1/step",
        about="sqrt of the mean of (a - a')^2 from one control step to the next",
    ),
    "action_high_share": Figure(
        heading="actions above 10 Hz", unit="1",
        about="mean over joints of the share of the action's power above 10 Hz of that above 0.5 "
        "Hz (Welch)",
    ),
    "foot_impact_weights": Figure(
        heading="foot impact", unit="body weights",
        about="95th percentile of the largest force within 50 ms of a touchdown, by m g",
    ),
    "foot_impact_n": Figure(
        heading="foot impact force", unit="N", about="the same force, vertical (HoloMotion)"
    ),
    "contact_toggles": Figure(
        heading="contacts begun or lost", unit="1/s",
        about="changes of the feet's contact (more than 1 N), both feet (HoloMotion)",
    ),
    "stance_slip_p95": Figure(
        heading="slip in stance", unit="m/s",
        about="95th percentile of the horizontal speed of a foot in contact (HoloMotion)",
    ),
    "torso_shake": Figure(
        heading="torso shake", unit="1",
        about="share of the power at 5-20 Hz of that at 0.5-20 Hz of the base's speed of roll and "
        "pitch (HoloMotion)",
    ),
    "torso_acceleration_p95": Figure(
        heading="torso angular acceleration", unit="rad/s^2",
        about="95th percentile of the change of the base's roll and pitch rates (HoloMotion)",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What was recorded of an episode: S physics samples, T control steps, J joints.

    Attributes:
        torque: [S, J] N m. foot_force: [S, 2] vertical force on the left, right foot, N.
        physics_dt: s between two samples of these.
        joint_velocity: [T, J] rad/s. action: [T, A]. torso_rate: [T, 2] rad/s, the base's angular
            velocity about the world's x and y. foot_speed: [T, 2] m/s horizontal.
        foot_force_then: [T, 2] N, at the control steps. control_dt: s.
        effort_limit: [J] N m. weight: N.
    """

    torque: Array
    foot_force: Array
    physics_dt: float
    joint_velocity: Array
    action: Array
    torso_rate: Array
    foot_speed: Array
    foot_force_then: Array
    control_dt: float
    effort_limit: Array
    weight: float


def figures(signals: Signals) -> dict[str, float]:
    """All of ``FIGURES`` of an episode."""
    s = signals
    norm, ratio = torque_jumps(s.torque, s.physics_dt)
    peaks = touchdown_peaks(s.foot_force, s.physics_dt)
    impact = percentile(peaks, 95.0)
    stance = s.foot_speed[s.foot_force_then > CONTACT_N]
    swing = np.linalg.norm(s.torso_rate, axis=1)
    turning = np.linalg.norm(np.diff(s.torso_rate, axis=0), axis=1) / s.control_dt
    return {
        "torque_rms": root_mean_square(s.torque),
        "torque_peak_share": _largest(np.abs(s.torque) / s.effort_limit),
        "torque_rate_rms": root_mean_square(np.diff(s.torque, axis=0) / s.physics_dt),
        "torque_jump_mean": _mean(norm),
        "torque_jump_p95": percentile(norm, 95.0),
        "torque_jump_ratio_p95": percentile(ratio, 95.0),
        "torque_burst": largest_mean(ratio, max(1, round(BURST_S / s.physics_dt))),
        "torque_chatter": high_share(s.torque, s.physics_dt, SHAKY_HZ, TORQUE_BAND_HZ),
        "joint_acceleration_rms": root_mean_square(
            np.diff(s.joint_velocity, axis=0) / s.control_dt
        ),
        "joint_jerk_rms": root_mean_square(np.diff(s.joint_velocity, n=2, axis=0))
        / s.control_dt**2,
        "action_rate_rms": root_mean_square(np.diff(s.action, axis=0)),
        "action_high_share": high_share(s.action, s.control_dt, SHAKY_HZ, np.inf),
        "foot_impact_weights": impact / s.weight,
        "foot_impact_n": impact,
        "contact_toggles": contact_toggles(s.foot_force, s.physics_dt),
        "stance_slip_p95": percentile(stance, 95.0),
        "torso_shake": high_share(swing[:, None], s.control_dt, TORSO_SHAKY_HZ, TORSO_BAND_HZ),
        "torso_acceleration_p95": percentile(turning, 95.0),
    }


def root_mean_square(values: Array) -> float:
    """``sqrt(mean x^2)`` over everything."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else np.nan


def percentile(values: Array, q: float) -> float:
    """The q-th percentile of everything."""
    return float(np.percentile(values, q)) if values.size else np.nan


def torque_jumps(torque: Array, dt: float) -> tuple[Array, Array]:
    """Jumps [S - 1] of torques [S, J]: ``|tau - tau'| / dt`` (N m/s), and relative ones."""
    jump = np.linalg.norm(np.diff(torque, axis=0), axis=1)
    size = np.linalg.norm(torque, axis=1)
    return jump / dt, jump / np.maximum(np.maximum(size[1:], size[:-1]), 1e-6)


def largest_mean(values: Array, window: int) -> float:
    """Largest mean of ``window`` successive values [S]; of all where there are fewer."""
    if not len(values):
        return np.nan
    window = min(window, len(values))
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return float((total[window:] - total[:-window]).max() / window)


def high_share(signals: Array, dt: float, from_hz: float, to_hz: float) -> float:
    """Mean over columns of the share of the power from ``from_hz`` on of that from 0.5 Hz on.

    Power is the integral (trapezoids) of Welch's spectral density: Hann windows of 256 samples at
    most, each without its mean; up to ``to_hz``, or 0.45 of the sampling rate where that is less.
    Columns without power do not count.

    Args:
        signals: [S, C].
    """
    if len(signals) < LEAST_SAMPLES:
        return np.nan
    to_hz = min(to_hz, 0.45 / dt)
    if to_hz <= max(LOW_HZ, from_hz):
        return np.nan
    from scipy.signal import welch

    frequency, density = welch(
        np.asarray(signals, np.float64), fs=1.0 / dt, nperseg=min(len(signals), 256), axis=0,
        detrend="constant",
    )  # fmt: skip

    def power(low: float) -> Array:
        band = (frequency >= low) & (frequency <= to_hz)
        if band.sum() < 2:
            return density[band].sum(0)
        return np.asarray(np.trapezoid(density[band], frequency[band], axis=0))

    whole, high = power(LOW_HZ), power(from_hz)
    some = whole > 0.0
    return _mean(high[some] / whole[some])


def contact_toggles(force: Array, dt: float) -> float:
    """How often a second the contacts of the feet [S, 2] (N) begin or end."""
    if not len(force):
        return np.nan
    touching = (force > CONTACT_N).astype(np.int8)
    return float(np.abs(np.diff(touching, axis=0)).sum() / (len(force) * dt))


def touchdown_peaks(force: Array, dt: float) -> Array:
    """The largest force (N) within 50 ms of each touchdown of the feet [S, 2] (N)."""
    window = max(1, round(TOUCHDOWN_S / dt))
    touching = force > CONTACT_N
    peaks = []
    for foot in range(force.shape[1]):
        begins = touching[1:, foot] & ~touching[:-1, foot]
        # What stands at the beginning has not come down.
        for at in np.flatnonzero(begins) + 1:
            peaks.append(force[at : at + window, foot].max())
    return np.array(peaks)


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else np.nan


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else np.nan
