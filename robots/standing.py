"""The soles of a robot's feet, and how high it stands on them."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import RobotError
from robots.geom_types import BOX, CAPSULE
from robots.overlay import GROUND_CONTYPE

SOLE_SLACK = 0.01
"""m; points within it of the lowest belong to the sole."""


def sole_points(model: mujoco.MjModel, foot: str) -> NDArray[np.float64]:
    """Lowest collision points of a foot in its own frame, [K, 3] m, the zero pose taken as flat.

    Raises:
        RobotError: the foot has no collision geometry.
    """
    body = model.body(foot).id
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    down = -data.xmat[body].reshape(3, 3)[2]
    points = []
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] != body or not model.geom_conaffinity[geom] & GROUND_CONTYPE:
            continue
        radius = model.geom_size[geom, 0]
        centres = [model.geom_pos[geom]]
        axes = np.zeros(9)
        mujoco.mju_quat2Mat(axes, model.geom_quat[geom])
        axes = axes.reshape(3, 3)
        if int(model.geom_type[geom]) == CAPSULE:
            offset = axes[:, 2] * model.geom_size[geom, 1]
            centres = [model.geom_pos[geom] + offset, model.geom_pos[geom] - offset]
        elif int(model.geom_type[geom]) == BOX:
            radius = 0.0
            signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
            centres = list(model.geom_pos[geom] + (signs * model.geom_size[geom]) @ axes.T)
        points += [centre + radius * down for centre in centres]
    if not points:
        raise RobotError(f"foot '{foot}' has no collision geometry: the sole is unknown")
    stacked = np.array(points)
    depth = stacked @ down
    return stacked[depth > depth.max() - SOLE_SLACK]


def standing_height(
    model: mujoco.MjModel,
    joint_pos: NDArray,
    feet: tuple[str, str],
    soles: tuple[NDArray, NDArray],
) -> float:
    """Height of the root, m, at which the lowest point of the soles [K, 3] is on the ground."""
    data = mujoco.MjData(model)
    data.qpos[:3] = 0.0
    data.qpos[7:] = joint_pos
    mujoco.mj_kinematics(model, data)
    heights = []
    for foot, points in zip(feet, soles, strict=True):
        rotation = data.body(foot).xmat.reshape(3, 3)
        heights.append((points @ rotation.T + data.body(foot).xpos)[:, 2].min())
    return float(-min(heights))
