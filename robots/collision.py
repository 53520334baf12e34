"""The robot's full collision geometry, for checking results: the vendor's meshes, not our overlay.

A result is judged on what the machine looks like. The lean overlay serves simulation and would
hide a hand in a thigh.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from mimic_base.cache import digest_of, load_arrays, load_file, save_arrays
from mimic_base.rotations import quat_rotate
from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from robots.geom_types import BOX, CAPSULE, CYLINDER, ELLIPSOID, MESH, SPHERE
from robots.models import colliding, compile_spec, model_files
from robots.robot import Robot

_NEAR_SOLE = 0.01
_CACHE = "geometry"
_SCHEMA = "humanoid-mimic/check-geometry/2"
"""To be raised whenever this module computes something else."""


@dataclass(frozen=True)
class Hull:
    """Points [K, 3] in the frame of body `body`, each the centre of a sphere of `radius`."""

    body: str
    points: Array
    radius: float


@dataclass(frozen=True)
class CheckGeometry:
    """What a motion is checked against.

    Attributes:
        model: vendor model without what is only seen.
        geoms: hull of each collision geom, by its index.
        soles: per foot (left, right) points with their radius already taken off the height.
        touching: body pairs that touch in the zero pose and are left out of self-collision.
    """

    model: mujoco.MjModel
    geoms: Mapping[int, Hull]
    soles: tuple[tuple[Hull, ...], tuple[Hull, ...]]
    touching: frozenset[tuple[int, int]]

    @property
    def hulls(self) -> tuple[Hull, ...]:
        return tuple(self.geoms.values())


def check_geometry(robot: Robot) -> CheckGeometry:
    """Geometry of a robot's vendor model; compiled once per robot, and kept on disk.

    A model whose feet have no geometry is judged by the lean geometry of its description.
    """
    return _load(robot)


@lru_cache(maxsize=8)
def _load(robot: Robot) -> CheckGeometry:
    spec = colliding(robot.vendor_spec())
    if not _feet_have_shape(spec, robot.feet):
        # Nothing of the vendor's to judge by: the description's lean geometry stands in.
        return _computed(compile_spec(colliding(robot.spec()), robot.vendor_xml), robot.feet)
    key = _key(robot, spec)
    kept = None if key is None else _kept(robot.name, key)
    if kept is not None:
        return kept
    geometry = _computed(compile_spec(spec, robot.vendor_xml), robot.feet)
    if key is not None:
        save_arrays(_CACHE, robot.name, key, *_packed(geometry))
    return geometry


def _feet_have_shape(spec: mujoco.MjSpec, feet: tuple[str, str]) -> bool:
    """Whether each foot, or a body on it, has geometry with points."""
    pointed = {MESH, SPHERE, CAPSULE, CYLINDER, BOX, ELLIPSOID}
    for name in feet:
        foot = spec.body(name)
        if foot is None:
            return True  # what is wrong then is said where it is used
        shapes = [g for part in (foot, *foot.bodies) for g in part.geoms]
        if not any(int(shape.type) in pointed for shape in shapes):
            return False
    return True


def _computed(model: mujoco.MjModel, feet: tuple[str, str]) -> CheckGeometry:
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    hulls = {}
    for geom in range(model.ngeom):
        collides = model.geom_contype[geom] or model.geom_conaffinity[geom]
        if int(model.geom_bodyid[geom]) != 0 and collides:
            hulls[geom] = _hull(model, geom)
    soles = tuple(tuple(_sole(model, data, foot)) for foot in feet)
    touching = frozenset(pair for pair, _ in self_contacts(model, data, frozenset()))
    return CheckGeometry(model, hulls, (soles[0], soles[1]), touching)


def _key(robot: Robot, spec: mujoco.MjSpec) -> str | None:
    """Hash of all that the geometry depends on; None where that is unknown."""
    files = model_files(spec, robot.vendor_xml)
    edits = getattr(robot.vendor_factory, "args", None)
    if files is None or edits is None:
        return None
    try:
        return digest_of([_SCHEMA, mujoco.__version__, repr(edits), repr(robot.feet), *files])
    except OSError:
        return None


def _packed(geometry: CheckGeometry) -> tuple[dict[str, Array], Array]:
    """A geometry as arrays, and its model in MuJoCo's own binary form."""
    model = geometry.model
    binary = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    hulls = [*geometry.geoms.values(), *geometry.soles[0], *geometry.soles[1]]
    about = {
        "geoms": list(geometry.geoms),
        "soles": [len(sole) for sole in geometry.soles],
        "bodies": [hull.body for hull in hulls],
        "radii": [hull.radius for hull in hulls],
        "touching": sorted(geometry.touching),
        "model": zlib.crc32(binary.data),
    }
    points = [hull.points for hull in hulls]
    arrays = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "points": np.concatenate(points),
        "ends": np.cumsum([len(each) for each in points]),
    }
    return arrays, binary


def _kept(name: str, key: str) -> CheckGeometry | None:
    """The geometry that was kept under the key; None where there is nothing, or nothing whole."""
    arrays = load_arrays(_CACHE, name, key)
    if arrays is None:
        return None
    with contextlib.suppress(KeyError, ValueError, TypeError, IndexError, mujoco.FatalError):
        about = json.loads(arrays["about"].tobytes())
        file = load_file(_CACHE, name, key, about["model"])
        if file is not None:
            return _unpacked(about, arrays, _opened(file))
    return None


def _opened(file: Path) -> mujoco.MjModel:
    """A model that was kept; `ValueError` where another process has just taken it away.

    MuJoCo would write a log of that into the current directory.
    """
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda _: None)
    try:
        return mujoco.MjModel.from_binary_path(str(file))
    finally:
        mujoco.set_mju_user_warning(before)


def _unpacked(
    about: Mapping[str, Any], kept: Mapping[str, Array], model: mujoco.MjModel
) -> CheckGeometry:
    parts = np.split(kept["points"], kept["ends"][:-1])
    hulls = [
        Hull(body, points, float(radius))
        for body, points, radius in zip(about["bodies"], parts, about["radii"], strict=True)
    ]
    count, (left, right) = len(about["geoms"]), about["soles"]
    geoms = dict(zip(about["geoms"], hulls[:count], strict=True))
    soles = (tuple(hulls[count : count + left]), tuple(hulls[count + left : count + left + right]))
    return CheckGeometry(model, geoms, soles, frozenset((a, b) for a, b in about["touching"]))


def _points(model: mujoco.MjModel, geom: int) -> tuple[Array, float]:
    """Points in the geom's frame and the radius around them that bound it."""
    kind, size = int(model.geom_type[geom]), np.asarray(model.geom_size[geom], float)
    if kind == MESH:
        mesh = int(model.geom_dataid[geom])
        start, number = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        return np.asarray(model.mesh_vert[start : start + number], float), 0.0
    if kind == SPHERE:
        return np.zeros((1, 3)), float(size[0])
    if kind == CAPSULE:
        return np.array([[0, 0, size[1]], [0, 0, -size[1]]]), float(size[0])
    if kind == CYLINDER:
        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ring = np.stack([size[0] * np.cos(turn), size[0] * np.sin(turn), 0 * turn], axis=1)
        top = np.array([0, 0, size[1]])
        return np.concatenate([ring + top, ring - top]), 0.0
    if kind in (BOX, ELLIPSOID):
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        return corners * size, 0.0
    return np.zeros((0, 3)), 0.0


def geom_points(model: mujoco.MjModel, geom: int) -> Array:
    """Points [K, 3] m of a geom in its body's frame, radii left out."""
    return model.geom_pos[geom] + quat_rotate(model.geom_quat[geom], _points(model, geom)[0])


def _hull(model: mujoco.MjModel, geom: int) -> Hull:
    points, radius = _points(model, geom)
    points = model.geom_pos[geom] + quat_rotate(model.geom_quat[geom], _outermost(points))
    return Hull(model.body(int(model.geom_bodyid[geom])).name, points, radius)


def _outermost(points: Array) -> Array:
    """The points, of many [K, 3], that can be the lowest of all in some orientation."""
    if len(points) > 64:
        from scipy.spatial import ConvexHull, QhullError

        with contextlib.suppress(QhullError):
            return points[ConvexHull(points).vertices]
    return points


def _sole(model: mujoco.MjModel, data: mujoco.MjData, foot: str) -> list[Hull]:
    """Contact points of a foot: its spheres when it has three or more, else the lowest points."""
    body = model.body(foot).id
    bodies = {body, *(b for b in range(model.nbody) if int(model.body_parentid[b]) == body)}
    geoms = [g for g in range(model.ngeom) if int(model.geom_bodyid[g]) in bodies]
    spheres = [g for g in geoms if int(model.geom_type[g]) == SPHERE]
    result = []
    for geom in spheres if len(spheres) >= 3 else geoms:
        points, radius = _points(model, geom)
        points = model.geom_pos[geom] + quat_rotate(model.geom_quat[geom], points)
        result.append(Hull(model.body(int(model.geom_bodyid[geom])).name, points, radius))
    if len(spheres) >= 3:
        return result
    heights = [
        (data.xpos[b.id] + quat_rotate(data.xquat[b.id], hull.points))[:, 2] - hull.radius
        for hull in result
        for b in [model.body(hull.body)]
    ]
    lowest = min(float(h.min()) for h in heights if len(h))
    return [
        Hull(hull.body, _outermost(hull.points[h < lowest + _NEAR_SOLE]), hull.radius)
        for hull, h in zip(result, heights, strict=True)
    ]


def self_contacts(
    model: mujoco.MjModel, data: mujoco.MjData, leave_out: frozenset[tuple[int, int]]
) -> list[tuple[tuple[int, int], float]]:
    """(body pair, distance) of contacts between links that are not close relatives.

    `data` must hold the kinematics of the configuration.
    """
    mujoco.mj_comPos(model, data)
    mujoco.mj_collision(model, data)
    found = []
    for i in range(data.ncon):
        contact = data.contact[i]
        a = int(model.geom_bodyid[contact.geom1])
        b = int(model.geom_bodyid[contact.geom2])
        pair = (min(a, b), max(a, b))
        if not relatives(model, a, b) and pair not in leave_out:
            found.append((pair, float(contact.dist)))
    return found


def relatives(model: mujoco.MjModel, a: int, b: int) -> bool:
    """Whether contacts of two bodies do not count: parent, grandparent, siblings, world."""
    parent = model.body_parentid
    if a == 0 or b == 0 or a == b or parent[a] == parent[b]:
        return True
    return b in (parent[a], parent[parent[a]]) or a in (parent[b], parent[parent[b]])


def may_collide(
    model: mujoco.MjModel, first: int, second: int, touching: frozenset[tuple[int, int]]
) -> bool:
    """Whether two geoms can be found by `self_contacts`."""
    a, b = int(model.geom_bodyid[first]), int(model.geom_bodyid[second])
    meets = (model.geom_contype[first] & model.geom_conaffinity[second]) | (
        model.geom_contype[second] & model.geom_conaffinity[first]
    )
    return bool(meets) and not relatives(model, a, b) and (min(a, b), max(a, b)) not in touching


def lowest_point(
    geometry: CheckGeometry,
    names: tuple[str, ...],
    pos: Array,
    quat: Array,
    ground: Surface = FLAT,
) -> Array:
    """Height [T] of the lowest point of all collision geometry; poses [T, B, 3], [T, B, 4].

    Over a `ground` that is not flat: the least height of any point over it.
    """
    lowest = np.full(len(pos), np.inf)
    if not ground.is_flat:
        for hull in geometry.hulls:
            if len(hull.points):
                body = names.index(hull.body)
                world = pos[:, body, None] + quat_rotate(quat[:, body, None], hull.points[None])
                height = ground.clearance(world).min(axis=1) - hull.radius
                lowest = np.minimum(lowest, height)
        return lowest
    index = [names.index(hull.body) for hull in geometry.hulls]
    # Low bodies first: most frames of most other hulls are then ruled out by their radius alone.
    for k in np.argsort([pos[:, body, 2].mean() for body in index], kind="stable"):
        hull, body = geometry.hulls[k], index[k]
        if not len(hull.points):
            continue
        reach = np.linalg.norm(hull.points, axis=1).max() + hull.radius
        near = np.flatnonzero(pos[:, body, 2] - reach < lowest)
        if not len(near):
            continue
        vertical = _third_row(quat[near, body])
        heights = (vertical @ hull.points.T).min(axis=1) + pos[near, body, 2] - hull.radius
        lowest[near] = np.minimum(lowest[near], heights)
    return lowest


def outer_points(geometry: CheckGeometry, per_hull: int = 24) -> list[tuple[str, Array]]:
    """(body, [K, 3] m) points that stand for the collision geometry where it may touch a plane.

    Radii of round shapes are covered by points on them.
    """
    directions = sphere_directions(per_hull)
    result = []
    for hull in geometry.hulls:
        if not len(hull.points):
            continue
        if len(hull.points) == 1:
            result.append((hull.body, hull.points + hull.radius * directions))
            continue
        outermost = np.unique((hull.points @ directions.T).argmax(axis=0))
        points = hull.points[outermost]
        if hull.radius > 0:
            points = (points[:, None] + hull.radius * directions).reshape(-1, 3)
        result.append((hull.body, points))
    return result


def sphere_directions(count: int) -> Array:
    """`count` unit vectors spread evenly over the sphere (a Fibonacci spiral)."""
    k = np.arange(count)
    height = 1.0 - (2.0 * k + 1.0) / count
    turn = np.pi * (3.0 - np.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - height**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)


def sole_paths(
    geometry: CheckGeometry, names: tuple[str, ...], pos: Array, quat: Array
) -> list[Array]:
    """Paths [T, K, 3] of the sole points of each foot, the radius taken off the height."""
    paths = []
    for sole in geometry.soles:
        parts = []
        for hull in sole:
            body = names.index(hull.body)
            world = pos[:, body, None] + quat_rotate(quat[:, body, None], hull.points[None])
            parts.append(world - np.array([0.0, 0.0, hull.radius]))
        paths.append(np.concatenate(parts, axis=1))
    return paths


def _third_row(quat: Array) -> Array:
    """World-vertical component of the body axes, [T, 3]."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=-1)
