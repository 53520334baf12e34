"""The terrain of a motion's scene as a ground to ask for its height, and a ground as a scene.

One description serves everybody: `mimic retarget --ground` makes it, the motion file carries it in
its scene (`motions.robot.scene`), quality figures and pictures ask its height, and the simulation
builds its geoms from it (`mimic.sim.terrain`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mimic_base.surface import FLAT, Surface
from mimic_base.surface import Slope as TiltedPlane
from mimic_base.terrain import (
    Block,
    Boxes,
    HeightField,
    Plane,
    Slope,
    Terrain,
    TerrainParts,
    TerrainSurface,
)
from mimic_base.vectors import Array

FINEST, MOST_CELLS = 0.025, 400
"""m between the heights of a sampled ground, unless one side would have more than so many cells."""
BEYOND = 1.0
"""m of ground that is kept around where a motion went."""


def terrain_of(scene: Mapping[str, Any]) -> Terrain:
    """The terrain of a checked scene (see `motions.robot.scene`); a plane where it has none."""
    terrain = scene.get("terrain", {"type": "plane"})
    if terrain["type"] == "slope":
        return Slope(angle=terrain["angle"], heading=terrain.get("heading", 0.0))
    if terrain["type"] == "boxes":
        return Boxes(
            blocks=tuple(
                Block(**{key: tuple(values) for key, values in box.items()})
                for box in terrain["boxes"]
            )
        )
    if terrain["type"] == "height_field":
        width, depth = terrain["size"]
        x, y = terrain.get("pos", (0.0, 0.0))
        heights = tuple(tuple(row) for row in terrain["heights"])
        return HeightField(
            heights=heights, size=(width, depth), pos=(x, y), around=terrain.get("around")
        )
    return Plane()


def ground_of(scene: Mapping[str, Any]) -> Surface:
    """The surface that feet stand on in a checked scene."""
    surface = TerrainSurface(terrain_of(scene).parts())
    return FLAT if surface.is_flat else surface


def terrain_data(parts: TerrainParts) -> dict[str, Any] | None:
    """A terrain as the data of a scene; None where a scene has no words for it."""
    plane = parts.plane_height == 0.0 and parts.plane_gradient == (0.0, 0.0)
    if parts.field_heights is not None:
        alone = parts.plane_gradient == (0.0, 0.0) and not parts.blocks
        field: dict[str, Any] = {
            "type": "height_field",
            "size": list(parts.field_size),
            "heights": np.round(parts.field_heights, 5).tolist(),
            "around": parts.plane_height,
        }
        if parts.field_pos != (0.0, 0.0):
            field["pos"] = list(parts.field_pos)
        return field if alone else None
    if parts.blocks:
        boxes = [
            {"pos": list(b.pos), "half_size": list(b.half_size), "quat": list(b.quat)}
            for b in parts.blocks
        ]
        return {"type": "boxes", "boxes": boxes} if plane else None
    if plane:
        return {"type": "plane"}
    return _slope(*parts.plane_gradient) if parts.plane_height == 0.0 else None


def scene_on(ground: Surface, path: Array) -> dict[str, Any]:
    """The scene of a motion that went along `path` [T, 2] m over `ground`; empty for the floor.

    A ground that is a function only, which a scene has no words for, is kept as a height field
    around the path.
    """
    if ground.is_flat:
        return {}
    data = None
    if isinstance(ground, TerrainSurface):
        data = terrain_data(ground.parts)
    elif isinstance(ground, TiltedPlane) and ground.level == 0.0:
        data = _slope(ground.along_x, ground.along_y)
    return {"terrain": sampled(ground, path) if data is None else data}


def sampled(ground: Surface, path: Array) -> dict[str, Any]:
    """A ground around `path` [T, 2] m as a height field."""
    low, high = path.min(axis=0) - BEYOND, path.max(axis=0) + BEYOND
    cells = np.clip(np.ceil((high - low) / FINEST), 1, MOST_CELLS).astype(int)
    x, y = (np.linspace(a, b, n + 1) for a, b, n in zip(low, high, cells, strict=True))
    heights = ground.height(*np.meshgrid(x, y))
    return {
        "type": "height_field",
        "size": (high - low).tolist(),
        "pos": (0.5 * (low + high)).tolist(),
        "heights": np.round(heights, 5).tolist(),
    }


def _slope(along_x: float, along_y: float) -> dict[str, Any]:
    return {
        "type": "slope",
        "angle": math.atan(math.hypot(along_x, along_y)),
        "heading": math.atan2(along_y, along_x),
    }
