"""Terrain in a simulated scene: the geoms of what `mimic_base.terrain` describes."""

from __future__ import annotations

import mujoco
import numpy as np

from mimic_base.terrain import (
    Block,
    Boxes,
    HeightField,
    Plane,
    Ramp,
    RoughGround,
    Slope,
    Steps,
    Terrain,
    TerrainParts,
    TerrainSurface,
)
from robots.overlay import GROUND_CONTYPE

__all__ = [
    "Block",
    "Boxes",
    "HeightField",
    "Plane",
    "Ramp",
    "RoughGround",
    "Slope",
    "Steps",
    "Terrain",
    "TerrainParts",
    "TerrainSurface",
    "add_terrain",
]


def add_terrain(spec: mujoco.MjSpec, parts: TerrainParts, friction: float) -> None:
    """Add the geoms of the terrain to the world body of a model."""
    ground = spec.worldbody.add_geom(
        name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0.0, 0.0, 0.05]
    )
    geoms = [ground]
    along_x, along_y = parts.plane_gradient
    if parts.plane_height:
        ground.pos = [0.0, 0.0, parts.plane_height]
    if along_x or along_y:
        quat = np.zeros(4)
        up = np.array([-along_x, -along_y, 1.0])
        mujoco.mju_quatZ2Vec(quat, up / np.linalg.norm(up))
        ground.quat = quat
    for index, block in enumerate(parts.blocks):
        geoms.append(
            spec.worldbody.add_geom(
                name=f"terrain_{index}", type=mujoco.mjtGeom.mjGEOM_BOX,
                size=list(block.half_size), pos=list(block.pos), quat=list(block.quat),
                rgba=[0.55, 0.57, 0.6, 1.0],
            )
        )  # fmt: skip
    if parts.field_heights is not None:
        heights = parts.field_heights
        low, span = float(heights.min()), float(np.ptp(heights))
        share = (heights - low) / span if span else np.zeros_like(heights)
        spec.add_hfield(
            name="terrain_field", nrow=heights.shape[0], ncol=heights.shape[1],
            size=[0.5 * parts.field_size[0], 0.5 * parts.field_size[1], span or 1e-3, 0.1],
            userdata=share.astype(np.float32).ravel().tolist(),
        )  # fmt: skip
        geoms.append(
            spec.worldbody.add_geom(
                name="terrain_field", type=mujoco.mjtGeom.mjGEOM_HFIELD,
                hfieldname="terrain_field", pos=[*parts.field_pos, low],
                rgba=[0.55, 0.57, 0.6, 1.0],
            )
        )  # fmt: skip
    for geom in geoms:
        geom.contype = GROUND_CONTYPE
        geom.conaffinity = 0
        geom.friction = [friction, 0.005, 0.0001]
