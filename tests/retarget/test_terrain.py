"""The ground as a height function: surfaces, feet on them, the pipeline on slope and step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_rotate
from mimic_base.surface import (
    FLAT,
    Flat,
    HeightField,
    HeightFunction,
    Slope,
    Steps,
    Surface,
)
from mimic_base.vectors import Array
from motions import HumanMotion, RobotMotion
from motions.robot.quality.ground import sole_heights
from retarget import retarget
from retarget.feet.terrain import sole_height, support_height, tilts
from retarget.person.calibration import calibrate
from retarget.person.scaling import leg_scale
from retarget.settings import RetargetSettings
from retarget.solvers.normal import NormalEquations
from retarget.solvers.tree import BodyTree, rotation_matrix
from retarget.solvers.whole_clip.obstacles import Ground
from robots.collision import check_geometry, lowest_point
from robots.frames import robot_frames
from robots.robot import Robot

BUMPS = HeightFunction(lambda x, y: 0.05 * np.sin(3 * x) * np.cos(2 * y))
GRID = HeightField(np.array([[0.0, 0.1, 0.3], [0.2, 0.1, 0.0]]), 0.5, (1.0, -1.0))
SLOPE = Slope(along_x=np.tan(np.radians(10.0)))


@pytest.mark.parametrize("surface", [Flat(0.3), SLOPE, BUMPS, GRID, SLOPE.scaled(0.5)])
def test_gradients_are_those_of_the_height(surface: Surface) -> None:
    rng = np.random.default_rng(0)
    # Away from the lines of the grid, where it has a kink.
    x, y = rng.uniform(1.05, 1.45, 20), rng.uniform(-0.95, -0.55, 20)
    e = 1e-6
    along_x, along_y = surface.gradient(x, y)
    assert np.allclose(along_x, (surface.height(x + e, y) - surface.height(x - e, y)) / (2 * e))
    assert np.allclose(along_y, (surface.height(x, y + e) - surface.height(x, y - e)) / (2 * e))
    normal = surface.normal(x, y)
    assert np.allclose(np.linalg.norm(normal, axis=-1), 1.0) and (normal[:, 2] > 0).all()


def test_heights_of_a_grid_are_between_its_points_and_constant_outside() -> None:
    assert GRID.height([1.0, 2.0, 1.5], [-1.0, -0.5, -1.0]).tolist() == [0.0, 0.0, 0.1]
    assert float(GRID.height(1.25, -0.75)) == pytest.approx(0.1)
    assert float(GRID.height(-9.0, -1.0)) == 0.0 and float(GRID.height(9.0, -1.0)) == 0.3
    assert [float(g) for g in GRID.gradient(-9.0, -0.75)][0] == 0.0
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        HeightField(np.zeros(3), 0.1)


def test_stairs_are_level_treads_along_their_heading() -> None:
    stairs = Steps(edges=(1.0, 1.5), heights=(0.2, 0.4), heading=np.pi / 2)
    assert stairs.height(0.0, [0.9, 1.1, 2.0]).tolist() == [0.0, 0.2, 0.4]
    assert stairs.scaled(0.5).height(0.0, [0.45, 0.55]).tolist() == [0.0, 0.1]
    with pytest.raises(InputError, match="rising order"):
        Steps(edges=(1.0, 0.5), heights=(0.2, 0.4))


def test_tilts_turn_the_vertical_to_the_normal_and_nothing_about_it() -> None:
    ball = np.random.default_rng(1).normal(size=(9, 2, 3))
    surface = Slope(along_x=0.3, along_y=-0.2)
    tilt = tilts(surface, ball, 30.0)
    assert np.allclose(tilt[..., 2], surface.normal(0.0, 0.0))
    assert np.allclose(tilt @ np.swapaxes(tilt, -1, -2), np.eye(3), atol=1e-12)
    axis = np.array([0.2, 0.3, 0.0])  # z x n, up to its length: the axis of the least rotation
    assert np.allclose(tilt @ axis, axis)


def test_support_is_below_the_foot_that_stands() -> None:
    ball = np.zeros((40, 2, 3))
    ball[:, 1, 0] = 2.0
    standing = np.zeros((40, 2))
    standing[:, 1] = 1.0
    step = Steps(edges=(1.0,), heights=(0.2,))
    assert np.allclose(support_height(step, ball, standing, 30.0), 0.2, atol=0.005)


def test_a_sole_over_an_edge_lies_on_the_upper_tread() -> None:
    sole = np.array([[-0.2, 0.0, 0.0], [0.05, 0.0, 0.0]])
    step = Steps(edges=(1.0,), heights=(0.2,))
    places = np.array([[0.5, 0.0], [0.97, 0.0], [1.3, 0.0]])
    level = np.tile(np.eye(3), (3, 1, 1))
    assert np.allclose(sole_height(step, places, np.zeros(3), level, sole), [0.0, 0.2, 0.2])
    slope = tilts(SLOPE, np.zeros((3, 2, 3)), 30.0)[:, 0]
    height = sole_height(SLOPE, places, np.full(3, 0.4), slope, sole)
    assert np.allclose(height, SLOPE.height(places[:, 0], places[:, 1]))


def test_a_surface_of_height_zero_pushes_like_the_flat_ground(g1: Robot) -> None:
    """The general way and the compiled loop for the flat ground: same rows, same active set."""
    frames, rng = 4, np.random.default_rng(3)
    tree = BodyTree(g1.model)
    root = rng.normal(size=(3, frames)) * np.array([[1.0], [1.0], [0.1]]) + 0.2
    joints = np.repeat(g1.default_joint_pos[:, None], frames, axis=1)
    pose = tree.pose(root, rotation_matrix(rng.uniform(-1, 1, (3, frames))), joints)
    step = 0.05 * rng.normal(size=(frames, tree.num_dofs))
    index = np.arange(frames)
    results = []
    for surface in (FLAT, HeightFunction(lambda x, y: 0.0 * x)):
        ground = Ground(g1, frames, surface=surface)
        found = []
        for _ in range(2):
            normal = NormalEquations(tree, pose)
            ground(normal, pose, index)
            found += [normal.gram, normal.force, normal.cost]
            found += [ground.touching.copy(), ground.after(tree, pose, index, step)]
            found += [ground.touching.copy()]
        results.append(found)
    assert results[0][2] > 0.0 and results[0][3].any()
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_rows_of_a_surface_are_the_gradient_of_its_cost(g1: Robot) -> None:
    tree, rng = BodyTree(g1.model), np.random.default_rng(5)
    root, joints = np.array([[0.3], [0.2], [0.55]]), g1.default_joint_pos[:, None]
    mat = rotation_matrix(rng.uniform(-0.2, 0.2, (3, 1)))
    surface = Slope(along_x=0.2, along_y=-0.3, level=0.1)

    def cost(step: Array) -> tuple[float, Array]:
        turned = np.einsum("ijt,jkt->ikt", rotation_matrix(step[3:6, None]), mat)
        pose = tree.pose(root + step[:3, None], turned, joints + step[6:, None])
        normal, n = NormalEquations(tree, pose), tree.num_dofs
        Ground(g1, 1, surface=surface)(normal, pose, np.array([0]))
        blocks, gradient = np.zeros((1, n, n)), np.zeros((1, n))
        normal.fill(blocks, gradient)
        return normal.cost, gradient[0]

    still = np.zeros(tree.num_dofs)
    value, gradient = cost(still)
    assert value > 0.0
    for k in (0, 1, 2, 3, 4, 5, 9, 15):
        step = still.copy()
        step[k] = 1e-7
        slope = (cost(step)[0] - cost(-step)[0]) / 2e-7
        assert 2 * gradient[k] == pytest.approx(slope, rel=1e-3, abs=1e-3 * np.abs(gradient).max())


def standing_soles(motion: RobotMotion, robot: Robot, surface: Surface) -> Array:
    """Heights over the surface of the lowest sole points of feet that stand."""
    heights = sole_heights(robot, motion.body_pos_w, motion.body_quat_w, surface)
    return heights[motion.contact > 0.999]


def deepest(motion: RobotMotion, robot: Robot, surface: Surface) -> float:
    low = lowest_point(
        check_geometry(robot), motion.body_names, motion.body_pos_w, motion.body_quat_w, surface
    )
    return float(-low.min())


def edge(human: HumanMotion, robot: Robot) -> float:
    """Middle of the robot's way along x."""
    scale = leg_scale(calibrate(human), robot_frames(robot))
    return float(scale * np.median(human.role("pelvis")[:, 0]))


@pytest.mark.parametrize("kind", ["slope", "across", "step", "down", "bumps"])
def test_a_walk_on_a_surface_has_its_soles_on_it(g1: Robot, walk: HumanMotion, kind: str) -> None:
    middle = edge(walk, g1)
    surface = {
        "slope": SLOPE,
        "across": Slope(along_y=0.15, level=0.2),
        "step": Steps(edges=(middle,), heights=(0.12,)),
        "down": Steps(edges=(middle,), heights=(-0.12,)),
        "bumps": BUMPS,
    }[kind]
    motion = retarget(walk, g1, ground=surface)
    assert deepest(motion, g1, surface) < 0.01
    standing = standing_soles(motion, g1, surface)
    assert len(standing) > 30 and np.abs(standing).mean() < 0.005
    assert (np.abs(standing) < 0.02).mean() > 0.95
    quality = motion.quality
    assert quality["any_geom_ground_pen"]["max_m"] == pytest.approx(
        max(0.0, deepest(motion, g1, surface)), abs=1e-9
    )
    assert quality["source_contact"]["skate_mean_mps"] < 0.02
    assert quality["source_contact"]["float_rate_3cm"] < 0.03
    assert quality["jumps"]["count"] == 0
    if kind in ("slope", "step", "down"):  # it has gone up or down with the ground
        flat = retarget(walk, g1)
        rise = surface.height(flat.root_pos[[0, -1], 0], 0.0)
        gained = motion.root_pos[[0, -1], 2] - flat.root_pos[[0, -1], 2]
        assert gained[1] - gained[0] == pytest.approx(float(rise[1] - rise[0]), abs=0.03)


def test_standing_soles_are_parallel_to_the_slope(g1: Robot, walk: HumanMotion) -> None:
    motion = retarget(walk, g1, ground=SLOPE)
    frames = robot_frames(g1)
    for i, name in enumerate(g1.feet):
        up = frames.foot_turns[i].T @ np.array([0.0, 0.0, 1.0])
        quat = motion.body_quat_w[:, motion.body_names.index(name)]
        cosine = quat_rotate(quat, up) @ SLOPE.normal(0.0, 0.0)
        flat = motion.contact[:, i] > 0.9
        assert np.degrees(np.arccos(cosine[flat])).min() < 1.0
        assert np.median(np.degrees(np.arccos(cosine[flat]))) < 6.0


def test_frame_by_frame_stands_on_a_slope_too(g1: Robot, walk: HumanMotion) -> None:
    clip = walk.crop(0, 60)
    motion = retarget(clip, g1, ground=SLOPE, settings=RetargetSettings(method="per-frame"))
    assert deepest(motion, g1, SLOPE) < 0.01
    assert np.abs(standing_soles(motion, g1, SLOPE)).mean() < 0.005


def test_a_person_on_a_slope_is_a_robot_on_its_own(g1: Robot, walk: HumanMotion) -> None:
    """A person whose soles are on a slope, given that slope: the same robot as from the flat."""
    slope = Slope(along_x=0.15, level=0.4)
    scale = leg_scale(calibrate(walk), robot_frames(g1))
    pos = walk.pos_w.copy()
    # The whole person is lifted with the ground below the hips; only feet see the slope as such.
    hips = walk.role("pelvis")
    pos[..., 2] += slope.height(hips[:, 0], hips[:, 1])[:, None]
    climbing = replace(walk, pos_w=pos)
    surface = slope.scaled(scale)
    motion = retarget(climbing, g1, ground=surface, source_ground=slope)
    assert deepest(motion, g1, surface) < 0.01
    assert np.abs(standing_soles(motion, g1, surface)).mean() < 0.01
    assert motion.contact.mean() > 0.3
    flat = retarget(walk, g1)
    lifted = motion.root_pos[:, 2] - surface.height(*motion.root_pos[:, :2].T)
    assert np.abs(lifted - flat.root_pos[:, 2]).mean() < 0.04
