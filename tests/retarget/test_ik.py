from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mink
import numpy as np
import pytest

from mimic_base.rotations import quat_mul, quat_rotate
from mimic_base.surface import FLAT, Slope, Surface
from retarget.objectives import Direction, Point, stacked
from retarget.pipeline import retarget
from retarget.settings import RetargetSettings
from retarget.solvers.per_frame.problem import FrameProblem, GroundPoints, IkSettings
from retarget.solvers.per_frame.settings import FrameSettings
from retarget.solvers.per_frame.solver import (
    FrameStepLimit,
    GroundLimit,
    JointTask,
    ObjectiveTask,
)
from retarget.solvers.tree import BodyTree
from retarget.solvers.weights import ObjectiveWeights, rest_posture
from robots.frames import robot_frames
from robots.robot import Robot
from robots.segments import SEGMENTS


def _configuration(robot: Robot) -> mink.Configuration:
    rng = np.random.default_rng(3)
    q = robot.default_joint_pos + 0.3 * rng.normal(size=robot.num_joints)
    quat = rng.normal(size=4)
    root = np.concatenate([[0.3, -0.2, 0.8], quat / np.linalg.norm(quat)])
    return mink.Configuration(robot.model, np.concatenate([root, q]))


def _slopes(
    function: Callable[[mink.Configuration], np.ndarray], configuration: mink.Configuration
) -> list[np.ndarray]:
    """Central differences of `function` along each degree of freedom."""
    model, step, slopes = configuration.model, 1e-6, []
    for i in range(model.nv):
        velocity = np.zeros(model.nv)
        velocity[i] = step
        plus = mink.Configuration(model, configuration.integrate(velocity, 1.0))
        minus = mink.Configuration(model, configuration.integrate(-velocity, 1.0))
        slopes.append((function(plus) - function(minus)) / (2 * step))
    assert len(slopes) == model.nv
    return slopes


class SlowRows(mink.Task):
    """Directions and points as a task of mink's own, with Jacobians by finite differences."""

    def __init__(self, objectives: list[Direction | Point]) -> None:
        self.objectives = objectives
        super().__init__(cost=np.ones(3 * len(objectives)))

    def compute_error(self, configuration: mink.Configuration) -> np.ndarray:
        data, rows = configuration.data, []
        for each in self.objectives:
            body = data.body(each.body)
            mat = body.xmat.reshape(3, 3)
            if isinstance(each, Direction):
                rows.append(each.weight * (mat @ each.axis - each.target))
            else:
                rows.append(each.weight * (body.xpos + mat @ each.point - each.target))
        return np.concatenate(rows)

    def compute_jacobian(self, configuration: mink.Configuration) -> np.ndarray:
        return np.stack(_slopes(self.compute_error, configuration), axis=1)


def test_the_objectives_of_a_frame_are_minks_own(robot: Robot) -> None:
    """Their quadratic cost is that of a mink task with the same rows, Jacobians and all."""
    rng = np.random.default_rng(5)
    objectives: list[Direction | Point] = []
    for k in (1, 5, 7, 16, 20, robot.model.nbody - 1):
        body, local, target = robot.model.body(k).name, *rng.normal(size=(2, 3))
        objectives.append(
            Direction(name="d", body=body, axis=_unit(local), target=_unit(target), weight=1.3)
        )
        weight = rng.random((1, 3)) + 0.5
        objectives.append(
            Point(name="p", body=body, point=local, target=target[None], weight=weight)
        )
    configuration = _configuration(robot)
    problem = FrameProblem(robot, robot_frames(robot), 50.0, IkSettings())
    task = ObjectiveTask(problem)
    task.terms = stacked(objectives, problem.tree, 1)
    quick = task.compute_qp_objective(configuration)
    for each in objectives:
        if isinstance(each, Point):
            object.__setattr__(each, "weight", np.asarray(each.weight)[0])
            object.__setattr__(each, "target", each.target[0])
    slow = SlowRows(objectives).compute_qp_objective(configuration)
    assert np.allclose(quick.c, slow.c, atol=1e-5)
    assert np.allclose(quick.H, slow.H, atol=1e-5)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def test_the_joint_task_draws_hinges_to_their_angles(robot: Robot) -> None:
    configuration = _configuration(robot)
    joints = JointTask(robot.model)
    goal = robot.default_joint_pos
    joints.set(goal, np.full(robot.num_joints, 1.0))
    velocity = mink.solve_ik(configuration, [joints], 1.0, "daqp", damping=1e-9, limits=[])
    assert np.allclose(configuration.q[7:] + velocity[6:], goal, atol=1e-5)


def test_the_step_limit_counts_from_the_previous_frame(robot: Robot) -> None:
    configuration = _configuration(robot)
    limit = FrameStepLimit(robot.model, np.full(robot.num_joints, 0.1))
    assert limit.compute_qp_inequalities(configuration, 0.02).inactive
    limit.previous = configuration.q[7:] - 0.08
    room = limit.compute_qp_inequalities(configuration, 0.02)
    assert room.h is not None
    assert np.allclose(room.h[: robot.num_joints], 0.02)
    assert np.allclose(room.h[robot.num_joints :], 0.18)


@pytest.mark.parametrize("surface", [FLAT, Slope(along_x=0.3, along_y=-0.2, level=0.1)])
def test_the_ground_limit_is_the_height_of_the_points(robot: Robot, surface: Surface) -> None:
    """Its rows are the points' vertical Jacobian, its right side what is left above the ground."""
    configuration = _configuration(robot)
    bodies = np.array([5, 12, 20, 28])
    points = np.random.default_rng(2).normal(scale=0.1, size=(4, 3))
    tree = BodyTree(robot.model)
    low = GroundPoints(tree, bodies, points, surface, allowed=0.0)
    low.near = 100.0
    rows = GroundLimit(tree, low).compute_qp_inequalities(configuration, 0.02)

    def heights(c: mink.Configuration) -> np.ndarray:
        data = c.data
        at = data.xpos[bodies] + np.einsum(
            "pij,pj->pi", data.xmat[bodies].reshape(-1, 3, 3), points
        )
        return surface.clearance(at)

    assert rows.G is not None and rows.h is not None
    assert np.allclose(rows.h, heights(configuration))
    for i, slope in enumerate(_slopes(heights, configuration)):
        assert np.allclose(slope, -rows.G[:, i], atol=1e-6), f"dof {i}"


def test_someone_lying_on_the_floor_does_not_sink_into_it(robot: Robot, walk) -> None:
    """A walk tipped over backwards: the robot's back is thicker than the person's line of bones."""
    clip = walk.crop(0, 6)
    half = np.sqrt(0.5)
    left = clip.role("left_hip")[0] - clip.role("right_hip")[0]
    left = left * [1, 1, 0] / np.linalg.norm(left[:2])
    tip = np.concatenate([[half], -half * left])
    pos = quat_rotate(tip, clip.pos_w - clip.pos_w[:1, :1]) + np.array([0, 0, 0.05])
    lying = replace(clip, pos_w=pos, quat_w=quat_mul(tip, clip.quat_w))
    motion = retarget(lying, robot)
    up = quat_rotate(motion.root_quat, np.array([0.0, 0.0, 1.0]))
    assert np.abs(up[:, 2]).max() < 0.5
    assert motion.quality["any_geom_ground_pen"]["max_m"] < 0.01
    assert motion.root_pos[:, 2].max() < 0.35


def test_waist_and_wrists_rest_straight(robot: Robot) -> None:
    rest, weight = rest_posture(robot, ObjectiveWeights())
    for i, name in enumerate(robot.joint_names):
        if "waist" in name or "wrist" in name:
            assert rest[i] == 0.0 and weight[i] > ObjectiveWeights().rest_other, name
        else:
            assert weight[i] == ObjectiveWeights().rest_other, name


def test_every_segment_has_axes_on_the_robot(robot: Robot) -> None:
    links = robot_frames(robot).links
    assert set(links) == set(SEGMENTS)
    for name, link in links.items():
        assert abs(link.primary @ link.secondary) < 0.01, name


def test_limits_hold_even_for_a_wild_clip(robot: Robot, walk) -> None:
    """A clip played four times as fast wants more than the joints can do."""
    wild = replace(walk.crop(0, 40), fps=4 * walk.fps)
    motion = retarget(wild, robot)
    assert (motion.joint_pos >= robot.joint_lower - 1e-9).all()
    assert (motion.joint_pos <= robot.joint_upper + 1e-9).all()
    speed = np.abs(np.diff(motion.joint_pos, axis=0)) * motion.fps
    assert (speed <= robot.velocity_limit + 1e-6).all()


def test_the_first_frame_is_as_good_as_the_others(robot: Robot, walk) -> None:
    settings = RetargetSettings(method="per-frame", per_frame=FrameSettings(smooth_hz=None))
    motion = retarget(walk.crop(10, 30), robot, settings=settings)
    steps = np.abs(np.diff(motion.joint_pos, axis=0)).max(axis=1)
    assert steps[0] < 3.0 * np.median(steps) + 0.02
