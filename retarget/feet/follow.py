"""A ground that follows the person: for captures that hover, sink or drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from mimic_base.vectors import Array
from motions import HumanMotion
from robots.segments import SIDES

LONGEST_FLIGHT = 0.8
"""s; who is in the air for longer does not jump."""
SMOOTH = 0.15
"""s, standard deviation of the ground's height over time."""
_STILL = 0.5
"""m/s; a foot slower than this may stand."""


def ground_below(human: HumanMotion) -> Array:
    """Height [T] m of the ground under a person whose feet stand on it again and again.

    Where the lowest joint of the feet is still it stands, on the ground of that moment; in between
    the height is interpolated. A flight ends in such a moment, so jumps keep their height.
    """
    feet = [human.roles[name] for side in SIDES for name in (f"{side}_toe", f"{side}_ankle")
            if name in human.roles]  # fmt: skip
    pos = human.pos_w[:, feet]
    speed = np.linalg.norm(np.gradient(pos, 1.0 / human.fps, axis=0), axis=-1)
    lowest = pos[..., 2].argmin(axis=1)
    rows = np.arange(len(pos))
    low = pos[rows, lowest, 2]
    # Lying and crawling, something else touches the ground.
    low = np.minimum(low, human.pos_w[:, sorted(set(human.roles.values())), 2].min(axis=1))
    still = speed[rows, lowest] < _STILL
    window = max(1, round(LONGEST_FLIGHT * human.fps))
    if still.sum() < 2:
        height = minimum_filter1d(low, window)
    else:
        stands = _lower_of_near(rows[still], low, human.fps)
        height = np.interp(rows, rows[still], stands)
    return np.asarray(gaussian_filter1d(height, SMOOTH * human.fps, mode="nearest"))


def _lower_of_near(frames: Array, low: Array, fps: float) -> Array:
    """Heights `low` [T] at `frames`, or what is lower both before and after within a flight's
    length: a foot that is still at the top of a jump does not stand."""
    reach = round(0.5 * LONGEST_FLIGHT * fps)
    result = low[frames].copy()
    for k, frame in enumerate(frames):
        before = low[max(0, frame - reach) : frame + 1].min()
        after = low[frame : frame + reach + 1].min()
        most = max(float(before), float(after))
        if result[k] - most > 0.1:
            result[k] = most
    return result


def following(human: HumanMotion) -> HumanMotion:
    """The clip with the ground below it at z = 0 in every frame."""
    ground = ground_below(human)
    moved = human.pos_w.copy()
    moved[..., 2] -= ground[:, None]
    said = [w for w in human.report.get("warnings", ()) if "no foot stands" not in w]
    span = float(np.ptp(ground))
    said.append(f"the ground follows the feet: it moves by {100 * span:.0f} cm under them")
    return replace(human, pos_w=moved, report={**human.report, "warnings": said})
