"""Does a file's frame rate fit the velocities that it carries?

A velocity is a rate times the difference between frames. So the stored velocities tell the rate of
the stored positions: the slope of the one over the other, by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.resample import check_fps
from mimic_base.stretches import stretches

Array = NDArray[Any]

ALIKE = 0.9
"""Least cosine between velocities and differences, below which they say nothing of each other."""
TOLERANCE = 0.08
"""Relative error of a rate that is let pass: a simulator's velocities, true at each instant, exceed
the differences of a limb that shakes at a tenth of the rate by 7 %."""
ENOUGH_MOTION = 1e-3
"""Root mean square change per frame (m or rad) below which nothing can be told."""


def fitting_rate(pairs: Sequence[tuple[Array, Array]]) -> float | None:
    """Frames per second at which values [T, ...] have the velocities [T, ...] beside them.

    None when there is nothing to tell it by: no pair of the same shape, no motion, velocities that
    do not belong to the values.
    """
    rates = []
    for values, velocities in pairs:
        if values.shape != velocities.shape or len(values) < 3 or not values.size:
            continue
        size = product = square = 0.0
        for part in stretches(len(values) - 2):
            before, after = values[part], values[part.start + 2 : part.stop + 2]
            change, speed = (after - before) / 2.0, velocities[part.start + 1 : part.stop + 1]
            size, product = size + float((change**2).sum()), product + float((change * speed).sum())
            square += float((speed**2).sum())
        if not np.isfinite([size, square]).all():
            continue
        if np.sqrt(size / values[2:].size) < ENOUGH_MOTION:
            continue
        if product > ALIKE * np.sqrt(size * square):
            rates.append(product / size)
    if not rates or max(rates) > (1.0 + TOLERANCE) * min(rates):
        return None
    return float(np.mean(rates))


def check_rate(where: str, fps: float, fitting: float | None) -> list[str]:
    """A note when the velocities confirm `fps`; `InputError` when they fit another rate."""
    if fitting is None:
        return []
    if agrees(fps, fitting):
        return [f"{fps:g} fps, confirmed by the file's velocities"]
    raise input_error(
        where,
        "the frame rate contradicts the file's own velocities",
        found=f"fps {fps:g}, while the velocities fit {rounded(fitting):g}",
        fix=f"--source-fps {rounded(fitting):g} if the velocities are right, "
        f"--source-fps {fps:g} if fps is",
    )


def asked_rate(
    where: str, said: float | None, fitting: float | None, asked: float
) -> tuple[float, list[str]]:
    """The rate that the user gives, and what in the file speaks against it."""
    fps = check_fps(asked, f"{where}: --source-fps")
    doubts = [f"the file says {said:g}"] if said and abs(said - fps) > 1e-6 else []
    if fitting is not None and not agrees(fps, fitting):
        doubts.append(f"its velocities fit {rounded(fitting):g}")
    return fps, [f"{fps:g} fps as asked for, {', '.join(doubts)}"] if doubts else []


def agrees(fps: float, fitting: float) -> bool:
    """Whether two rates are the same but for rounding and the way velocities are taken."""
    return abs(fitting / fps - 1.0) <= TOLERANCE


def rounded(fps: float) -> float:
    """A rate found by a fit as one would say it: a whole number when it is within 1 %."""
    whole = float(round(fps))
    return whole if whole > 0 and abs(fps / whole - 1.0) < 0.01 else round(fps, 2)
