"""A robot motion from the robot's coordinates: base pose and joint angles over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from motions.robot.motion import RobotMotion

Array = NDArray[np.float64]


class Kinematics(Protocol):
    """What of a robot a motion is made with; `robots.Robot` has it."""

    @property
    def name(self) -> str: ...
    @property
    def joint_names(self) -> tuple[str, ...]: ...
    @property
    def body_names(self) -> tuple[str, ...]: ...
    def body_poses(
        self, root_pos: Array, root_quat: Array, joint_pos: Array
    ) -> tuple[Array, Array]:
        """World poses [T, B, 3] m and [T, B, 4] wxyz of `body_names`."""
        ...


def motion_from_coordinates(
    robot: Kinematics,
    root_pos: Array,
    root_quat: Array,
    joint_pos: Array,
    *,
    fps: float,
    contact: NDArray[Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    source: str = "",
    licence: str = "",
    name: str = "",
) -> RobotMotion:
    """The motion with the poses and velocities of all bodies of `robot`.

    Args: `root_pos` [T, 3] m and `root_quat` [T, 4] wxyz of the floating base in the world,
    `joint_pos` [T, J] rad in the robot's order, `contact` [T, 2] or None. Raises `InputError` on
    values that no motion can have.
    """
    body_pos, body_quat = robot.body_poses(root_pos, root_quat, joint_pos)
    return RobotMotion.build(
        fps=fps,
        joint_pos=joint_pos,
        body_pos_w=body_pos,
        body_quat_w=body_quat,
        joint_names=robot.joint_names,
        body_names=robot.body_names,
        robot=robot.name,
        contact=contact,
        quality=quality,
        source=source,
        licence=licence,
        name=name,
    )
