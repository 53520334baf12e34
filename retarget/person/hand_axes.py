"""Axes of a hand that stay the same in its joint's frame."""

from __future__ import annotations

import numpy as np

from mimic_base.rotations import cross, quat_inv_rotate
from mimic_base.vectors import UP, Array, robust_direction, rotate_about, unit
from motions import HumanMotion
from robots.segments import SegmentTrack


def hand_in_joint(
    human: HumanMotion, side: str, forearm: SegmentTrack, rest: Array | None
) -> tuple[Array, Array] | None:
    """Directions [3] along the fingers and out of the palm in the frame of the `side`'s wrist.

    Neutral is the rest pose, whose joint frames are turned by `rest` [3, 3], or else the clip's
    own mean beside its `forearm`. None without rotations.
    """
    if human.quat_w is None:
        return None
    quat = human.quat_w[:, human.roles[f"{side}_wrist"]]
    sign = 1.0 if side == "left" else -1.0
    if rest is not None and human.rest_pos is not None:
        at = {r: human.rest_pos[j] for r, j in human.roles.items()}
        along = unit(at[f"{side}_wrist"] - at[f"{side}_elbow"])
        left = unit(at["left_shoulder"] - at["right_shoulder"])
        return rest.T @ along, rest.T @ _rest_palm(along, sign * left)
    along = robust_direction(quat_inv_rotate(quat, forearm.primary), np.ones(len(quat)))
    palm = quat_inv_rotate(quat, sign * forearm.secondary)
    return along, robust_direction(palm, forearm.confidence)


def _rest_palm(along: Array, outward: Array) -> Array:
    """Palm normal of a rest pose: down in a T-pose, carried by the smallest turn of the arm."""
    axis = cross(outward, along)
    size = float(np.linalg.norm(axis))
    if size < 1e-6:
        return -UP
    return rotate_about(-UP, axis / size, np.arctan2(size, outward @ along))
