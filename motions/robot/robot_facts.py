"""A robot as the plain data that editing asks for."""

from __future__ import annotations

from motions.robot.editing.facts import JointMirror, RobotFacts
from robots.robot import Robot
from robots.symmetry import mirror_map


def robot_facts(robot: Robot) -> RobotFacts:
    """Names, default pose, limits, and mirror partners found in the robot's kinematics.

    Raises `RobotError` when the robot is not symmetric.
    """
    found = mirror_map(robot)
    names = robot.joint_names
    return RobotFacts(
        name=robot.name,
        joint_names=names,
        default_joint_pos=robot.default_joint_pos,
        default_root_height=robot.default_root_height,
        joint_lower=robot.joint_lower,
        joint_upper=robot.joint_upper,
        mirror=JointMirror(
            partner={name: names[i] for name, i in zip(names, found.joint_index, strict=True)},
            sign={name: float(s) for name, s in zip(names, found.joint_sign, strict=True)},
        ),
    )
