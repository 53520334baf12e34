"""What counts as one in the quantities of a frame of motion: fixed units for what judges it.

A judge that normalises windows by what it has seen of the robot takes much for little: a robot that
falls and jitters widens the spread of velocities, and the narrow spread of heights makes a
centimetre loud. Here every quantity has an error that counts as one, and a weight of its mean
square, however many columns it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mimic.envs.mdp.motion_frames import motion_frame
from mimic.envs.observation import reference_to
from mimic.envs.spec import ObservationEntry

UNITS: Mapping[str, tuple[float, float]] = {
    "height": (0.05, 1.0), "tilt": (0.15, 1.0), "velocity": (0.4, 1.0), "spin": (1.5, 0.5),
    "joint_pos": (0.2, 2.0), "joint_vel": (4.0, 0.5), "bodies": (0.08, 2.0),
}  # fmt: skip
"""What counts as one (m, 1, m/s, rad/s, rad, rad/s, m), and the weight of each quantity's mean
square, of ``mimic.envs.features.motion_frame``."""


def unit_of_columns(joints: int, size: int) -> torch.Tensor:
    """[size] what counts as one in each column of a ``motion_frame``: then the mean square of all
    columns is the weighted mean of the quantities' mean squares."""
    counts = {
        "height": 1, "tilt": 6, "velocity": 3, "spin": 3, "joint_pos": joints, "joint_vel": joints,
    }  # fmt: skip
    counts["bodies"] = size - sum(counts.values())
    total = sum(weight for _, weight in UNITS.values())
    parts = []
    for name, count in counts.items():
        unit, weight = UNITS[name]
        parts.append(torch.full((count,), unit * (count * total / (weight * size)) ** 0.5))
    return torch.cat(parts)


def unit_of_windows(entries: Sequence[ObservationEntry], joints: int) -> torch.Tensor | None:
    """[D] what counts as one in each column of a group of ``motion_frame`` alone; None for other
    terms, of which nothing is known."""
    if len(entries) != 1 or entries[0].function != reference_to(motion_frame):
        return None
    entry = entries[0]
    return (entry.scale * unit_of_columns(joints, entry.size)).repeat(entry.history)
