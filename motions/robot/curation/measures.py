"""PHUMA's measures of plausibility (arXiv 2510.26236), taken on the robot."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mimic_base.rotations import quat_rotate
from mimic_base.signals import low_pass
from mimic_base.vectors import Array
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.quality.plausible import sole_path
from motions.robot.terrain import ground_of
from robots.collision import check_geometry, lowest_point
from robots.kinematics import forward_kinematics
from robots.robot import Robot

CONTACT_BAND = 0.025
GROUND_WINDOW = 0.05
JERK_FILTER_HZ = 3.0
DEEP = 0.02


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Figures of a chunk; see `Thresholds` for their meaning and units."""

    contact_score: float
    root_jerk: float
    base_height_min: float
    base_height_max: float
    support_distance: float
    penetration: float
    penetration_rate: float
    limit_excess: float
    fast_rate: float

    def as_dict(self) -> dict[str, float]:
        return {field.name: float(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Paths:
    """What the measures are taken from, per frame of a whole clip.

    Attributes:
        contact: [T] score of the best of four half feet. support: [T] m. lowest: [T] m of all
        collision geometry. soles: [T] m of the lowest sole point. jerk: [T] m/s^3.
        height: [T] of the base as a share of its default. excess, fast: [T, J].
    """

    contact: Array
    support: Array
    lowest: Array
    soles: Array
    jerk: Array
    height: Array
    excess: Array
    fast: Array

    def measures(self, start: int, stop: int) -> Measures:
        """Figures of frames `start` to `stop` (excluded)."""
        part = slice(start, stop)
        return Measures(
            contact_score=float(self.contact[part].mean()),
            root_jerk=float(self.jerk[part].mean()),
            base_height_min=float(self.height[part].min()),
            base_height_max=float(self.height[part].max()),
            support_distance=float(self.support[part].mean()),
            penetration=float(max(0.0, -self.lowest[part].min())),
            penetration_rate=float((self.lowest[part] < -DEEP).mean()),
            limit_excess=float(self.excess[part].max()),
            fast_rate=float(self.fast[part].mean()),
        )


def sole_points_path(motion: RobotTrajectory, robot: Robot) -> tuple[Array, Array, Array, Array]:
    """Body poses and both feet's sole points [T, K, 3]."""
    pos, quat = forward_kinematics(robot, motion.root_pos, motion.root_quat, motion.joint_pos)
    return pos, quat, sole_path(robot, 0, pos, quat), sole_path(robot, 1, pos, quat)


def ground_height(lowest: Array) -> float:
    """Height of the ground under a clip: the middle of the 5 cm in which the lowest sole point is
    most often (PHUMA's vote), as the median of the frames in it. `lowest` [T] m."""
    ordered = np.sort(lowest)
    inside = np.searchsorted(ordered, ordered + GROUND_WINDOW, side="right")
    count = inside - np.arange(len(ordered))
    best = int(count.argmax())
    return float(np.median(ordered[best : inside[best]]))


def measure_paths(motion: RobotTrajectory, robot: Robot) -> Paths:
    """Everything per frame, over the ground of the scene. Joints in the robot's order."""
    pos, quat, left, right = sole_points_path(motion, robot)
    fps, ground, height = motion.fps, ground_of(motion.scene), motion.root_pos[:, 2]
    if not ground.is_flat:
        for path in (left, right):
            path[..., 2] = ground.clearance(path)
        # Beside a step the ground is that below the robot, not that below its middle.
        height = height - ground.height(pos[..., 0], pos[..., 1]).mean(axis=1)
    soles = np.concatenate([left, right], axis=1)
    step = np.abs(np.diff(motion.joint_pos, axis=0, prepend=motion.joint_pos[:1])) * fps
    outside = np.maximum(robot.joint_lower - motion.joint_pos, motion.joint_pos - robot.joint_upper)
    return Paths(
        contact=np.max([_half_feet(robot, 0, left), _half_feet(robot, 1, right)], axis=0),
        support=distance_to_hull(centre_of_mass(robot, pos, quat), soles[..., :2]),
        lowest=lowest_point(check_geometry(robot), robot.body_names, pos, quat, ground),
        soles=soles[..., 2].min(axis=1),
        jerk=_jerk(motion.root_pos, fps),
        height=height / robot.default_root_height,
        excess=np.maximum(outside, 0.0),
        fast=step > robot.velocity_limit,
    )


def _half_feet(robot: Robot, foot: int, path: Array) -> Array:
    """Larger of the scores of heel and toe [T]: the share of points near the ground."""
    ahead = robot.sole_points[foot][:, 0]
    front = ahead >= np.median(ahead)
    near = np.abs(path[..., 2]) < CONTACT_BAND
    halves = [near[:, part].mean(axis=1) for part in (front, ~front) if part.any()]
    return np.max(halves, axis=0)


def _jerk(pos: Array, fps: float) -> Array:
    """Norm of the third difference of the filtered path, [T] m/s^3 (edges repeat)."""
    if len(pos) < 4:
        return np.zeros(len(pos))
    smooth = low_pass(pos, fps, JERK_FILTER_HZ)
    jerk = np.linalg.norm(np.diff(smooth, n=3, axis=0), axis=1) * fps**3
    return np.pad(jerk, (1, 2), mode="edge")


def centre_of_mass(robot: Robot, pos: Array, quat: Array) -> Array:
    """Horizontal position of the robot's centre of mass, [T, 2] m."""
    model = robot.model
    mass = model.body_mass[1:]
    centres = pos + quat_rotate(quat, np.broadcast_to(model.body_ipos[1:], pos.shape))
    return (centres[..., :2] * mass[:, None]).sum(axis=1) / mass.sum()


def distance_to_hull(point: Array, corners: Array) -> Array:
    """Distance [T] from `point` [T, 2] to the convex hull of `corners` [T, K, 2]; 0 inside.

    A point is outside when all corners lie within half a turn as seen from it. The segments
    between any two corners contain the hull's edges and lie in it, so the nearest is the distance.
    """
    to = corners - point[:, None]
    angle = np.sort(np.arctan2(to[..., 1], to[..., 0]), axis=1)
    gaps = np.diff(angle, axis=1, append=angle[:, :1] + 2 * np.pi)
    outside = gaps.max(axis=1) > np.pi
    best = np.full(len(point), np.inf)
    for a in range(corners.shape[1]):
        for b in range(a + 1, corners.shape[1]):
            along = to[:, b] - to[:, a]
            length = np.maximum((along**2).sum(axis=1), 1e-12)
            u = np.clip(-(to[:, a] * along).sum(axis=1) / length, 0.0, 1.0)
            best = np.minimum(best, np.linalg.norm(to[:, a] + u[:, None] * along, axis=1))
    return np.where(outside, best, 0.0)
