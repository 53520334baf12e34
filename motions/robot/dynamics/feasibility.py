"""Dynamic feasibility of a reference, frame by frame.

Inverse dynamics gives the wrench that the base needs and no motor provides. Contact forces inside
friction cones, at the points of the robot that are on the ground, are fitted to it by
non-negative least squares (as in contact-consistent inverse dynamics; e.g. Righetti et al. 2013,
"Optimal distribution of contact forces with inverse-dynamics control"). What they cannot provide
is left as a residual: the help of an invisible hand that the reference asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from mimic_base.errors import input_error
from mimic_base.surface import Surface
from mimic_base.vectors import Array
from motions import RobotMotion
from motions.robot.dynamics.contact import GroundPoints, share_load
from motions.robot.dynamics.inverse import bare_model, coordinates, derivatives, required_forces
from motions.robot.dynamics.support import polygon_margin
from motions.robot.terrain import ground_of
from robots.robot import Robot

FAR = 0.05
"""m by which the zero-moment point is outside for a torque that makes a frame infeasible, when the
ground carries just the weight."""


@dataclass(frozen=True)
class DynamicsSettings:
    """Numbers of the check."""

    friction: float = 0.8
    """Coefficient of the friction pyramid."""
    height: float = 0.015
    """m; lower points of the robot are on the ground."""
    cutoff_hz: float = 8.0
    """Filter on velocities before they are differentiated."""
    most_points: int = 24
    """Points of contact that share the load in a frame, the lowest ones."""
    residual: float = 0.15
    """Share of the weight above which a frame's missing force makes it infeasible."""


@dataclass(frozen=True)
class Feasibility:
    """Curves over T frames, and their summary.

    Attributes:
        residual: [T] missing force over the weight. moment: [T] missing torque about the base over
            weight times one metre.
        torque: [T] largest joint torque over its limit, as if the missing wrench were there.
        hinge: [T] index of that joint.
        zmp_margin: [T] m, distance of the zero-moment point inside (+) or outside (-) the support
            polygon; NaN in flight.
        friction: [T] horizontal over vertical force that the base needs; NaN in flight.
        contacts: [T] number of points on the ground. feasible: [T] bool.
    """

    fps: float
    residual: Array
    moment: Array
    torque: Array
    hinge: Array
    zmp_margin: Array
    friction: Array
    contacts: Array
    feasible: Array

    def summary(self, joint_names: tuple[str, ...]) -> dict[str, Any]:
        """Plain figures for a report."""
        worst = int(np.argmax(self.torque))
        inside = self.zmp_margin[np.isfinite(self.zmp_margin)]
        return {
            "feasible_rate": float(self.feasible.mean()),
            "infeasible_rate": float(1.0 - self.feasible.mean()),
            "residual_mean": float(self.residual.mean()),
            "residual_p95": float(np.quantile(self.residual, 0.95)),
            "torque_max": float(self.torque.max()),
            "torque_over_rate": float((self.torque > 1.0).mean()),
            "torque_joint": joint_names[int(self.hinge[worst])],
            "zmp_outside_rate": float((inside < 0.0).mean()) if len(inside) else None,
            "zmp_far_rate": float((inside < -FAR).mean()) if len(inside) else None,
            "zmp_worst_m": float(inside.min()) if len(inside) else None,
            "flight_rate": float((self.contacts == 0).mean()),
        }


def check_dynamics(
    motion: RobotMotion, robot: Robot, settings: DynamicsSettings | None = None
) -> Feasibility:
    """Check every frame of a reference on the ground of its scene (z = 0 where it has none).

    A frame is feasible when contacts can provide the wrench to within ``residual`` of the weight
    (and as much times a third of a metre in torque) and no joint exceeds its torque.

    Raises:
        InputError: fewer than four frames.
    """
    s = settings or DynamicsSettings()
    if motion.num_frames < 4:
        raise input_error(
            motion.name, "accelerations need four frames", found=f"{motion.num_frames}"
        )
    motion = motion.with_joint_order(robot.joint_names)
    model = bare_model(robot)
    data = mujoco.MjData(model)
    qpos = coordinates(motion.root_pos, motion.root_quat, motion.joint_pos)
    qvel, qacc = derivatives(model, qpos, motion.fps, s.cutoff_hz)
    weight = float(model.body_subtreemass[1]) * float(np.linalg.norm(model.opt.gravity))
    points = GroundPoints(robot, model)
    ground = ground_of(motion.scene)
    frames = motion.num_frames
    curves = {
        name: np.zeros(frames)
        for name in ("residual", "moment", "torque", "zmp_margin", "friction")
    }
    hinge, touching = np.zeros(frames, int), np.zeros(frames, int)
    for t in range(frames):
        force = required_forces(model, data, qpos[t], qvel[t], qacc[t])
        bodies, at = points.touching(data, s.height, s.most_points, ground)
        missing, left = share_load(model, data, force, bodies, at, s.friction, ground)
        load = np.abs(left[6:]) / robot.effort_limit
        hinge[t], touching[t] = int(load.argmax()), len(at)
        curves["residual"][t] = np.linalg.norm(missing[:3]) / weight
        curves["moment"][t] = np.linalg.norm(missing[3:]) / weight
        curves["torque"][t] = load.max()
        flight = force[2] < 0.05 * weight or not len(at)
        pushed = np.nan if flight else np.hypot(force[0], force[1]) / force[2]
        curves["friction"][t] = pushed
        curves["zmp_margin"][t] = np.nan if flight else _zmp_margin(data, force, at, ground)
    feasible = (
        (curves["residual"] < s.residual)
        & (curves["moment"] < s.residual / 3.0)
        & (curves["torque"] <= 1.0)
    )
    return Feasibility(fps=motion.fps, hinge=hinge, contacts=touching, feasible=feasible, **curves)


def _zmp_margin(data: mujoco.MjData, force: Array, at: Array, ground: Surface) -> float:
    """Distance [m] of the zero-moment point inside the hull of the contacts (Vukobratovic).

    On a ground that is not flat both are taken in the level plane through the contacts' middle.
    """
    torque = data.xmat[1].reshape(3, 3) @ force[3:6]
    level = 0.0 if ground.is_flat else float(at[:, 2].mean())
    torque = torque + np.cross(data.xpos[1] - [0.0, 0.0, level], force[:3])
    zmp = np.array([-torque[1], torque[0]]) / force[2]
    return polygon_margin(at[:, :2], zmp)
