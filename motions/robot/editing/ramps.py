"""Ramps: from the robot's default pose into a clip, and back, for deployment.

Every coordinate follows the quintic that begins at rest and arrives with the clip's own first
velocity (and no acceleration), so positions and velocities are continuous. Angles are kept inside
the limits. Objects stand still during a ramp, where the clip has them at its seam. Feet may slide
during a ramp; `settle` puts the soles on the ground.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mimic_base.errors import input_error
from mimic_base.rotations import quat_conj, quat_exp, quat_log, quat_mul, quat_of_yaw, yaw_of_quat
from motions.robot.editing.joining import concatenate, fade_weight, transition_frames
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.scene import on_plane

if TYPE_CHECKING:
    from robots import Robot

Array = NDArray[Any]


def ramp_in(motion: RobotTrajectory, robot: Robot, seconds: float) -> RobotTrajectory:
    """The clip with `seconds` before it that lead from the default pose to its first frame."""
    frames = transition_frames(seconds, motion.fps)
    ramp = _ramp(motion.with_frames(0, 2), robot, frames)
    return concatenate([ramp, motion])


def ramp_out(motion: RobotTrajectory, robot: Robot, seconds: float) -> RobotTrajectory:
    """The clip with `seconds` after it that lead from its last frame to the default pose."""
    return _reversed(ramp_in(_reversed(motion), robot, seconds))


def settle(motion: RobotTrajectory, robot: Robot, head: int, tail: int) -> RobotTrajectory:
    """The motion with the soles on the ground during ramps of `head` and `tail` frames.

    The height of the lowest sole goes smoothly from zero, in the default pose, to what it is at the
    clip's own end of the ramp; the clip itself is left as it is. Joints are in the robot's order.
    """
    # Here and not above: they bring the physics engine along.
    from motions.robot.quality.ground import sole_heights
    from robots.kinematics import forward_kinematics

    pos, quat = forward_kinematics(robot, motion.root_pos, motion.root_quat, motion.joint_pos)
    lowest = sole_heights(robot, pos, quat).min(axis=1)
    root = motion.root_pos.copy()
    if head:
        way = fade_weight(np.arange(head) / head)
        root[:head, 2] += way * lowest[head] - lowest[:head]
    if tail:
        last = motion.num_frames - tail - 1
        way = 1.0 - fade_weight(np.arange(1, tail + 1) / tail)
        root[last + 1 :, 2] += way * lowest[last] - lowest[last + 1 :]
    return replace(motion, root_pos=root)


def _reversed(motion: RobotTrajectory) -> RobotTrajectory:
    contact = None if motion.contact is None else motion.contact[::-1]
    objects = None if motion.objects is None else motion.objects.frames(slice(None, None, -1))
    return replace(
        motion,
        root_pos=motion.root_pos[::-1],
        root_quat=motion.root_quat[::-1],
        joint_pos=motion.joint_pos[::-1],
        contact=contact,
        objects=objects,
        bodies=None,
    )


def _ramp(start: RobotTrajectory, robot: Robot, frames: int) -> RobotTrajectory:
    """`frames` - 1 frames that arrive at the first of the two frames `start`."""
    if not on_plane(start.scene):
        raise input_error(
            start.where,
            "a ramp begins and ends on level ground",
            found=f"terrain of type {start.scene['terrain']['type']}",
            fix="crop the clip and leave the ramp out",
        )
    fps = start.fps
    duration = (frames - 1) / fps
    time = np.arange(frames - 1) / fps
    order = [robot.joint_names.index(name) for name in start.joint_names]
    velocity = (start.joint_pos[1] - start.joint_pos[0]) * fps
    joints = _arrive(robot.default_joint_pos[order], start.joint_pos[0], velocity, time, duration)
    # A clip that is itself beyond a limit is not bent: only what the ramp adds is held back.
    low = np.minimum(robot.joint_lower[order], start.joint_pos[0])
    high = np.maximum(robot.joint_upper[order], start.joint_pos[0])
    speed = (start.root_pos[1] - start.root_pos[0]) * fps
    # Starting half the way back lets the base gather its speed without overshooting.
    place = start.root_pos[0] - 0.5 * duration * speed
    place[2] = robot.default_root_height
    pos = _arrive(place, start.root_pos[0], speed, time, duration)
    quat = start.root_quat[0]
    turn_rate = quat_log(quat_mul(quat_conj(quat), start.root_quat[1])) * fps
    upright = quat_of_yaw(yaw_of_quat(quat))
    lean = quat_log(quat_mul(quat_conj(quat), upright))
    turn = _arrive(lean, np.zeros(3), turn_rate, time, duration)
    contact = None if start.contact is None else np.ones((frames - 1, 2))
    return replace(
        start,
        root_pos=pos,
        root_quat=quat_mul(quat, quat_exp(turn)),
        joint_pos=np.clip(joints, low, high),
        bodies=None,
        contact=contact,
        objects=None if start.objects is None else start.objects.held(frames - 1),
    )


def _arrive(begin: Array, end: Array, velocity: Array, time: Array, duration: float) -> Array:
    """Quintics [T, K] from rest at `begin` [K] to `end` with `velocity`, no acceleration."""
    u = (time / duration)[:, None]
    way = 10 * u**3 - 15 * u**4 + 6 * u**5
    arrival = duration * (-4 * u**3 + 7 * u**4 - 3 * u**5)
    return begin + (end - begin) * way + velocity * arrival
