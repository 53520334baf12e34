"""Points of a model's geometry, body by body."""

from __future__ import annotations

from collections.abc import Collection

import mujoco
import numpy as np

from robots.derive.anatomy import Array
from robots.geom_types import CAPSULE, CYLINDER, MESH, PLANE, SPHERE

STANDS_FOR = 0.4
"""Share of what is seen of a body that its collision geometry must reach to stand for it."""


def carrier(model: mujoco.MjModel, body: int, apart: Collection[int] = ()) -> int:
    """The body that carries `body` rigidly: itself, or the first above it with a joint.

    A body of `apart` carries what is fixed to it.
    """
    while (
        body > 0
        and body not in apart
        and int(model.body_jntnum[body]) == 0
        and int(model.body_parentid[body]) > 0
    ):
        body = int(model.body_parentid[body])
    return body


def body_points(
    model: mujoco.MjModel, data: mujoco.MjData, apart: Collection[int] = ()
) -> dict[int, Array]:
    """World points [K, 3] m on the surface of the geometry each moving body carries.

    Collision geometry where a body has some that stands for what is seen; both where it is much
    smaller (a ball in a joint is no forearm), else what is seen. `data` holds the kinematics;
    bodies of `apart` count as moving.
    """
    collides = (model.geom_contype | model.geom_conaffinity).astype(bool) | (model.geom_group >= 3)
    shapes: dict[int, tuple[list[Array], list[Array]]] = {}
    for geom in range(model.ngeom):
        body = int(model.geom_bodyid[geom])
        if body == 0 or int(model.geom_type[geom]) == PLANE:
            continue
        points = (
            geom_points(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        )
        if not np.isfinite(points).all() or not len(points):
            continue
        seen, solid = shapes.setdefault(carrier(model, body, apart), ([], []))
        (solid if collides[geom] else seen).append(points)
    return {b: _cloud(seen, solid) for b, (seen, solid) in shapes.items()}


def _cloud(seen: list[Array], solid: list[Array]) -> Array:
    """Points [K, 3] m of what a body collides with, and of what is seen where that tells more."""
    if not solid or not seen:
        return np.concatenate(solid or seen)
    colliding, visible = np.concatenate(solid), np.concatenate(seen)
    if float(np.ptp(colliding, axis=0).max()) < STANDS_FOR * float(np.ptp(visible, axis=0).max()):
        return np.concatenate([colliding, visible])
    return colliding


def geom_points(model: mujoco.MjModel, geom: int) -> Array:
    """Points [K, 3] m on the surface of a geom, in its own frame."""
    kind, size = int(model.geom_type[geom]), np.asarray(model.geom_size[geom], float)
    if kind == MESH:
        mesh = int(model.geom_dataid[geom])
        start, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        return np.asarray(model.mesh_vert[start : start + count], float)
    ball = _directions()
    if kind == SPHERE:
        return size[0] * ball
    if kind == CAPSULE:
        end = np.array([0.0, 0.0, size[1]])
        return np.concatenate([size[0] * ball + end, size[0] * ball - end])
    if kind == CYLINDER:
        turn = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
        ring = np.stack([size[0] * np.cos(turn), size[0] * np.sin(turn), 0.0 * turn], axis=1)
        top = np.array([0.0, 0.0, size[1]])
        return np.concatenate([ring + top, ring - top])
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    return corners * size


def _directions() -> Array:
    """Directions with the six axes among them, so that a ball's lowest point is one of them."""
    grid = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)], float)
    grid = grid[np.abs(grid).sum(axis=1) > 0]
    return grid / np.linalg.norm(grid, axis=1, keepdims=True)
