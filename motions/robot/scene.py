"""The scene of a motion as plain data: terrain and objects, checked against a small schema.

A scene is what JSON can hold, so that every package can read it and none has to be imported::

    {"terrain": {"type": "plane"},
     "objects": {"box": {"shape": "box", "size": [0.2, 0.15, 0.15], "mass": 2.0}}}

terrain  ``{"type": "plane"}`` is the ground z = 0, and meant where no terrain is given.
         ``{"type": "boxes", "boxes": [{"pos": [x, y, z], "half_size": [x, y, z],
         "quat": [w, x, y, z]}, ...]}`` adds solid boxes to it (steps, platforms, ramps); `pos` is
         the centre.
         ``{"type": "slope", "angle": a, "heading": h}`` is a tilted plane through the origin:
         `angle` rad of its inclination, which rises towards `heading`, rad from x towards y.
         ``{"type": "height_field", "size": [x, y], "heights": [[...], ...], "pos": [x, y]}`` is a
         grid of heights, `size` its full extents, `pos` its middle (the origin where it is left
         out); rows run along y, columns along x. ``"around": z`` is the height of the plane around
         and under it, 5 cm under its lowest point where it is left out.
objects  by name. `shape` and `size`, as in MuJoCo: ``box`` three half lengths, ``sphere`` radius,
         ``cylinder`` and ``capsule`` radius and half length along z, ``mesh`` none, but the path of
         its file in `mesh` (and `mesh_scale`, three factors). `mass` in kg, `friction`. An object
         without a track in the motion is ``"fixed": true`` and stands at `pos`, turned by `quat`.

Metres, kilograms, quaternions wxyz; the world has z up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mimic_base.errors import input_error
from mimic_base.limits import check_limit

SHAPES: dict[str, int] = {"box": 3, "sphere": 1, "cylinder": 2, "capsule": 2, "mesh": 0}
"""Shapes of objects, and how many numbers `size` has."""
_TERRAIN_KEYS: dict[str, tuple[str, ...]] = {
    "plane": (),
    "slope": ("angle", "heading"),
    "boxes": ("boxes",),
    "height_field": ("size", "heights", "pos", "around"),
}
_OBJECT_KEYS = (
    "shape", "size", "mesh", "mesh_scale", "mass", "friction", "fixed", "pos", "quat",
)  # fmt: skip
_SMALLEST = 1e-6
"""Of sizes (m), masses (kg) and coefficients: what is below is divided by in vain."""
_SIDES = ("left", "right")


def check_terrain(terrain: Any, where: str) -> dict[str, Any]:
    """A terrain as plain dictionaries, lists and numbers; raises `InputError` as `check_scene`."""
    return check_scene({"terrain": terrain}, (), where)["terrain"]


def check_scene(scene: Mapping[str, Any], tracks: Sequence[str], where: str) -> dict[str, Any]:
    """The scene as plain dictionaries, lists and numbers.

    Args:
        tracks: names of the objects whose poses the motion has. where: begins each error.

    Raises `InputError` for unknown keys, wrong sizes, numbers that are not finite, and objects that
    are neither tracked nor fixed.
    """
    try:
        plain = json.loads(json.dumps(scene, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise input_error(where, f"the scene is not plain data: {error}") from error
    _keys(plain, ("terrain", "objects"), where, "scene")
    _check_terrain(plain.get("terrain", {"type": "plane"}), where)
    objects = plain.get("objects", {})
    _keys(objects, None, where, "scene.objects")
    for name, values in objects.items():
        _check_object(name, values, name in tracks, where)
    return plain


def on_plane(scene: Mapping[str, Any]) -> bool:
    """Whether the terrain is the plane z = 0."""
    return scene.get("terrain", {"type": "plane"})["type"] == "plane"


def is_flat(scene: Mapping[str, Any]) -> bool:
    """Whether nothing of the scene stands still but the plane: it may be moved and turned."""
    fixed = any(values.get("fixed") for values in scene.get("objects", {}).values())
    return on_plane(scene) and not fixed


def mirror_scene(scene: Mapping[str, Any]) -> dict[str, Any]:
    """The scene reflected in the world's x-z plane; left and right change places in names.

    Boxes, spheres, cylinders and capsules are their own mirror images. A mesh keeps its shape,
    which is exact where it is symmetric in its own x-z plane.
    """
    mirrored = json.loads(json.dumps(scene))
    if "objects" in mirrored:
        mirrored["objects"] = {
            other_side(name): _mirrored(values) for name, values in mirrored["objects"].items()
        }
    terrain = mirrored.get("terrain", {})
    if terrain.get("type") == "boxes":
        terrain["boxes"] = [_mirrored(box) for box in terrain["boxes"]]
    if terrain.get("type") == "slope" and "heading" in terrain:
        terrain["heading"] = -terrain["heading"]
    if terrain.get("type") == "height_field":
        terrain["heights"] = terrain["heights"][::-1]
        if "pos" in terrain:
            x, y = terrain["pos"]
            terrain["pos"] = [x, -y]
    return mirrored


def other_side(name: str) -> str:
    """An object's name with left and right exchanged; its own where it names no side."""
    for side, other in (_SIDES, _SIDES[::-1]):
        for form in (str, str.capitalize, str.upper):
            if form(side) in name:
                return name.replace(form(side), form(other))
    return name


def _mirrored(values: dict[str, Any]) -> dict[str, Any]:
    if "pos" in values:
        x, y, z = values["pos"]
        values["pos"] = [x, -y, z]
    if "quat" in values:
        w, x, y, z = values["quat"]
        values["quat"] = [w, -x, y, -z]
    return values


def _check_terrain(terrain: Any, where: str) -> None:
    _keys(terrain, None, where, "scene.terrain")
    kind = terrain.get("type")
    if not isinstance(kind, str) or kind not in _TERRAIN_KEYS:
        raise input_error(
            where, "scene.terrain has no known type", found=repr(kind)[:80],
            expected=", ".join(_TERRAIN_KEYS),
        )  # fmt: skip
    _keys(terrain, ("type", *_TERRAIN_KEYS[kind]), where, "scene.terrain")
    if kind == "boxes":
        boxes = terrain.get("boxes")
        if not isinstance(boxes, list):
            raise input_error(where, "scene.terrain.boxes must be a list", found=repr(boxes)[:40])
        for index, box in enumerate(boxes):
            at = f"scene.terrain.boxes[{index}]"
            _keys(box, ("pos", "half_size", "quat"), where, at)
            _numbers(box.get("pos"), 3, where, f"{at}.pos")
            _numbers(box.get("half_size"), 3, where, f"{at}.half_size", _positive)
            _quat(box, where, at)
    if kind == "slope":
        _numbers([terrain.get("angle")], 1, where, "scene.terrain.angle", _less_than_upright)
        _numbers([terrain.get("heading", 0.0)], 1, where, "scene.terrain.heading")
    if kind == "height_field":
        _numbers(terrain.get("pos", [0.0, 0.0]), 2, where, "scene.terrain.pos")
        _numbers([terrain.get("around", 0.0)], 1, where, "scene.terrain.around")
        _numbers(terrain.get("size"), 2, where, "scene.terrain.size", _positive)
        rows = terrain.get("heights")
        if not isinstance(rows, list) or len(rows) < 2 or not isinstance(rows[0], list):
            raise input_error(where, "scene.terrain.heights must be two rows or more of numbers")
        for index, row in enumerate(rows):
            _numbers(row, len(rows[0]), where, f"scene.terrain.heights[{index}]")


def _check_object(name: str, values: Any, tracked: bool, where: str) -> None:
    at = f"scene.objects.{name}"
    _keys(values, _OBJECT_KEYS, where, at)
    shape = values.get("shape")
    if not isinstance(shape, str) or shape not in SHAPES:
        raise input_error(
            where, f"{at}.shape is unknown", found=repr(shape)[:80], expected=", ".join(SHAPES)
        )
    if shape == "mesh":
        if not isinstance(values.get("mesh"), str) or not values["mesh"]:
            raise input_error(where, f"{at}: a mesh needs the path of its file")
    else:
        _numbers(values.get("size"), SHAPES[shape], where, f"{at}.size", _positive)
    for key in ("mass", "friction"):
        if key in values:
            _numbers([values[key]], 1, where, f"{at}.{key}", _positive)
    if "mesh_scale" in values:
        _numbers(values["mesh_scale"], 3, where, f"{at}.mesh_scale", _positive)
    if not isinstance(values.get("fixed", False), bool):
        raise input_error(where, f"{at}.fixed must be true or false", found=repr(values["fixed"]))
    _quat(values, where, at)
    if "pos" in values:
        _numbers(values["pos"], 3, where, f"{at}.pos")
    if not tracked and not (values.get("fixed") and "pos" in values):
        raise input_error(
            where, f"object {name} of the scene has no track in the motion",
            expected='a track, or "fixed": true and a "pos"',
        )  # fmt: skip


def _keys(value: Any, allowed: tuple[str, ...] | None, where: str, at: str) -> None:
    if not isinstance(value, dict):
        raise input_error(where, f"{at} must be a mapping", found=type(value).__name__)
    unknown = [key for key in value if allowed is not None and key not in allowed]
    if unknown and allowed is not None:
        raise input_error(
            where, f"{at} has unknown keys", found=", ".join(unknown), expected=", ".join(allowed)
        )


def _positive(value: float) -> bool:
    return value > 0


def _less_than_upright(value: float) -> bool:
    return abs(value) < 0.5 * math.pi


def _numbers(
    value: Any, count: int, where: str, at: str, rule: Callable[[float], bool] = math.isfinite
) -> None:
    ok = isinstance(value, list) and len(value) == count
    ok = ok and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if not ok or not all(rule(v) for v in value):
        kind = "positive numbers" if rule is _positive else "numbers"
        kind += " within +-pi/2" if rule is _less_than_upright else ""
        raise input_error(
            where, f"{at} must be {kind}", found=repr(value)[:60], expected=f"{count} of them"
        )
    largest = max(map(abs, value), default=0.0)
    check_limit(where, "magnitude", largest, f"the greatest number of {at}")
    if rule is _positive and min(value, default=1.0) < _SMALLEST:
        raise input_error(
            where,
            f"{at} must not be that small",
            found=min(value),
            expected=f"{_SMALLEST:g} or more",
        )


def _quat(values: Mapping[str, Any], where: str, at: str) -> None:
    if "quat" not in values:
        return
    _numbers(values["quat"], 4, where, f"{at}.quat")
    if abs(math.hypot(*values["quat"]) - 1.0) > 1e-3:
        raise input_error(
            where, f"{at}.quat must be a unit quaternion (wxyz)", found=values["quat"]
        )
