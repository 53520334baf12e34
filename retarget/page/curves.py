"""What a report draws over time, and the moments at which a clip is worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array
from motions import HumanMotion, RobotMotion
from motions.robot.quality.metrics import limb_errors
from motions.robot.terrain import ground_of
from retarget.projection import Feasibility, check_dynamics
from robots.collision import check_geometry, lowest_point, sole_paths
from robots.robot import Robot

FEWEST = 4
"""Frames that accelerations take."""


@dataclass(frozen=True)
class ClipCurves:
    """Curves over T frames of a clip.

    Attributes:
        time: [T] s. contact: [T, 2] confidence that the source's left and right foot stands.
        sole_height: [T, 2] m, lowest sole point over the ground. sole_speed: [T, 2] m/s of that
            point, horizontal.
        depth: [T] m, deepest point of all geometry under the ground.
        joint_speed: [T] largest joint speed over its own limit. joint: [T] index of that joint.
        limb_error: [T] deg, mean over the limbs; None without the source.
        root: [T, 3] m.
        dynamics: what the motion asks of contacts and motors; None where there are too few frames
            for accelerations.
    """

    time: Array
    contact: Array
    sole_height: Array
    sole_speed: Array
    depth: Array
    joint_speed: Array
    joint: Array
    limb_error: Array | None
    root: Array
    dynamics: Feasibility | None = None

    @property
    def skate(self) -> Array:
        """[T] m/s: speed of the faster foot that should stand."""
        return np.where(self.contact > 0.9, self.sole_speed, 0.0).max(axis=1)


@dataclass(frozen=True)
class Moment:
    """A frame that is the worst of its clip in something."""

    frame: int
    what: str


def clip_curves(motion: RobotMotion, robot: Robot, human: HumanMotion | None = None) -> ClipCurves:
    """Curves of a motion over the ground of its scene; `human` is the source at the same frames."""
    geometry, ground = check_geometry(robot), ground_of(motion.scene)
    pos, quat = motion.body_pos_w, motion.body_quat_w
    soles = sole_paths(geometry, motion.body_names, pos, quat)
    heights, speeds = [], []
    for path in soles:
        if not ground.is_flat:
            path[..., 2] = ground.clearance(path)
        lowest = path[..., 2].argmin(axis=1)
        heights.append(np.take_along_axis(path[..., 2], lowest[:, None], 1)[:, 0])
        pace = np.linalg.norm(np.gradient(path[..., :2], 1.0 / motion.fps, axis=0), axis=-1)
        speeds.append(np.take_along_axis(pace, lowest[:, None], 1)[:, 0])
    low = lowest_point(geometry, motion.body_names, pos, quat, ground)
    share = np.abs(motion.joint_vel) / robot.velocity_limit
    return ClipCurves(
        time=np.arange(motion.num_frames) / motion.fps,
        contact=np.asarray(motion.contact),
        sole_height=np.stack(heights, axis=1),
        sole_speed=np.stack(speeds, axis=1),
        depth=np.maximum(-low, 0.0),
        joint_speed=share.max(axis=1),
        joint=share.argmax(axis=1),
        limb_error=None if human is None else _mean_limb_error(robot, human, motion),
        root=motion.root_pos,
        dynamics=None if motion.num_frames < FEWEST else check_dynamics(motion, robot),
    )


def worst_moments(curves: ClipCurves, joint_names: tuple[str, ...]) -> list[Moment]:
    """The frame at which each curve is worst, in the order of time."""
    skate, depth = int(curves.skate.argmax()), int(curves.depth.argmax())
    fast = int(curves.joint_speed.argmax())
    moments = [
        Moment(skate, f"stance foot slips at {100 * curves.skate[skate]:.1f} cm/s"),
        Moment(depth, f"{1000 * curves.depth[depth]:.1f} mm under the ground"),
        Moment(
            fast,
            f"{joint_names[int(curves.joint[fast])]} at {100 * curves.joint_speed[fast]:.0f} % of "
            "its speed",
        ),
    ]
    if curves.limb_error is not None:
        off = int(curves.limb_error.argmax())
        moments.append(Moment(off, f"limbs {curves.limb_error[off]:.1f} deg off"))
    if curves.dynamics is not None and not curves.dynamics.feasible.all():
        missing = curves.dynamics.residual + 3.0 * curves.dynamics.moment
        worst = int(missing.argmax())
        share = 100 * curves.dynamics.residual[worst]
        moments.append(Moment(worst, f"contacts leave {share:.0f} % of the weight missing"))
    return sorted(moments, key=lambda moment: moment.frame)


def _mean_limb_error(robot: Robot, human: HumanMotion, motion: RobotMotion) -> Array:
    errors = limb_errors(robot, human, motion.body_quat_w)
    return np.stack(list(errors.values()), axis=1).mean(axis=1)
