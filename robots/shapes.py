"""What is seen of a robot: the triangles of its visible geometry, per body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.geom_types import BOX, CAPSULE, CYLINDER, ELLIPSOID, MESH, SPHERE
from robots.meshes import Mesh, hull, simplified

if TYPE_CHECKING:
    from robots.robot import Robot

_VISIBLE_GROUPS = 3
"""MuJoCo's viewer shows the geoms of groups 0 to 2; collision shapes are kept in later ones."""
_DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)
_ROUND = 16
"""Points around a round shape."""


@lru_cache(maxsize=4)
def drawn_model(robot: Robot) -> mujoco.MjModel:
    """The robot's model with all that its vendor draws, compiled once per robot."""
    return robot.spec().compile()


@lru_cache(maxsize=4)
def vendor_model(robot: Robot) -> mujoco.MjModel:
    """The vendor's own model, drawn and colliding geometry, compiled once per robot.

    A model whose geometry is absent altogether is seen as the lean shapes of its description.
    """
    model = robot.vendor_spec().compile()
    return model if (model.geom_bodyid > 0).any() else drawn_model(robot)


@dataclass(frozen=True)
class Shape:
    """Triangles in the frame of a body (m), and their colour, red, green, blue, alpha in 0..1."""

    body: str
    mesh: Mesh
    rgba: tuple[float, float, float, float]


def visible_shapes(model: mujoco.MjModel, cell: float = 0.0) -> list[Shape]:
    """One shape per body and colour, of the geoms that MuJoCo's own viewer shows.

    A model that shows none is seen as what it collides with. The world's geoms (a floor) are left
    out. Vertices nearer than ``cell`` (m) are merged; 0 keeps the vendor's detail.
    """
    on_robot = np.flatnonzero(model.geom_bodyid > 0)
    seen = [g for g in on_robot if model.geom_group[g] < _VISIBLE_GROUPS] or list(on_robot)
    parts: dict[tuple[str, tuple[float, float, float, float]], list[Mesh]] = {}
    for geom in seen:
        mesh = geom_mesh(model, int(geom), cell)
        if mesh is not None:
            body = model.body(int(model.geom_bodyid[geom])).name
            parts.setdefault((body, _colour(model, int(geom))), []).append(mesh)
    return [Shape(body, _joined(meshes), rgba) for (body, rgba), meshes in parts.items()]


def geom_mesh(model: mujoco.MjModel, geom: int, cell: float = 0.0) -> Mesh | None:
    """Triangles of a geom in its body's frame; None for planes and other shapes without end."""
    kind = int(model.geom_type[geom])
    if kind == MESH:
        index = int(model.geom_dataid[geom])
        first, count = int(model.mesh_vertadr[index]), int(model.mesh_vertnum[index])
        first_face, faces = int(model.mesh_faceadr[index]), int(model.mesh_facenum[index])
        mesh = Mesh(
            np.asarray(model.mesh_vert[first : first + count], np.float64),
            np.asarray(model.mesh_face[first_face : first_face + faces], np.int64),
        )
        mesh = simplified(mesh, cell) if cell > 0 else mesh
    else:
        points = _outline(kind, np.asarray(model.geom_size[geom], np.float64))
        if points is None:
            return None
        mesh = hull(Mesh(points, np.zeros((0, 3), np.int64)))
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
    return Mesh(mesh.vertices @ turn.reshape(3, 3).T + model.geom_pos[geom], mesh.faces)


def _outline(kind: int, size: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Points [K, 3] whose convex hull is the shape, in the geom's frame."""
    up = np.array([0.0, 0.0, 1.0])
    if kind == BOX:
        return size * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    if kind == SPHERE:
        return size[0] * _ball()
    if kind == ELLIPSOID:
        return size * _ball()
    if kind == CAPSULE:
        ball = size[0] * _ball()
        return np.concatenate([ball + size[1] * up, ball - size[1] * up])
    if kind == CYLINDER:
        ring = size[0] * _ring(0.0)
        return np.concatenate([ring + size[1] * up, ring - size[1] * up])
    return None


def _ring(latitude: float) -> NDArray[np.float64]:
    turn = np.linspace(0.0, 2.0 * np.pi, _ROUND, endpoint=False)
    flat = np.cos(latitude)
    return np.stack(
        [flat * np.cos(turn), flat * np.sin(turn), np.full(_ROUND, np.sin(latitude))], axis=1
    )


def _ball() -> NDArray[np.float64]:
    rows = np.linspace(-0.5 * np.pi, 0.5 * np.pi, _ROUND // 2 + 1)[1:-1]
    poles = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    return np.concatenate([*(_ring(latitude) for latitude in rows), poles])


def _colour(model: mujoco.MjModel, geom: int) -> tuple[float, float, float, float]:
    rgba = np.asarray(model.geom_rgba[geom], np.float64)
    material = int(model.geom_matid[geom])
    # A colour of the geom's own comes before its material's.
    if material >= 0 and np.allclose(rgba, _DEFAULT_RGBA):
        rgba = np.asarray(model.mat_rgba[material], np.float64)
    r, g, b, a = (round(float(value), 4) for value in rgba)
    return (r, g, b, a)


def _joined(meshes: list[Mesh]) -> Mesh:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, offsets, strict=True)]),
    )
