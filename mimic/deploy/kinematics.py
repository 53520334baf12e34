"""Where a body is relative to the floating base, from joint angles: numpy, one robot, no MuJoCo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimic.deploy.messages import Array

if TYPE_CHECKING:
    from robots import Robot


@dataclass(frozen=True, kw_only=True, eq=False)
class Link:
    """A body on the way from the base to another.

    Attributes:
        pos: [3] m, quat: [4] wxyz, of its frame in its parent's where its hinges are at zero.
        hinges: for each, column of its joint, axis [3] and anchor [3] m in the body's frame, rad at
            which the joint counts from.
    """

    pos: Array
    quat: Array
    hinges: tuple[tuple[int, Array, Array, float], ...]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The bodies from the base to one body."""

    body: str
    links: tuple[Link, ...]

    @classmethod
    def of(cls, robot: Robot, body: str, joint_names: tuple[str, ...]) -> Chain:
        """The chain to ``body`` of a robot, for joints in the order of ``joint_names``."""
        model, links = robot.model, []
        index = model.body(body).id
        while index > 1:
            hinges = []
            first = int(model.body_jntadr[index])
            for joint in range(first, first + int(model.body_jntnum[index])):
                hinges.append(
                    (
                        joint_names.index(model.joint(joint).name),
                        model.jnt_axis[joint].copy(),
                        model.jnt_pos[joint].copy(),
                        float(model.qpos0[model.jnt_qposadr[joint]]),
                    )
                )
            links.append(
                Link(
                    pos=model.body_pos[index].copy(),
                    quat=model.body_quat[index].copy(),
                    hinges=tuple(hinges),
                )
            )
            index = int(model.body_parentid[index])
        return cls(body=body, links=tuple(reversed(links)))

    def pose(self, joint_pos: Array) -> tuple[Array, Array]:
        """Position [3] m and rotation matrix [3, 3] of the body in the base's frame."""
        pos, turn = np.zeros(3), np.eye(3)
        for link in self.links:
            pos = pos + turn @ link.pos
            turn = turn @ _matrix(*link.quat)
            for column, axis, anchor, zero in link.hinges:
                half = 0.5 * (float(joint_pos[column]) - zero)
                sine = math.sin(half)
                before = turn
                turn = turn @ _matrix(math.cos(half), *(sine * axis))
                if anchor.any():
                    pos = pos + before @ anchor - turn @ anchor
        return pos, turn

    def jacobian(self, joint_pos: Array, joints: int) -> tuple[Array, Array, Array]:
        """As `pose`, and the body's velocity per joint velocity, [3, J], in the base's frame."""
        pos, turn = np.zeros(3), np.eye(3)
        axes: list[tuple[int, Array, Array]] = []
        for link in self.links:
            pos = pos + turn @ link.pos
            turn = turn @ _matrix(*link.quat)
            for column, axis, anchor, zero in link.hinges:
                axes.append((column, turn @ axis, pos + turn @ anchor))
                half = 0.5 * (float(joint_pos[column]) - zero)
                before = turn
                turn = turn @ _matrix(math.cos(half), *(math.sin(half) * axis))
                if anchor.any():
                    pos = pos + before @ anchor - turn @ anchor
        columns = np.zeros((3, joints))
        for column, axis, place in axes:
            columns[:, column] = np.cross(axis, pos - place)
        return pos, turn, columns


def _matrix(w: float, x: float, y: float, z: float) -> Array:
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
