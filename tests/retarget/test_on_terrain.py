"""What is said and shown of a motion on terrain is relative to the terrain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.terrain import TerrainSurface
from motions import HumanMotion, RobotMotion
from motions.robot.completion import complete
from motions.robot.curation.measures import measure_paths
from motions.robot.dynamics.feasibility import DynamicsSettings, check_dynamics
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.quality.ground import sole_heights
from motions.robot.terrain import ground_of, terrain_of
from motions.robot.terrain_files import read_terrain
from retarget import retarget
from retarget.page import clip_curves
from retarget.page.ground import ground_patches
from retarget.page.picture import draw_clip
from retarget.projection import project
from retarget.view.show import BodyTrack, Show, SkeletonTrack
from retarget.view.terrain import terrain_meshes
from robots.robot import Robot

PLATFORM: dict[str, Any] = {
    "terrain": {
        "type": "boxes", "boxes": [{"pos": [0.0, 0.0, 0.15], "half_size": [3.0, 3.0, 0.15]}],
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def flat(g1: Robot, walk: HumanMotion) -> RobotMotion:
    return retarget(walk.crop(0, 50), g1)


@pytest.fixture(scope="module")
def lifted(flat: RobotMotion) -> RobotMotion:
    """The same motion 0.3 m higher, on a platform."""
    return replace(flat, body_pos_w=flat.body_pos_w + [0.0, 0.0, 0.3], scene=PLATFORM)


def trajectory(motion: RobotMotion) -> RobotTrajectory:
    return RobotTrajectory(
        fps=motion.fps, root_pos=motion.root_pos, root_quat=motion.root_quat,
        joint_pos=motion.joint_pos, joint_names=motion.joint_names, robot=motion.robot,
        scene=motion.scene, name=motion.name,
    )  # fmt: skip


def test_loads_on_a_platform_are_those_on_the_floor(
    flat: RobotMotion, lifted: RobotMotion, g1: Robot
) -> None:
    floor, platform = check_dynamics(flat, g1), check_dynamics(lifted, g1)
    assert platform.feasible.any() and (floor.contacts == platform.contacts).mean() > 0.9
    same = floor.contacts == platform.contacts
    np.testing.assert_allclose(floor.residual[same], platform.residual[same], atol=1e-3)
    margin = np.abs(floor.zmp_margin - platform.zmp_margin)[same]
    assert np.nanmax(margin) < 0.01
    nowhere = replace(lifted, scene={})
    assert (check_dynamics(nowhere, g1).contacts == 0).all()


def test_cones_stand_on_the_slope(g1: Robot) -> None:
    """A robot that stands upright on a slope of 20 degrees needs tan 20 of friction, no more."""
    frames, rise = 12, np.tan(np.radians(20.0))
    scene = {"terrain": read_terrain("slope:20")}
    root = np.tile([0.0, 0.0, g1.default_root_height], (frames, 1))
    joints = np.tile(g1.default_joint_pos, (frames, 1))
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    motion = RobotMotion.from_coordinates(g1, root, quat, joints, fps=30.0, scene=scene)
    ground = ground_of(scene)

    low = sole_heights(g1, motion.body_pos_w, motion.body_quat_w, ground).min()
    motion = replace(motion, body_pos_w=motion.body_pos_w - [0.0, 0.0, low])
    # All of both soles counts as on the ground, so that the pose itself is no obstacle.
    near = 0.2
    held = check_dynamics(motion, g1, DynamicsSettings(height=near, friction=3.0 * rise))
    slips = check_dynamics(motion, g1, DynamicsSettings(height=near, friction=0.5 * rise))
    assert held.residual.max() < 0.05 < slips.residual.min()


def test_measures_of_curation_are_over_the_terrain(
    flat: RobotMotion, lifted: RobotMotion, g1: Robot
) -> None:
    floor, platform = (measure_paths(trajectory(each), g1) for each in (flat, lifted))
    for name in ("contact", "lowest", "soles", "height"):
        np.testing.assert_allclose(getattr(floor, name), getattr(platform, name), atol=1e-9)


def test_feet_on_a_platform_stand(flat: RobotMotion, lifted: RobotMotion, g1: Robot) -> None:
    on_floor, on_platform, in_air = (
        complete(trajectory(each), g1) for each in (flat, lifted, replace(lifted, scene={}))
    )
    assert on_floor.contact.any() and np.array_equal(on_floor.contact, on_platform.contact)
    assert not in_air.contact.any()


def test_curves_are_over_the_terrain(flat: RobotMotion, lifted: RobotMotion, g1: Robot) -> None:
    floor, platform = clip_curves(flat, g1), clip_curves(lifted, g1)
    np.testing.assert_allclose(floor.sole_height, platform.sole_height, atol=1e-9)
    np.testing.assert_allclose(floor.depth, platform.depth, atol=1e-9)


def test_projection_refuses_terrain(lifted: RobotMotion, g1: Robot) -> None:
    with pytest.raises(InputError, match="level floor only .found terrain of type boxes"):
        project(lifted, g1)


def test_patches_of_a_picture_lie_on_the_ground() -> None:
    ground = ground_of({"terrain": read_terrain("slope:10")})
    patches, colours = ground_patches(ground, np.array([0.3, 0.1]), 0.5)
    assert np.abs(ground.clearance(patches)).max() < 1e-9 and colours.shape == (len(patches), 3)
    assert patches[..., 0].min() < -0.19 and patches[..., 0].max() > 0.79
    steps = ground_of({"terrain": read_terrain("steps:0.2,0.3,1,start=0")})
    patches, colours = ground_patches(steps, np.zeros(2), 0.3)
    wall = np.ptp(patches[..., 2], axis=1) > 0.1
    assert wall.any() and colours[wall].mean() < colours[~wall].mean()


def test_pictures_show_the_terrain(
    flat: RobotMotion, lifted: RobotMotion, walk: HumanMotion, g1: Robot, tmp_path: Path
) -> None:
    from matplotlib.image import imread

    human = walk.crop(0, 50)
    ground = ground_of({"terrain": read_terrain("steps:0.2,0.3,2,start=0")})
    draw_clip(tmp_path / "floor.png", human, flat, g1, count=2)
    draw_clip(tmp_path / "boxes.png", human, lifted, g1, count=2, source_ground=ground)
    floor, boxes = (imread(tmp_path / f"{name}.png")[..., :3] for name in ("floor", "boxes"))
    assert floor.shape == boxes.shape
    for half in (slice(0, len(floor) // 2), slice(len(floor) // 2, None)):
        # The terrain is of a warmer tone than anything of the plain picture.
        warm = [(each[half, :, 0] - each[half, :, 2] > 0.04).mean() for each in (floor, boxes)]
        assert warm[1] > warm[0] + 0.02


@pytest.mark.parametrize("spec", ["steps:0.2,0.3,2", "rough:3,size=2x2", "slope:8,30", "ramp"])
def test_the_viewer_draws_what_the_ground_is(spec: str) -> None:
    terrain = terrain_of({"terrain": read_terrain(spec)}).parts()
    surface = TerrainSurface(terrain)
    path = np.array([[0.0, 0.0], [1.0, 0.5]])
    meshes = terrain_meshes(terrain, path)
    assert meshes
    inward = []
    for mesh in meshes:  # a corner itself may fall to either side
        middle = mesh.vertices.mean(axis=0) * [1.0, 1.0, 0.0]
        inward.append(middle + (mesh.vertices - middle) * [1.0 - 1e-6, 1.0 - 1e-6, 1.0])
    over = surface.clearance(np.concatenate(inward))
    assert over.max() < 1e-3  # nothing of it is above the ground
    assert (np.abs(over) < 1e-3).sum() >= 4
    assert terrain_meshes(terrain_of({}).parts(), path) == []


def test_the_viewer_follows_the_ground(lifted: RobotMotion) -> None:
    terrain = terrain_of(lifted.scene).parts()
    track = BodyTrack((), lifted.body_names, lifted.body_pos_w, lifted.body_quat_w)
    show = Show(name="walk", fps=lifted.fps, bodies=(track,), terrain=terrain)
    assert show.focus()[:, 2] == pytest.approx(0.3)
    person = SkeletonTrack(np.zeros((2, 1, 3)), (), 0, ground=-0.5, level=0.3)
    assert person.beside(track, np.zeros(3), scaled=False)[0, 0, 2] == pytest.approx(0.8)
