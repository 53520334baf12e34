"""The terrain of a motion's scene as triangles for the viewer."""

from __future__ import annotations

from itertools import product

import numpy as np

from mimic_base.rotations import quat_rotate
from mimic_base.terrain import TerrainParts
from mimic_base.vectors import Array
from robots.meshes import Mesh, hull

BEYOND = 6.0
"""m of a tilted plane that is drawn around where the robot goes."""


def terrain_meshes(parts: TerrainParts, path: Array) -> list[Mesh]:
    """Boxes, height field and tilted plane around `path` [T, 2] m; nothing for the level plane,
    which the viewer's grid stands for."""
    signs = np.array(list(product((-1.0, 1.0), repeat=3)))
    none = np.zeros((0, 3), np.int64)
    meshes = []
    for block in parts.blocks:
        corners = quat_rotate(np.array(block.quat), signs * block.half_size) + block.pos
        meshes.append(hull(Mesh(corners, none)))
    along = np.array(parts.plane_gradient)
    if along.any():
        low, high = path.min(axis=0) - BEYOND, path.max(axis=0) + BEYOND
        x, y = np.meshgrid([low[0], high[0]], [low[1], high[1]])
        meshes.append(_grid(x, y, parts.plane_height + along[0] * x + along[1] * y))
    if parts.field_heights is not None:
        rows, columns = parts.field_heights.shape
        x, y = (
            middle + size * np.linspace(-0.5, 0.5, count)
            for middle, size, count in zip(
                parts.field_pos, parts.field_size, (columns, rows), strict=True
            )
        )
        meshes.append(_grid(*np.meshgrid(x, y), parts.field_heights))
    return meshes


def _grid(x: Array, y: Array, z: Array) -> Mesh:
    """Two triangles per cell of a grid [Ny, Nx], cut as MuJoCo cuts a height field."""
    index = np.arange(x.size).reshape(x.shape)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
    return Mesh(np.stack([x, y, z], axis=-1).reshape(-1, 3), faces)
