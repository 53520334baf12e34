"""Grounds as users name them, as data of a scene, and as heights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import InputError, UserError
from mimic_base.surface import FLAT, HeightFunction, Surface
from mimic_base.surface import Slope as TiltedPlane
from mimic_base.terrain import Boxes, HeightField, Plane, Ramp, RoughGround, Steps, TerrainSurface
from motions import RobotMotion
from motions.robot.scene import check_scene, mirror_scene
from motions.robot.terrain import ground_of, scene_on, terrain_of
from motions.robot.terrain_files import read_terrain
from robots import Robot

PLACES = np.random.default_rng(0).uniform(-1.4, 1.4, (2, 300))
CUBE = """
v 0 0 0
v 0 0 0.4
v 0 1 0
v 0 1 0.4
v 2 0 0
v 2 0 0.4
v 2 1 0
v 2 1 0.4
f 1 2 4 3
f 5/1 7/2 8/3 6/4
f 1//1 5//1 6//1 2//1
f 3 4 8 7
f 1 3 7 5
f -7 -3 -1 -5
"""
WEDGE = (
    "v -1 -1 0\nv 1 -1 0\nv -1 1 0\nv 1 1 0\nv 1 -1 0.5\nv 1 1 0.5\nf 1 2 5\nf 3 6 4\nf 1 5 6 3\n"
)


def heights(spec: str) -> Any:
    return ground_of({"terrain": read_terrain(spec)}).height(*PLACES)


@pytest.mark.parametrize(
    ("spec", "height"),
    [
        ("flat", 0.0 * PLACES[0]),
        ("slope:5", math.tan(math.radians(5)) * PLACES[0]),
        ("slope:-3,90", -math.tan(math.radians(3)) * PLACES[1]),
        ("slope:heading=90,angle=3", math.tan(math.radians(3)) * PLACES[1]),
        ("steps:0.2,0.4,1,start=0.5", np.where((PLACES[0] > 0.5) & (PLACES[0] < 1.5), 0.2, 0.0)),
        ("rough:7,size=4x3", TerrainSurface(RoughGround(seed=7, size=(4.0, 3.0)).parts())),
        ("ramp:20,start=-1", TerrainSurface(Ramp(angle=math.radians(20), start=-1.0).parts())),
    ],
)
def test_grounds_told_by_numbers(spec: str, height: Any) -> None:
    expected = height.height(*PLACES) if isinstance(height, Surface) else height
    np.testing.assert_allclose(heights(spec), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("hill", "no such ground (found 'hill', expected flat, slope"),
        ("slope:steep", "ground slope:steep: angle (found 'steep', expected a number)"),
        ("slope:nan", "angle (found 'nan'"),
        ("slope:120", "slope: angle must be within"),
        ("steps:rise=1,colour=2", "steps has no value 'colour' (expected rise, tread"),
        ("steps:count=2.5", "count (found '2.5', expected a whole number)"),
        ("steps:1,2,3,4,5,6,7", "steps has no value '7'"),
        ("rough:size=4", "size (found '4', expected WIDTHxDEPTH)"),
        ("gone.json", "gone.json: no such file"),
    ],
)
def test_grounds_that_are_none(spec: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        read_terrain(spec)
    assert told in str(caught.value)


def test_a_scene_or_its_terrain_as_a_file(tmp_path: Path) -> None:
    terrain = {"type": "boxes", "boxes": [{"pos": [0, 0, 0.1], "half_size": [0.5, 0.5, 0.1]}]}
    (tmp_path / "terrain.json").write_text(json.dumps(terrain))
    (tmp_path / "scene.json").write_text(json.dumps({"terrain": terrain, "objects": {}}))
    (tmp_path / "terrain.toml").write_text(
        'type = "boxes"\n[[boxes]]\npos = [0, 0, 0.1]\nhalf_size = [0.5, 0.5, 0.1]\n'
    )
    inside = (np.abs(PLACES) < 0.5).all(axis=0)
    for name in ("terrain.json", "scene.json", "terrain.toml"):
        np.testing.assert_allclose(heights(str(tmp_path / name)), 0.2 * inside, atol=1e-9)


def test_a_height_field_as_a_file(tmp_path: Path) -> None:
    grid = np.array([[0.0, 0.2, 0.1], [0.1, 0.0, 0.3]])
    expected = TerrainSurface(
        HeightField(heights=((0.0, 0.2, 0.1), (0.1, 0.0, 0.3)), size=(2.0, 1.0), pos=(0.5, 0.0),
                    around=0.0).parts()
    ).height(*PLACES)  # fmt: skip
    more: dict[str, Any] = {"pos": np.array([0.5, 0.0]), "around": np.array(0.0)}
    np.savez(tmp_path / "size.npz", heights=grid, size=np.array([2.0, 1.0]), **more)
    np.savez(tmp_path / "spacing.npz", heights=grid, spacing=np.array(1.0), **more)
    for name in ("size.npz", "spacing.npz"):
        np.testing.assert_allclose(heights(str(tmp_path / name)), expected, atol=1e-9)


def test_a_mesh_of_boxes_becomes_boxes(tmp_path: Path) -> None:
    (tmp_path / "box.obj").write_text(CUBE)
    terrain = read_terrain(str(tmp_path / "box.obj"))
    assert terrain["type"] == "boxes" and len(terrain["boxes"]) == 1
    np.testing.assert_allclose(sorted(terrain["boxes"][0]["half_size"]), [0.2, 0.5, 1.0], atol=1e-4)
    x, y = PLACES
    inside = (x > 0) & (y > 0) & (y < 1)
    np.testing.assert_allclose(heights(str(tmp_path / "box.obj")), 0.4 * inside, atol=1e-4)


def test_any_other_mesh_becomes_a_height_field(tmp_path: Path) -> None:
    (tmp_path / "wedge.obj").write_text(WEDGE)
    assert read_terrain(str(tmp_path / "wedge.obj"))["type"] == "height_field"
    x, y = PLACES
    on = (np.abs(x) < 0.97) & (np.abs(y) < 0.97)
    found = heights(str(tmp_path / "wedge.obj"))
    np.testing.assert_allclose(found[on], 0.25 * (x[on] + 1.0), atol=1e-3)
    assert (found[(np.abs(x) > 1.05) | (np.abs(y) > 1.05)] == 0.0).all()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[1]", "a ground is a mapping (found list)"),
        ("a.json", "{}", "there is no terrain in it"),
        ("a.json", '{"type": "hill"}', "scene.terrain has no known type (found 'hill'"),
        ("a.json", '{"type": ["plane"]}', "scene.terrain has no known type (found ['plane']"),
        ("a.json", "[" * 100_000, ""),
        ("a.json", '{"type": "slope", "angle": 1.6}', "scene.terrain.angle must be numbers within"),
        ("a.toml", "type = ", "not TOML"),
        ("a.obj", "v 0 0 x\n", "line 1 is no vertex or face (found 'v 0 0 x')"),
        ("a.obj", "v 0 0 0\n", "the mesh has no surface (found 1 vertices and 0 triangles)"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "names a vertex that is not there"),
        ("a.obj", f"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 {10**30}\n", "names a vertex that is not"),
        ("a.stl", "solid", "not a ground (expected a file of .json"),
    ],
)
def test_files_that_are_no_ground(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as caught:
        read_terrain(str(tmp_path / name))
    assert told in str(caught.value) and name in str(caught.value)


def test_arrays_that_are_no_ground(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"z": np.zeros((2, 2))}, "needs `heights`"),
        ({"heights": np.zeros((2, 2))}, "needs its `size`"),
        ({"heights": np.full((2, 2), np.nan), "spacing": np.array(1.0)}, "not plain data"),
        ({"heights": np.zeros((2, 2)), "size": np.array([1.0, -1.0])}, "positive numbers"),
        ({"heights": np.zeros((2, 2)), "spacing": np.ones((2, 2))}, "`spacing` must be one number"),
        ({"heights": np.zeros((2, 2)), "spacing": np.array("x")}, "`spacing` must be one number"),
        (
            {"heights": np.zeros((2, 2)), "spacing": np.ones(1), "around": np.ones(2)},
            "`around` must be one number",
        ),
        ({"schema": np.array("x")}, "no terrain in its scene"),
    ]
    for arrays, told in cases:
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(InputError, match=told):
            read_terrain(str(tmp_path / "a.npz"))


def test_a_motion_is_a_ground_too(tmp_path: Path, tiny: Robot) -> None:
    frames = 10
    scene = {"terrain": read_terrain("steps:0.1,0.3,2")}
    motion = RobotMotion.from_coordinates(
        tiny, np.tile([0.0, 0.0, 0.5], (frames, 1)), np.tile([1.0, 0, 0, 0], (frames, 1)),
        np.zeros((frames, tiny.num_joints)), fps=30.0, scene=scene,
    )  # fmt: skip
    motion.save(tmp_path / "on_steps.npz")
    assert read_terrain(str(tmp_path / "on_steps.npz")) == scene["terrain"]


@pytest.mark.parametrize(
    "surface",
    [
        FLAT,
        TiltedPlane(along_x=0.2, along_y=-0.1),
        TerrainSurface(Plane().parts()),
        TerrainSurface(Steps(start=-1.0).parts()),
        TerrainSurface(Steps(start=-1.0).parts()).scaled(0.7),
        TerrainSurface(RoughGround(seed=2).parts()).scaled(0.7),
        HeightFunction(lambda x, y: 0.1 * np.sin(x) * np.cos(y)),
        TiltedPlane(along_x=0.2, level=0.5),
    ],
)
def test_the_scene_of_a_ground_has_its_heights(surface: Surface) -> None:
    scene = check_scene(scene_on(surface, 0.4 * PLACES.T), (), "scene")
    found = ground_of(scene)
    assert found.is_flat == surface.is_flat and (scene == {}) == surface.is_flat
    np.testing.assert_allclose(found.height(*PLACES), surface.height(*PLACES), atol=2e-3)


def test_a_mirrored_scene_is_mirrored_ground() -> None:
    for spec in ("slope:7,40", "rough:3,size=5x4", "steps:0.1,0.3,2"):
        scene = {"terrain": read_terrain(spec)}
        if scene["terrain"]["type"] == "height_field":
            scene["terrain"] |= {"pos": [0.3, 0.4]}
        x, y = PLACES
        mirrored = ground_of(check_scene(mirror_scene(scene), (), "scene"))
        away = np.abs(np.abs(y) - 1.4) > 1e-3
        one, other = mirrored.height(x, y)[away], ground_of(scene).height(x, -y)[away]
        # MuJoCo's diagonals do not turn with the field.
        np.testing.assert_allclose(one, other, atol=5e-3)


def test_terrain_of_a_scene_is_a_configuration() -> None:
    assert terrain_of({}) == Plane()
    assert isinstance(terrain_of({"terrain": read_terrain("steps")}), Boxes)
