"""Giving a body without a place one: constant bones, and a way over the ground.

Pose estimators see the body around its own hips. What they cannot see follows from two facts: bones
do not change their length, and what stands on the ground does not move over it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.rotations import norm
from mimic_base.signals import low_pass

Array = NDArray[Any]

CONTACT_HEIGHT = 0.04
"""How far above the lowest point a joint still counts as standing, m (e-folding height)."""
_CONTACT_SPEED = 0.5
"""World speed at which a low joint counts as half as still, m/s."""
_ROUNDS = 3
_ROOT_HZ = 4.0


def fixed_bones(pos: Array, parents: tuple[int, ...], names: tuple[str, ...]) -> Array:
    """`pos` [T, J, 3] with every bone at its median length, left and right alike.

    Directions stay. A parent stands before its children; names begin with the side.
    """
    length = [
        float(np.median(norm(pos[:, j] - pos[:, p]))) if p >= 0 else 0.0
        for j, p in enumerate(parents)
    ]
    fixed = pos.copy()
    for joint, parent in enumerate(parents):
        if parent < 0:
            continue
        side, _, part = names[joint].partition("_")
        other = {"left": f"right_{part}", "right": f"left_{part}"}.get(side, names[joint])
        size = 0.5 * (length[joint] + length[names.index(other)])
        bone = pos[:, joint] - pos[:, parent]
        bone = bone / np.maximum(norm(bone)[:, None], 1e-9)
        fixed[:, joint] = fixed[:, parent] + size * bone
    return fixed


def walk_on_ground(pos: Array, fps: float) -> Array:
    """`pos` [T, J, 3] m, y up, with a path: the lowest point at y = 0, what is low stays still.

    The body's velocity is minus that of the joints that stand, weighted by how low they are and,
    from the second round on, by how still that leaves them. With both feet in the air the body
    keeps to the ground: heights of jumps cannot be recovered from poses alone.
    """
    height = pos[..., 1]
    lowest = height.min(axis=1, keepdims=True)
    low = np.exp(-(height - lowest) / CONTACT_HEIGHT)
    velocity = np.gradient(pos, 1.0 / fps, axis=0)[..., [0, 2]]
    weight = low
    root = np.zeros((len(pos), 2))
    for _ in range(_ROUNDS):
        share = weight / weight.sum(axis=1, keepdims=True)
        root = -(share[..., None] * velocity).sum(axis=1)
        speed = np.linalg.norm(velocity + root[:, None], axis=-1)
        weight = low / (1.0 + (speed / _CONTACT_SPEED) ** 2)
    root = low_pass(root, fps, _ROOT_HZ)
    path = np.zeros((len(pos), 2))
    path[1:] = np.cumsum(0.5 * (root[1:] + root[:-1]), axis=0) / fps
    placed = pos.copy()
    placed[..., [0, 2]] += path[:, None]
    placed[..., 1] -= low_pass(lowest, fps, _ROOT_HZ)
    return placed
