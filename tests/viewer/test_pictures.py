"""Pictures show what they should, with OpenGL and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

import robots
from mimic.sim.states import States
from mimic.viewer import gl
from mimic.viewer.camera import View, heading, project, smooth_path
from mimic.viewer.painter import Limbs, Pose, open_painter
from mimic.viewer.stage import GHOST_GROUP, stage_model
from mimic.viewer.stick import StickPainter
from mimic.viewer.strips import human_strip, robot_strip, strip_size, strip_times
from mimic_base.rotations import quat_of_yaw
from motions.human import demo
from robots.meshes import Mesh, hull, simplified

SIZE = (320, 180)


@pytest.fixture(scope="module")
def robot() -> robots.Robot:
    return robots.load("unitree_g1")


@pytest.fixture(scope="module", params=["stick", pytest.param("opengl", marks=pytest.mark.render)])
def painter(request, robot):
    made = StickPainter(robot, *SIZE) if request.param == "stick" else open_painter(robot, *SIZE)
    with made as opened:
        yield opened


def standing(robot: robots.Robot, x: float = 0.0, y: float = 0.0) -> States:
    return States.of([x, y, robot.default_root_height, 1, 0, 0, 0, *robot.default_joint_pos])


def changed(image: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Pixels [N, 2] (row, column) that differ."""
    return np.argwhere(np.abs(image.astype(int) - empty.astype(int)).max(-1) > 30)


def test_a_robot_appears_where_it_stands(painter, robot) -> None:
    view = View()
    empty = painter.draw([], view)
    assert empty.shape == (SIZE[1], SIZE[0], 3) and empty.dtype == np.uint8
    middle = changed(painter.draw([Pose(standing(robot))], view), empty)
    assert abs(np.median(middle[:, 1]) - SIZE[0] / 2) < 15
    assert np.ptp(middle[:, 0]) > SIZE[1] / 3
    x, y, _ = view.right * 0.8
    beside = changed(painter.draw([Pose(standing(robot, x, y))], view), empty)
    assert np.median(beside[:, 1]) > np.median(middle[:, 1]) + 30


def test_the_ghost_is_blue_and_the_robot_is_not(painter, robot) -> None:
    view = View()
    empty = painter.draw([], view)
    for ghost in (True, False):
        image = painter.draw([Pose(standing(robot), ghost=ghost)], view)
        rows, columns = changed(image, empty).T
        red, _, blue = image[rows, columns].astype(float).mean(0)
        assert (blue > red + 40) == ghost


def test_a_figure_of_limbs_and_texts_are_drawn(painter) -> None:
    view = View()
    empty = painter.draw([], view)
    limb = Limbs(np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.2]]))
    assert len(changed(painter.draw([], view, limbs=[limb]), empty)) > 200
    text = changed(painter.draw([], view, title="walk", caption="24 mm"), empty)
    assert (text[:, 0] < SIZE[1] / 3).any() and (text[:, 0] > 2 * SIZE[1] / 3).any()


def test_strips_put_moments_side_by_side(robot) -> None:
    human = demo.generate("wave")
    width, height = strip_size(4, 120)
    with StickPainter(robot, width, height) as painter:
        times = strip_times(human.duration, 4)
        assert times[0] > 0 and times[-1] < human.duration
        person = human_strip(painter, human, times)
        states = States.stack([standing(robot, 5.0, -3.0)] * 4)
        machine = robot_strip(painter, states, states, root_height=robot.default_root_height)
    for image in (person, machine):
        assert image.shape == (height, width, 3)
        # Every quarter holds a figure: something much darker or more colourful than the ground.
        spread = np.ptp(image.astype(int), axis=-1) + (255 - image.min(-1).astype(int))
        for quarter in np.array_split(spread, 4, axis=1):
            assert quarter.max() > 100


def test_projection_puts_lookat_in_the_middle_and_up_above() -> None:
    view = View(lookat=(1.0, 2.0, 0.5), azimuth=70.0)
    pixel, depth = project(view.lookat, view, 400, 200)
    np.testing.assert_allclose(pixel, [200, 100], atol=1e-9)
    assert depth == pytest.approx(view.distance)
    above, _ = project(np.array(view.lookat) + [0, 0, 0.1], view, 400, 200)
    beside, _ = project(np.array(view.lookat) + 0.1 * view.right, view, 400, 200)
    assert above[1] > 100 and above[0] == pytest.approx(200)
    assert beside[0] > 200 and beside[1] == pytest.approx(100)


def test_camera_path_is_smooth_and_level() -> None:
    t = np.arange(300) / 50
    root = np.stack([t, 0.03 * np.sin(12 * t), 0.75 + 0.02 * np.sin(24 * t)], axis=-1)
    path = smooth_path(root, 50.0)
    assert np.ptp(path[:, 2]) == 0
    assert np.abs(path[50:-50, 1]).max() < 0.003
    np.testing.assert_allclose(path[100, 0], root[100, 0], atol=1e-3)
    assert heading(quat_of_yaw(np.array(0.5))) == pytest.approx(np.degrees(0.5))


def sphere(count: int = 40) -> Mesh:
    u, v = np.meshgrid(np.linspace(0, np.pi, count), np.linspace(0, 2 * np.pi, count))
    points = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)], -1).reshape(-1, 3)
    k = np.arange(count * (count - 1)).reshape(count - 1, count)[:, :-1].ravel()
    faces = np.concatenate(
        [np.stack([k, k + 1, k + count], -1), np.stack([k + 1, k + count + 1, k + count], -1)]
    )
    return Mesh(points, faces)


def test_lighter_meshes_keep_their_shape() -> None:
    fine = sphere()
    coarse = simplified(fine, 0.2)
    assert len(coarse.faces) < 0.5 * len(fine.faces)
    np.testing.assert_allclose(np.linalg.norm(coarse.vertices, axis=1), 1.0, atol=0.05)
    assert coarse.faces.max() < len(coarse.vertices)


def test_hull_is_closed_and_looks_outwards() -> None:
    shape = hull(sphere(12), 0.9)
    corners = shape.vertices[shape.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.sum(normals * corners.mean(1), axis=-1) > 0).all()
    edges = np.sort(np.concatenate([shape.faces[:, [0, 1]], shape.faces[:, [1, 2]],
                                    shape.faces[:, [2, 0]]]), axis=1)  # fmt: skip
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    flat = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    assert hull(flat) is flat


def test_the_stage_draws_the_same_robot(robot) -> None:
    model = stage_model(robot)
    assert model.nq == robot.model.nq
    data, original = mujoco.MjData(model), mujoco.MjData(robot.model)
    for m, d in ((model, data), (robot.model, original)):
        standing(robot).put(m, d)
    np.testing.assert_allclose(data.xpos, original.xpos, atol=1e-9)
    ghosts = np.flatnonzero(model.geom_group == GHOST_GROUP)
    solid = np.flatnonzero(model.geom_group < 3)
    assert len(ghosts) == len(solid)
    # A ghost's part lies where the part itself does.
    for part, ghost in zip(solid, ghosts, strict=True):
        assert model.geom_bodyid[part] == model.geom_bodyid[ghost]
        apart = np.linalg.norm(data.geom_xpos[part] - data.geom_xpos[ghost])
        assert apart < 0.6 * model.geom_rbound[part]


def test_mujoco_gl_off_means_no_opengl(monkeypatch) -> None:
    for value in ("disable", "disabled", "off"):
        monkeypatch.setenv("MUJOCO_GL", value)
        assert gl.working_backend() is None
        assert gl.settle_backend() is None
        assert os.environ["MUJOCO_GL"] == "disable"


def test_a_backend_that_does_not_work_is_passed_over(monkeypatch) -> None:
    tried = []

    def draws(backend: str) -> bool:
        tried.append(backend)
        return backend == "osmesa"

    monkeypatch.setattr(gl, "_draws", draws)
    monkeypatch.setattr(gl.sys, "platform", "linux")
    monkeypatch.setenv("MUJOCO_GL", "glx")
    monkeypatch.delenv("DISPLAY", raising=False)
    gl._first_working.cache_clear()
    try:
        assert gl.settle_backend() == "osmesa"
        assert tried == ["glx", "egl", "osmesa"]
        assert os.environ["MUJOCO_GL"] == "osmesa"
    finally:
        gl._first_working.cache_clear()


@pytest.mark.render
def test_the_other_backend_draws_too() -> None:
    backend = "osmesa" if os.environ["MUJOCO_GL"] == "egl" else "egl"
    if not gl._draws(backend):
        pytest.skip(f"{backend} does not work here")
    script = """
from mimic.viewer.gl import settle_backend
settle_backend()
import robots
from mimic.sim.states import States
from mimic.viewer.painter import Pose, View, open_painter
robot = robots.load("unitree_g1")
state = States.of([0, 0, robot.default_root_height, 1, 0, 0, 0, *robot.default_joint_pos])
with open_painter(robot, 160, 120) as painter:
    assert type(painter).__name__ == "Renderer"
    assert painter.draw([Pose(state)], View()).std() > 5
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MUJOCO_GL": backend},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", ["unitree_g1", "unitree_h1", "robotis_op3"])
def test_a_view_shows_a_robot_of_any_size_from_its_soles_to_its_head(name: str) -> None:
    height = robots.load(name).default_root_height
    # A person's or a humanoid's height is about 1.75 times that of its pelvis.
    ends = [[0.0, 0.0, 0.0], [0.0, 0.0, 1.75 * height]]
    pixels, depth = project(ends, View.of_height(height), 640, 360)
    assert (depth > 0).all()
    assert 20 < pixels[0, 1] < 80 and 300 < pixels[1, 1] < 350, pixels
