"""The model that is drawn: the robot, its ghost, a floor, a sky and light. No physics."""

from __future__ import annotations

from itertools import combinations, product

import mujoco
import numpy as np

from mimic.sim.objects import add_object
from mimic.sim.scene import SceneConfig
from mimic.sim.terrain import Block, Plane, add_terrain
from mimic_base.rotations import quat_to_matrix
from robots import Robot
from robots.meshes import compiled_mesh, hull, simplified
from robots.shapes import drawn_model

COLLISION_GROUP = 3
"""Where the robot's overlay keeps its collision geometry: not drawn."""
GHOST_GROUP = 4
FLOOR_GROUP = 5
GHOST_RGBA = (0.16, 0.52, 0.95, 0.40)
TERRAIN_RGBA = (0.74, 0.76, 0.79, 1.0)
EDGE_RGBA = (0.36, 0.40, 0.46, 1.0)
EDGE_RADIUS = 0.005
GHOST_SCALE = 0.92
"""A ghost a little slimmer than the robot hides in it where the two agree."""
MESH_CELL = 0.004
"""Vertices nearer than this are merged, m: about half a pixel of a video of the whole robot."""
GHOST_CELL = 0.012
"""The ghost's hulls are coarser: seen through, they need no detail."""


def stage_model(robot: Robot, scene: SceneConfig | None = None) -> mujoco.MjModel:
    """Compile the robot for drawing, with the terrain and the objects of ``scene`` around it.

    Coordinates are those of ``make_scene``: the robot's, then those of the free objects.

    Geoms of group ``GHOST_GROUP`` are a translucent copy of the visible ones, as convex hulls, so
    that a second ``MjData`` of the same model draws the reference.
    """
    spec = robot.spec()
    geoms = [g for g in spec.geoms if g.parent.name != "world"]
    visible = [g for g in geoms if g.group != COLLISION_GROUP]
    if not visible:
        # A model without meshes: show what it collides with.
        visible = geoms
        for geom in visible:
            geom.group = 1
    _lighten(spec, drawn_model(robot), {g.meshname for g in visible if g.meshname})
    for geom in visible:
        _add_ghost(geom)
    flat = scene is None or isinstance(scene.terrain, Plane)
    _add_surroundings(spec, floor=flat)
    if scene is not None:
        _add_scene(spec, scene)
    return spec.compile()


def _add_scene(spec: mujoco.MjSpec, scene: SceneConfig) -> None:
    """Terrain and objects; what does not move is drawn with the floor."""
    if not isinstance(scene.terrain, Plane):
        parts = scene.terrain.parts()
        add_terrain(spec, parts, scene.terrain.friction)
        for geom in spec.worldbody.geoms:
            geom.group = FLOOR_GROUP
            # Boxes take no flat texture.
            box = geom.type == mujoco.mjtGeom.mjGEOM_BOX
            geom.material = "step" if box else "floor"
            geom.rgba = np.array([1.0, 1.0, 1.0, 1.0])
        for block in parts.blocks:
            _add_edges(spec, block)
    for name, each in scene.objects.items():
        add_object(spec, name, each.checked(name))
        geom = spec.geom(name)
        geom.rgba = np.array(each.rgba)
        geom.group = FLOOR_GROUP if each.fixed else 0


def _add_edges(spec: mujoco.MjSpec, block: Block) -> None:
    """Dark lines along the edges of a box: its faces are of one colour, whatever the light."""
    turn, centre = quat_to_matrix(np.array(block.quat)), np.array(block.pos)
    half = np.array(block.half_size)
    corners = [np.array(signs) for signs in product((-1.0, 1.0), repeat=3)]
    for start, end in combinations(corners, 2):
        if np.abs(start - end).sum() == 2.0:
            line = spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE, group=FLOOR_GROUP, contype=0, conaffinity=0,
                fromto=[*(centre + turn @ (half * start)), *(centre + turn @ (half * end))],
            )  # fmt: skip
            line.size[0] = EDGE_RADIUS
            line.rgba = np.array(EDGE_RGBA)


def _lighten(spec: mujoco.MjSpec, model: mujoco.MjModel, drawn: set[str]) -> None:
    for index, mesh in enumerate(list(spec.meshes)):
        name = model.mesh(index).name
        if name not in drawn:
            continue
        original = compiled_mesh(model, index)
        mesh.name = name
        simplified(original, MESH_CELL).write_to(mesh)
        ghost = spec.add_mesh(name=f"ghost/{name}")
        hull(simplified(original, GHOST_CELL), GHOST_SCALE).write_to(ghost)


def _add_ghost(geom: mujoco.MjsGeom) -> None:
    ghost = geom.parent.add_geom(
        type=geom.type, size=geom.size, pos=geom.pos, quat=geom.quat, fromto=geom.fromto
    )
    if geom.meshname:
        ghost.meshname = f"ghost/{geom.meshname}"
    ghost.group = GHOST_GROUP
    ghost.rgba = np.array(GHOST_RGBA)
    ghost.contype = ghost.conaffinity = 0
    ghost.mass = 0.0


def _add_surroundings(spec: mujoco.MjSpec, *, floor: bool) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.97],
        rgb2=[0.55, 0.68, 0.83],
        width=512,
        height=3072,
    )
    checker = spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.80, 0.82, 0.84],
        rgb2=[0.71, 0.73, 0.76],
        mark=mujoco.mjtMark.mjMARK_EDGE,
        markrgb=[0.64, 0.66, 0.69],
        width=512,
        height=512,
    )
    material = spec.add_material(name="floor", texuniform=True, texrepeat=[1.0, 1.0])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = checker.name
    cube = spec.add_texture(
        name="step",
        type=mujoco.mjtTexture.mjTEXTURE_CUBE,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.86, 0.80, 0.72],
        rgb2=[0.79, 0.73, 0.65],
        width=256,
        height=1536,
    )
    material = spec.add_material(name="step", texuniform=True, texrepeat=[1.0, 1.0])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = cube.name
    if floor:
        spec.worldbody.add_geom(
            name="floor",
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[0.0, 0.0, 0.05],
            material="floor",
            group=FLOOR_GROUP,
            contype=0,
            conaffinity=0,
        )
    # The renderer moves it along with the camera.
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.0, 0.0, 6.0],
        dir=[-0.35, 0.45, -0.82],
        diffuse=[0.62, 0.60, 0.57],
        specular=[0.20, 0.20, 0.20],
        castshadow=True,
    )
    visual = spec.visual
    visual.headlight.ambient = np.array([0.36, 0.37, 0.39])
    visual.headlight.diffuse = np.array([0.42, 0.42, 0.42])
    visual.headlight.specular = np.array([0.05, 0.05, 0.05])
    visual.rgba.haze = np.array([0.93, 0.95, 0.97, 1.0])
    visual.map.znear = 0.1
    visual.map.zfar = 80.0
    visual.quality.shadowsize = 2048
    # Distances of fog and shadow are measured in units of the extent.
    spec.stat.extent = 1.5
    spec.stat.center = np.array([0.0, 0.0, 0.6])
