"""Points of the soles from joint angles, and which of them rest on the ground, without a sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy.kinematics import Chain
from mimic.deploy.messages import Array, array

if TYPE_CHECKING:
    from robots import Robot

EDGE = 0.01
"""m; sole points within it of the foremost or rearmost belong to that edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Foot:
    """A foot's points.

    Attributes:
        chain: from the base to the foot's body. points: [2, 3] m in its frame: the middles of the
            two short edges of the sole. columns: of the leg's joints.
    """

    chain: Chain
    points: Array
    columns: tuple[int, ...]

    @classmethod
    def of(cls, robot: Robot, side: int) -> Foot:
        """A robot's left (0) or right (1) foot, joints in the robot's order."""
        chain = Chain.of(robot, robot.feet[side], robot.joint_names)
        columns = tuple(column for link in chain.links for column, *_ in link.hinges)
        return cls(
            chain=chain, points=short_edges(np.asarray(robot.sole_points[side])), columns=columns
        )

    def motion(self, joint_pos: Array, joint_vel: Array) -> FootMotion:
        """Where its points are and how they move for joints [J] rad, rad/s."""
        places, axes = [], []
        pos, turn = np.zeros(3), np.eye(3)
        for link in self.chain.links:
            pos = pos + turn @ link.pos
            turn = turn @ _matrix(link.quat)
            for column, axis, anchor, zero in link.hinges:
                places.append(pos + turn @ anchor if anchor.any() else pos)
                axes.append(turn @ axis)
                half = 0.5 * (float(joint_pos[column]) - zero)
                before = turn
                sine = math.sin(half)
                turn = turn @ _matrix(
                    np.array([math.cos(half), sine * axis[0], sine * axis[1], sine * axis[2]])
                )
                if anchor.any():
                    pos = pos + before @ anchor - turn @ anchor
        points = pos + self.points @ turn.T
        hinge, at = np.array(axes), np.array(places)
        # [2, joints, 3]: how each point moves with each joint.
        jacobians = np.cross(hinge, points[:, None] - at)
        rates = np.asarray(joint_vel)[list(self.columns)] @ jacobians
        middle = np.cross(hinge, points.mean(0) - at)
        return FootMotion(
            points=points, rates=rates, jacobians=jacobians,
            wrench=np.concatenate([middle.T, hinge.T]), columns=self.columns,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class FootMotion:
    """A foot in a moment, from the base along its axes.

    Attributes:
        points: [2, 3] m. rates: [2, 3] m/s. jacobians: [2, L, 3] m/rad.
        wrench: [6, L] velocity of the sole's middle and angular velocity of the foot per joint.
        columns: of the leg's joints.
    """

    points: Array
    rates: Array
    jacobians: Array
    wrench: Array
    columns: tuple[int, ...]

    def force(self, joint_torque: Array, damping: float = 0.02) -> Array:
        """Force [3] N of the ground on the foot in the base's axes that holds the torques [J].

        Quasi-static, J^T w = -tau, damped least squares: what the leg's own weight and
        acceleration take is not looked at. Near a straight knee the force along the leg is not
        seen in the torques, and comes out too small.
        """
        torque = np.asarray(joint_torque)[list(self.columns)]
        normal = self.wrench @ self.wrench.T + damping**2 * np.eye(6)
        return array(np.linalg.solve(normal, -self.wrench @ torque)[:3])


def short_edges(points: Array) -> Array:
    """The middles [2, 3] of the two edges across the longest direction of a sole's points."""
    centre = points.mean(0)
    _, _, directions = np.linalg.svd(points - centre, full_matrices=False)
    along = (points - centre) @ directions[0]
    return np.stack(
        [points[along <= along.min() + EDGE].mean(0), points[along >= along.max() - EDGE].mean(0)]
    )


@dataclass(frozen=True, kw_only=True)
class ContactRules:
    """When a point of a sole is taken to rest: the product of three weights, each from 0 to 1."""

    height: float = 0.015
    """m above the lowest of all points at which the weight is 0.5."""
    speed: float = 0.4
    """m/s at which it is 0.5, with the velocity that is estimated so far."""
    force: float = 0.1
    """Share of the robot's weight on the foot at which it is 0.5."""
    least: float = 0.3
    """Weight from which a point rests."""


def rests(heights: Array, speeds: Array, loads: Array, rules: ContactRules) -> Array:
    """Weight [K] with which points are taken to rest on the ground, from 0 to 1.

    Args:
        heights: [K] m, of the points, from anywhere. speeds: [K] m/s.
        loads: [K], share of the robot's weight on each one's foot.
    """
    above = (heights - heights.min()) / rules.height
    fast = speeds / rules.speed
    light = np.clip(4.0 * (loads / rules.force - 1.0), -30.0, 30.0)
    return 1.0 / ((1.0 + above**4) * (1.0 + fast**4) * (1.0 + np.exp(-light)))


def _matrix(quat: Array) -> Array:
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
