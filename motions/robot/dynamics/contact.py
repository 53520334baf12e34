"""Points of the robot that may carry it, and how much of its load they can take."""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.optimize import nnls

from mimic_base.surface import FLAT, Surface
from mimic_base.vectors import Array, unit
from robots.collision import check_geometry
from robots.robot import Robot


class GroundPoints:
    """Points of the robot that may touch the ground: its soles, and the vendor's hulls else."""

    def __init__(self, robot: Robot, model: mujoco.MjModel) -> None:
        bodies, points, radii = [], [], []
        for foot, sole in zip(robot.feet, robot.sole_points, strict=True):
            bodies += [model.body(foot).id] * len(sole)
            points.append(sole)
            radii += [0.0] * len(sole)
        for hull in check_geometry(robot).hulls:
            if hull.body not in robot.feet and len(hull.points):
                bodies += [model.body(hull.body).id] * len(hull.points)
                points.append(hull.points)
                radii += [hull.radius] * len(hull.points)
        self.body, self.radius = np.array(bodies), np.array(radii)
        self.local = np.concatenate(points)

    def touching(
        self, data: mujoco.MjData, height: float, most_points: int, ground: Surface = FLAT
    ) -> tuple[Array, Array]:
        """Bodies [K] and places [K, 3] m of the points that are lowest over `ground`.

        Those less than `height` m over it, at most `most_points`. `data` must hold the kinematics
        of the configuration.
        """
        if not ground.is_flat:
            turn = data.xmat[self.body].reshape(-1, 3, 3)
            at = data.xpos[self.body] + np.einsum("kij,kj->ki", turn, self.local)
            at[:, 2] -= self.radius
            over = ground.clearance(at)
            low = np.flatnonzero(over < height)
            low = low[np.argsort(over[low], kind="stable")[:most_points]]
            return self.body[low], at[low]
        up = data.xmat[:, 6:][self.body]
        lowest = data.xpos[self.body, 2] + (up * self.local).sum(axis=1) - self.radius
        low = np.flatnonzero(lowest < height)
        low = low[np.argsort(lowest[low], kind="stable")[:most_points]]
        body = self.body[low]
        turn = data.xmat[body].reshape(-1, 3, 3)
        place = data.xpos[body] + (turn @ self.local[low, :, None])[:, :, 0]
        place[:, 2] = lowest[low]
        return body, place


def share_load(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    force: Array,
    bodies: Array,
    at: Array,
    friction: float,
    ground: Surface = FLAT,
) -> tuple[Array, Array]:
    """The part of the base's wrench [6] that no contact provides, and the generalised forces [nv]
    left for motors.

    Args: `force` [nv] required, of the configuration that `data` holds; `bodies` [K] and `at`
    [K, 3] m as `GroundPoints.touching` gives them; friction cones stand on the `ground`'s normals.
    """
    if not len(at):
        return force[:6], force
    mu = friction / np.sqrt(2.0)  # the pyramid inside the cone
    edges = np.array([[mu, mu, 1.0], [mu, -mu, 1.0], [-mu, mu, 1.0], [-mu, -mu, 1.0]])
    cones = np.broadcast_to(edges, (len(at), 4, 3))
    if not ground.is_flat:
        cones = edges @ np.swapaxes(_upright_to(ground.normal(at[:, 0], at[:, 1])), 1, 2)
    jacobian = np.zeros((3, model.nv))
    columns = np.empty((model.nv, 4 * len(at)))
    for k, (body, place) in enumerate(zip(bodies, at, strict=True)):
        mujoco.mj_jac(model, data, jacobian, None, place, int(body))
        columns[:, 4 * k : 4 * k + 4] = jacobian.T @ cones[k].T
    # A little weight on the forces themselves spreads the load over the points.
    count = columns.shape[1]
    system = np.concatenate([columns[:6], 1e-3 * np.eye(count)])
    strength, _ = nnls(system, np.concatenate([force[:6], np.zeros(count)]), maxiter=50 * count)
    left = force - columns @ strength
    return left[:6], left


def _upright_to(normal: Array) -> Array:
    """Rotations [K, 3, 3] whose third axis is the `normal` [K, 3]."""
    along = unit(np.cross([0.0, 1.0, 0.0], normal))
    return np.stack([along, np.cross(normal, along), normal], axis=-1)
