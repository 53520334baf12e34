"""Ground alignment of a solved clip, by the soles that would touch the ground."""

from __future__ import annotations

from functools import partial

import numpy as np

from mimic_base.rotations import quat_rotate
from mimic_base.stretches import by_stretches
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from robots.robot import Robot


def sole_heights(
    robot: Robot, body_pos_w: Array, body_quat_w: Array, ground: Surface = FLAT
) -> Array:
    """Height of the lowest sole point of each foot over the ground, [T, 2] m."""
    lowest = []
    for name, points in zip(robot.feet, robot.sole_points, strict=True):
        body = robot.body_names.index(name)
        foot = partial(_lowest, points, ground)
        lowest.append(by_stretches(foot, body_pos_w[:, body], body_quat_w[:, body]))
    return np.stack(lowest, axis=1)


def _lowest(points: Array, ground: Surface, pos: Array, quat: Array) -> Array:
    """Height [T] m of the lowest of a foot's points over the ground."""
    world = pos[:, None] + quat_rotate(quat[:, None], points[None])
    height = world[..., 2] if ground.is_flat else ground.clearance(world)
    return height.min(axis=1)


def ground_shift(heights: Array, standing: Array) -> float:
    """Constant to add to all heights so that standing soles are on the ground.

    `heights` [T, 2] of the lowest sole points, `standing` [T, 2] bool. The median of standing
    soles decides; a clip that never stands stays where the source's ground has put it.
    """
    return -float(np.median(heights[standing])) if standing.sum() >= 3 else 0.0
