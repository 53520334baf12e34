"""A reference for measurements where the user names none."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from mimic_base.errors import MimicError
from mimic_base.rotations import quat_rotate
from motions import RobotMotion
from robots import Robot

BUNDLED = "assets/motions"
WALK, WALKER = "assets/walk_g1_demo.npz", "unitree_g1"


def default_motions(robot: Robot) -> list[Path | RobotMotion]:
    """The bundled clips of this robot, or else a squat made up on the spot."""
    folder = Path(str(resources.files("mimic"))) / BUNDLED
    found = [
        path for path in sorted(folder.glob("*.npz")) if RobotMotion.load(path).robot == robot.name
    ]
    return [*found] or [squat(robot)]


def demo_walk(robot: Robot) -> Path:
    """The walk that comes with the program.

    Raises:
        MimicError: there is none for this robot.
    """
    file = Path(str(resources.files("mimic"))) / WALK
    if robot.name != WALKER:
        raise MimicError(
            f"no clip comes with the program for robot '{robot.name}', only for '{WALKER}'; name "
            "one with --motion FILE"
        )
    return file


def squat(robot: Robot, seconds: float = 6.0, fps: float = 50.0) -> RobotMotion:
    """Standing in the default pose, sinking a few centimetres and coming up again, twice.

    Joints go part of the way from the default pose towards straight and back, so that it needs no
    knowledge of which joint bends which way.
    """
    times = np.arange(round(seconds * fps) + 1) / fps
    depth = 0.5 * (1.0 - np.cos(2.0 * np.pi * times / (seconds / 2.0)))
    joint_pos = robot.default_joint_pos * (1.0 + 0.4 * depth[:, None])
    joint_pos = np.clip(joint_pos, robot.soft_lower, robot.soft_upper)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(times), 1))
    root = np.zeros((len(times), 3))
    body_pos, body_quat = robot.body_poses(root, upright, joint_pos)
    # The lowest point of the soles stays on the ground.
    soles = []
    for foot, points in zip(robot.feet, robot.sole_points, strict=True):
        index = robot.body_names.index(foot)
        turned = quat_rotate(body_quat[:, index, None], points[None])
        soles.append((turned + body_pos[:, index, None])[..., 2].min(1))
    root[:, 2] = -np.minimum(*soles)
    return RobotMotion.from_coordinates(
        robot,
        root,
        upright,
        joint_pos,
        fps=fps,
        name="squat",
        source="made up for the benchmark",
    )
