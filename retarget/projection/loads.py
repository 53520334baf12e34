"""What a motion asks of its contacts, in the parts that a change of timing or place scales.

Along a path q(s) followed at the rate r = ds/dt, velocities are q' r and accelerations
q'' r^2 + q' r r'. With x = r^2, forces are linear in x and its slope (Hollerbach 1984, "Dynamic
scaling of manipulator trajectories"; Bobrow, Dubowsky and Gibson 1985; as a convex programme
Verscheure et al. 2009, "Time-optimal path tracking for robots: a convex optimization approach"):

    wrench(x, x') = gravity + x * inertial + x' / 2 * tangential
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.ndimage import binary_dilation

from mimic_base.vectors import Array
from motions import RobotMotion
from motions.robot.dynamics.contact import GroundPoints
from motions.robot.dynamics.feasibility import DynamicsSettings
from motions.robot.dynamics.inverse import bare_model, coordinates, derivatives, required_forces
from motions.robot.dynamics.support import polygon_edges
from robots.robot import Robot


@dataclass(frozen=True)
class Loads:
    """Wrenches of T frames in the world, about the point of the ground below the base.

    Attributes:
        fps: frames per second. weight: N. mass: kg.
        gravity, inertial, tangential: [T, 6] N and N m (force, torque); the last per (rad/s)/s of
            the path's own time.
        centre: [T, 3] m, centre of mass seen from the same point.
        edges: per frame the support polygon's outward normals [E, 2] and offsets [E] m from that
            point; no rows without contact.
    """

    fps: float
    weight: float
    mass: float
    gravity: Array
    inertial: Array
    tangential: Array
    centre: Array
    edges: list[tuple[Array, Array]]

    @property
    def total(self) -> Array:
        """[T, 6]: the wrench at the motion's own timing."""
        return self.gravity + self.inertial

    @property
    def on_ground(self) -> Array:
        """[T] bool: frames with contact."""
        return np.array([len(offset) > 0 for _, offset in self.edges])


def measure_loads(motion: RobotMotion, robot: Robot, settings: DynamicsSettings) -> Loads:
    """The loads of every frame of a motion, whose joints are in the robot's order."""
    model = bare_model(robot)
    data = mujoco.MjData(model)
    qpos = coordinates(motion.root_pos, motion.root_quat, motion.joint_pos)
    qvel, qacc = derivatives(model, qpos, motion.fps, settings.cutoff_hz)
    still = np.zeros(model.nv)
    points = GroundPoints(robot, model)
    gravity, inertial, tangential = parts = np.zeros((3, len(qpos), 6))
    centre, edges = np.zeros((len(qpos), 3)), []
    for t in range(len(qpos)):
        total = _at_ground(data, required_forces(model, data, qpos[t], qvel[t], qacc[t]))
        along = _at_ground(data, required_forces(model, data, qpos[t], still, qvel[t]))
        rest = _at_ground(data, required_forces(model, data, qpos[t], still, still))
        parts[:, t] = rest, total - rest, along - rest
        below = data.xpos[1] * [1.0, 1.0, 0.0]
        centre[t] = data.subtree_com[1] - below
        _, at = points.touching(data, settings.height, settings.most_points)
        edges.append(polygon_edges(at[:, :2] - below[:2]))
    mass = float(model.body_subtreemass[1])
    weight = mass * float(np.linalg.norm(model.opt.gravity))
    return Loads(motion.fps, weight, mass, gravity, inertial, tangential, centre, edges)


def _at_ground(data: mujoco.MjData, force: Array) -> Array:
    """The base's wrench [6] in the world, about the point of the ground below it."""
    torque = data.xmat[1].reshape(3, 3) @ force[3:6]
    arm = np.array([0.0, 0.0, data.xpos[1, 2]])
    return np.concatenate([force[:3], torque + np.cross(arm, force[:3])])


def stretches(bad: Array, reach: int) -> list[slice]:
    """Runs of frames within `reach` of a frame that is `bad` [T] bool."""
    near = binary_dilation(bad, iterations=max(1, reach))
    flips = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(int), [0]])))
    return [slice(int(a), int(b)) for a, b in zip(flips[::2], flips[1::2], strict=True)]
