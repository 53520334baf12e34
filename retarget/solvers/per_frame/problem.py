"""The inverse kinematics of one frame as a problem: its settings, rows, limits and the ground.

A frame's problem is to minimise, over a step dx of the root and the joints,

    sum_k |w_k (r_k + J_k dx)|^2 + |w_q (q + dq - q_rest)|^2 + damping |dx|^2

within joint limits, the joints' speed limits counted from the frame before, and with every sole and
outer point above the ground. `solver.FrameSolver` hands it to mink, `streaming.solver.LiveSolver`
to DAQP directly; both take the same objectives as the whole-clip solver.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array
from retarget.objectives import Objective
from retarget.solvers.normal import frame_equations
from retarget.solvers.per_frame.settings import IkSettings
from retarget.solvers.tree import BodyTree, TreePose
from retarget.solvers.weights import rest_posture
from robots.collision import check_geometry, outer_points
from robots.frames import RobotFrames
from robots.robot import Robot


class FrameProblem:
    """What every frame of one robot has in common: limits, rest posture, points over the ground."""

    def __init__(
        self,
        robot: Robot,
        frames: RobotFrames,
        fps: float,
        settings: IkSettings,
        ground: Surface = FLAT,
    ) -> None:
        self.robot, self.frames, self.settings, self.fps = robot, frames, settings, fps
        self.model = robot.model
        self.tree = BodyTree(robot.model)
        self.max_step = np.minimum(
            robot.velocity_limit * settings.velocity_share / fps, settings.max_step
        )
        self.lower, self.upper = robot.joint_lower.copy(), robot.joint_upper.copy()
        # A robot's elbow may bend backwards; once it does, the arm is caught in a mirrored pose
        # that fits the directions nearly as well and has no short way out.
        for joint, (low, high) in frames.flexion.items():
            self.lower[joint], self.upper[joint] = low, high
        self.ground = ground_points(robot, self.tree, ground)
        rest, self.rest_weight = rest_posture(robot, settings.weights)
        self.rest = np.clip(rest, self.lower, self.upper)

    def equations(self, pose: TreePose, objectives: Sequence[Objective]) -> tuple[Array, Array]:
        """Hessian [n, n] and gradient [n] of the objectives, in MuJoCo's tangent space."""
        return frame_equations(self.tree, pose, objectives)


class GroundPoints:
    """Points of the robot that stay above a surface: ``c >= -allowed`` after the step, linearised.

    The clearance is ``c = z - h(x, y)``, its derivative after the place ``(-dh/dx, -dh/dy, 1)``.
    The root can always rise, so the constraint never makes a frame infeasible.
    """

    near = 0.06
    """m; only points that low can reach the ground within a step."""
    wall = np.inf
    """m; a point that is deeper is in a wall, and rising is no way out of it."""

    def __init__(
        self,
        tree: BodyTree,
        bodies: Array,
        points: Array,
        surface: Surface = FLAT,
        allowed: float = 0.001,
    ) -> None:
        """`points` [P, 3] m in the frames of `bodies` [P]."""
        self.tree, self.surface, self.allowed = tree, surface, allowed
        self.bodies, self.points = np.asarray(bodies, dtype=int), np.asarray(points, float)

    def heights(self, pose: TreePose) -> Array:
        """Clearances [P] m of all points at one configuration."""
        if self.surface.is_flat:
            vertical = pose.mat[self.bodies, 2, :, 0]
            height = pose.pos[self.bodies, 2, 0] + np.einsum("ij,ij->i", vertical, self.points)
            return height + pose.root[2, 0]
        return self.surface.clearance(self._places(pose, slice(None)) + pose.root[:, 0])

    def inequalities(self, pose: TreePose) -> tuple[Array, Array] | None:
        """Rows G [K, n] and bounds h [K] of ``G dx <= h`` for the low points; None without any.

        Columns are in MuJoCo's tangent space, where the free joint turns about the body's axes.
        """
        height = self.heights(pose)
        low = np.flatnonzero((height < self.near) & (height > -self.wall))
        if not len(low):
            return None
        x, y, z = self._places(pose, low).T
        if self.surface.is_flat:
            twist = np.zeros((len(low), 6))
            twist[:, 0], twist[:, 1], twist[:, 5] = y, -x, 1.0
        else:
            along = self.surface.gradient(x + pose.root[0, 0], y + pose.root[1, 0])
            up = np.stack([-along[0], -along[1], np.ones_like(x)], axis=1)
            twist = np.concatenate([np.cross(np.stack([x, y, z], axis=1), up), up], axis=1)
        # A row g on the velocity of a point at p is (p x g, g) on its body's twist.
        rows = (twist @ pose.basis[:, :, 0].T) * self.tree.moves[self.bodies[low]]
        rows[:, 3:6] = rows[:, 3:6] @ pose.mat[1, :, :, 0]
        return -rows, height[low] + self.allowed

    def _places(self, pose: TreePose, which: Array | slice) -> Array:
        """[K, 3] m of some points, seen from the root."""
        bodies = self.bodies[which]
        turned = (pose.mat[bodies, :, :, 0] @ self.points[which, :, None])[:, :, 0]
        return pose.pos[bodies, :, 0] + turned


def ground_points(robot: Robot, tree: BodyTree, surface: Surface = FLAT) -> GroundPoints:
    """Feet by their sole points, all else by the outer points of the vendor's geometry."""
    bodies, points = [], []
    for foot, sole in zip(robot.feet, robot.sole_points, strict=True):
        bodies += [robot.model.body(foot).id] * len(sole)
        points.append(sole)
    for name, outer in outer_points(check_geometry(robot)):
        if name not in robot.feet:
            bodies += [robot.model.body(name).id] * len(outer)
            points.append(outer)
    return GroundPoints(tree, np.array(bodies), np.concatenate(points), surface)
