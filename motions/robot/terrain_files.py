"""Grounds as a user names them: ``slope:5``, ``steps:rise=0.12,count=5``, or a file.

Files: a scene or its terrain (``.json``, ``.toml``, see `motions.robot.scene`), the scene of a
robot motion or a height field (``.npz``), and meshes (``.obj``). All become the terrain of a scene.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mimic_base.errors import input_error
from mimic_base.json_text import parse_json, parse_toml
from mimic_base.limits import check_limit
from mimic_base.numpy_files import load_npz
from mimic_base.rotations import matrix_to_quat
from mimic_base.terrain import Plane, Ramp, RoughGround, Slope, Steps, Terrain
from mimic_base.vectors import Array, unit
from motions.robot.scene import check_scene, check_terrain
from motions.robot.terrain import terrain_data

KINDS: Mapping[str, type[Terrain]] = {
    "flat": Plane,
    "slope": Slope,
    "steps": Steps,
    "ramp": Ramp,
    "rough": RoughGround,
}
"""Grounds that are told by numbers."""
ENDINGS = (".json", ".toml", ".npz", ".obj")
_DEGREES = ("angle", "heading")
"""Fields that are told in degrees."""
_SAME = 1e-5
"""m; corners of a mesh that are nearer are one."""
_SQUARE = 2e-3
"""Cosine between the edges of a box at most, and the misfit of its corners by its size."""
_MOST_VERTICES = 1 << 31
_CELL, _MOST_CELLS = 0.02, 500
"""m between the heights that a mesh becomes, unless one side would have more than so many."""


def read_terrain(spec: str) -> dict[str, Any]:
    """The terrain that `spec` names, as checked plain data.

    Args:
        spec: ``flat``, ``slope:ANGLE``, ``steps:RISE,TREAD,COUNT``, ``ramp:...``, ``rough:...``
            with values in the order of the fields of `mimic_base.terrain` or as ``name=value``
            (metres; angles in degrees), or a file.

    Raises:
        InputError: no such kind or file, or one that holds no ground.
    """
    kind, _, values = spec.partition(":")
    if Path(spec).is_file():
        return _of_file(Path(spec))
    if kind in KINDS:
        data = terrain_data(_of_numbers(spec, kind, values).parts())
        assert data is not None
        return check_terrain(data, spec)
    if Path(spec).suffix.lower() in ENDINGS or "/" in spec:
        raise input_error(spec, "no such file", expected="a ground")
    raise input_error(
        None,
        "no such ground",
        found=repr(spec),
        expected=f"{', '.join(KINDS)} or a file ({', '.join(ENDINGS)})",
        fix="for instance slope:5 (degrees), or steps:rise=0.12,count=5 (metres)",
    )


def _of_numbers(spec: str, kind: str, text: str) -> Terrain:
    shape = KINDS[kind]
    known = {each.name: each for each in fields(shape) if each.name != "friction"}
    given: dict[str, Any] = {}
    for place, part in enumerate(text.split(",") if text else []):
        name, equals, value = part.strip().partition("=")
        if not equals:
            name, value = (list(known) + [""] * place)[place], name
        if name not in known:
            raise input_error(
                None, f"ground {spec}: {kind} has no value '{name or value}'",
                expected=", ".join(known) or "none",
            )  # fmt: skip
        given[name] = _number(spec, name, value, known[name].default)
    # Each is a block of the model.
    check_limit(f"ground {spec}", "elements", given.get("count", 0), f"the count of {kind}")
    return shape(**given)


def _number(spec: str, name: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, tuple):
            width, depth = (float(value) for value in text.split("x"))
            return (width, depth)
        if isinstance(default, int):
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return math.radians(value) if name in _DEGREES else value
    except ValueError:
        expected = "WIDTHxDEPTH" if isinstance(default, tuple) else "a number"
        raise input_error(
            None, f"ground {spec}: {name}", found=repr(text),
            expected=f"a whole {expected[2:]}" if isinstance(default, int) else expected,
        ) from None  # fmt: skip


def _of_file(path: Path) -> dict[str, Any]:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise input_error(path, "not a ground", expected=f"a file of {', '.join(ENDINGS)}")
    if ending == ".npz":
        return _of_arrays(path)
    check_limit(path, "bytes", path.stat().st_size, "the size of the file")
    try:
        text = path.read_text(encoding="utf-8")
        if ending == ".obj":
            return check_terrain(terrain_of_mesh(*_read_obj(path, text)), str(path))
    except UnicodeDecodeError as error:
        raise input_error(path, f"not {ending[1:].upper()}: {error}") from error
    data: Any
    if ending == ".json":
        data = parse_json(path, text, rule="not JSON")
    else:
        data = parse_toml(path, text, rule="not TOML")
    if not isinstance(data, dict):
        raise input_error(path, "a ground is a mapping", found=type(data).__name__)
    if "type" in data:
        return check_terrain(data, str(path))
    if "terrain" not in data:
        raise input_error(path, "there is no terrain in it", found=", ".join(data)[:80] or "{}",
                          expected="a terrain with its type, or a scene with one")  # fmt: skip
    return check_terrain(data["terrain"], str(path))


def _of_arrays(path: Path) -> dict[str, Any]:
    arrays = load_npz(path, what="a ground")
    if "scene" in arrays or "schema" in arrays:
        text = str(arrays["scene"]) if "scene" in arrays else "{}"
        scene = parse_json(path, text, nan=True, rule="its scene is not JSON")
        if not isinstance(scene, dict) or "terrain" not in scene:
            raise input_error(path, "the motion has no terrain in its scene")
        return check_scene({"terrain": scene["terrain"]}, (), str(path))["terrain"]
    heights = arrays.get("heights")
    if heights is None or heights.ndim != 2:
        found = ", ".join(arrays) if heights is None else f"shape {heights.shape}"
        raise input_error(path, "a height field needs `heights`, rows along y", found=found,
                          expected="[Ny, Nx] m")  # fmt: skip
    data: dict[str, Any] = {"type": "height_field", "heights": heights.tolist()}
    if "size" in arrays:
        data["size"] = np.ravel(arrays["size"]).tolist()
    elif "spacing" in arrays:
        spacing = _one(path, "spacing", arrays["spacing"])
        data["size"] = (spacing * (np.array(heights.shape[::-1]) - 1)).tolist()
    else:
        raise input_error(path, "a height field needs its `size` [2], or its `spacing`, m")
    if "pos" in arrays:
        data["pos"] = np.ravel(arrays["pos"]).tolist()
    if "around" in arrays:
        data["around"] = _one(path, "around", arrays["around"])
    return check_terrain(data, str(path))


def _one(path: Path, name: str, values: Array) -> float:
    """The number in an array that holds one."""
    if values.size != 1 or values.dtype.kind not in "fiu":
        raise input_error(path, f"`{name}` must be one number",
                          found=f"{values.dtype} of shape {values.shape}")  # fmt: skip
    return float(values.reshape(-1)[0])


def _read_obj(path: Path, text: str) -> tuple[Array, Array]:
    """Vertices [V, 3] and triangles [F, 3] of a Wavefront file; faces of any size are fans."""
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            if words[:1] == ["v"]:
                vertices.append([float(word) for word in words[1:4]])
            elif words[:1] == ["f"]:
                corner = [int(word.partition("/")[0]) for word in words[1:]]
                corner = [c - 1 if c > 0 else len(vertices) + c for c in corner]
                corner = [c if abs(c) < _MOST_VERTICES else -1 for c in corner]  # none has it
                triangles += [
                    (corner[0], b, c) for b, c in zip(corner[1:], corner[2:], strict=False)
                ]
        except ValueError:
            raise input_error(
                path, f"line {number} is no vertex or face", found=repr(line[:40])
            ) from None
    points = np.array(vertices if all(len(v) == 3 for v in vertices) else [], float)
    faces = np.array(triangles, np.int64)
    if not len(points) or not len(faces) or not np.isfinite(points).all():
        raise input_error(path, "the mesh has no surface", found=f"{len(points)} vertices and "
                          f"{len(faces)} triangles")  # fmt: skip
    if faces.min() < 0 or faces.max() >= len(points):
        raise input_error(path, "a face names a vertex that is not there")
    return points, faces


def terrain_of_mesh(vertices: Array, faces: Array) -> dict[str, Any]:
    """The terrain whose surface is a mesh's upper side, on the floor z = 0.

    Args: `vertices` [V, 3] m, z up; `faces` [F, 3]. A mesh that consists of boxes alone becomes
    these boxes; any other one a height field, in which walls are one cell wide.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    places, merged = np.unique(np.round(vertices / _SAME).astype(np.int64), axis=0,
                               return_inverse=True)  # fmt: skip
    faces = merged.ravel()[faces]
    points = places * _SAME
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(points), len(points)))
    count, part = connected_components(graph, directed=False)
    used = np.unique(faces)
    boxes = []
    for each in range(count):
        corners = points[used[part[used] == each]]
        if not len(corners):
            continue
        box = _box(corners)
        if box is None:
            return _upper_side(points, faces)
        boxes.append(box)
    return {"type": "boxes", "boxes": boxes}


def _box(corners: Array) -> dict[str, Any] | None:
    """The box with `corners` [8, 3] m; None where they are not those of one."""
    if len(corners) != 8:
        return None
    edges = corners[1:] - corners[0]
    size = float(np.linalg.norm(edges, axis=1).max())
    for chosen in combinations(range(7), 3):
        a = edges[list(chosen)]
        length = np.linalg.norm(a, axis=1)
        cosines = (a @ a.T) / np.outer(length, length) - np.eye(3)
        if np.abs(cosines).max() > _SQUARE:
            continue
        rest = np.delete(edges, chosen, axis=0)
        sums = np.array([a[0] + a[1], a[0] + a[2], a[1] + a[2], a.sum(axis=0)])
        apart = np.linalg.norm(rest[:, None] - sums, axis=-1)
        if not (apart.min(axis=0) < _SQUARE * size).all():
            continue
        order = np.argsort(np.abs(a[:, 2]))  # the edge that is most upright is the box's z
        a, length = a[order], length[order]
        axes = unit(a).T
        if axes[2, 2] < 0:
            axes[:, 2] *= -1.0
        axes[:, 0] = unit(np.cross(axes[:, 1], axes[:, 2]))
        axes[:, 1] = np.cross(axes[:, 2], axes[:, 0])
        return {
            "pos": corners.mean(axis=0).tolist(),
            "half_size": (0.5 * length).tolist(),
            "quat": matrix_to_quat(axes).tolist(),
        }
    return None


def _upper_side(points: Array, faces: Array) -> dict[str, Any]:
    """The highest points of a mesh over a grid, as a height field; the floor is z = 0."""
    corners = points[faces]
    low, high = corners.min(axis=(0, 1))[:2], corners.max(axis=(0, 1))[:2]
    # A rim of floor around it, so that its walls stand inside the field.
    low, high = low - _CELL, high + _CELL
    cells = np.clip(np.ceil((high - low) / _CELL), 1, _MOST_CELLS).astype(int)
    x, y = (np.linspace(a, b, n + 1) for a, b, n in zip(low, high, cells, strict=True))
    heights = np.zeros((len(y), len(x)))
    for a, b, c in corners:
        (x0, y0, _), (x1, y1, _), (x2, y2, _) = a, b, c
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-12:
            continue  # a wall
        i = slice(*np.searchsorted(x, [min(x0, x1, x2) - 1e-9, max(x0, x1, x2) + 1e-9]))
        j = slice(*np.searchsorted(y, [min(y0, y1, y2) - 1e-9, max(y0, y1, y2) + 1e-9]))
        u, v = np.meshgrid(x[i] - x0, y[j] - y0)
        s = (u * (y2 - y0) - v * (x2 - x0)) / area
        t = (v * (x1 - x0) - u * (y1 - y0)) / area
        inside = (s >= -1e-9) & (t >= -1e-9) & (s + t <= 1.0 + 1e-9)
        z = a[2] + s * (b[2] - a[2]) + t * (c[2] - a[2])
        heights[j, i] = np.where(inside, np.maximum(heights[j, i], z), heights[j, i])
    return {
        "type": "height_field",
        "size": (high - low).tolist(),
        "pos": (0.5 * (low + high)).tolist(),
        "heights": np.round(heights, 5).tolist(),
        "around": 0.0,
    }
