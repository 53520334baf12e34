"""Left-right symmetry of a robot, derived from its kinematics rather than from names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import RobotError
from robots.robot import Robot

POSITION_TOLERANCE = 0.01
"""Metres between a mirrored joint or body and its partner; vendor models are not exact."""
AXIS_TOLERANCE = 0.99
"""Cosine between a mirrored hinge axis and its partner's."""


@dataclass(frozen=True, kw_only=True)
class MirrorMap:
    """How a configuration is reflected in the robot's x-z plane.

    Attributes:
        joint_index, joint_sign: [J]; the mirrored joint positions are
            ``joint_sign * joint_pos[..., joint_index]``, and velocities and torques likewise.
        body_index: [B]; the partner of each body, itself for those on the middle line.
    """

    joint_index: NDArray[np.int64]
    joint_sign: NDArray[np.float64]
    body_index: NDArray[np.int64]


def mirror_map(robot: Robot) -> MirrorMap:
    """Pair the joints and bodies of the left with those of the right.

    Raises:
        RobotError: a joint or a body has no mirror image.
    """
    # A robot's computer, which has policies and no MuJoCo, imports this module for `MirrorMap`.
    import mujoco

    model = robot.model
    data = mujoco.MjData(model)
    data.qpos[3] = 1.0
    mujoco.mj_forward(model, data)
    flip = np.array([1.0, -1.0, 1.0])
    base = data.xpos[1]
    bodies = _partners(
        robot, "body", robot.body_names, flip * (data.xpos[1:] - base), data.xpos[1:] - base
    )
    hinges = slice(1, model.njnt)
    anchors = data.xanchor[hinges] - base
    axes = data.xaxis[hinges]
    # An axis is a pseudovector: a reflection turns it around and mirrors it.
    mirrored = -flip * axes
    cosine = mirrored @ axes.T
    joints = _partners(
        robot, "joint", robot.joint_names, flip * anchors, anchors, np.abs(cosine) > AXIS_TOLERANCE
    )
    sign = np.sign(cosine[np.arange(len(joints)), joints])
    return MirrorMap(joint_index=joints, joint_sign=sign, body_index=bodies)


def _partners(
    robot: Robot,
    kind: str,
    names: tuple[str, ...],
    mirrored: NDArray[np.float64],
    positions: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """For each mirrored place [K, 3] the index of what stands there."""
    distance = np.linalg.norm(mirrored[:, None] - positions[None], axis=-1)
    if allowed is not None:
        distance = np.where(allowed, distance, np.inf)
    # Several bodies may share a place (a chain of hinges without offsets): the order within a
    # chain is the same on both sides, so that the n-th here belongs to the n-th there.
    partner = np.full(len(names), -1)
    for index in range(len(names)):
        near = np.flatnonzero(distance[index] < POSITION_TOLERANCE)
        free = near[~np.isin(near, partner[:index])]
        if not len(free):
            raise RobotError(
                f"{robot.name}: {kind} '{names[index]}' has no mirror image on the other side; "
                "left-right symmetry needs a symmetric robot"
            )
        partner[index] = free[np.argmin(distance[index, free])] if len(near) == 1 else free[0]
    if not np.array_equal(partner[partner], np.arange(len(names))):
        raise RobotError(f"{robot.name}: the {kind}s do not pair up left and right")
    return partner
