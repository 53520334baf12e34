"""This project's generalised coordinates, named; read by `motions.robot.formats.reading`."""

from __future__ import annotations

from typing import Any

import numpy as np

from motions.robot.formats.format import Format
from motions.robot.formats.raw import texts
from motions.robot.formats.trajectory import (
    TRAJECTORY_SCHEMA,
    TRAJECTORY_SCHEMA_2,
    RobotTrajectory,
)
from motions.robot.motion import object_arrays


def write_trajectory(trajectory: RobotTrajectory, _form: Format) -> dict[str, Any]:
    """Base pose, joint angles and names; objects and scene as in the robot motion file."""
    extra = object_arrays(trajectory.objects, trajectory.scene, trajectory.fps)
    return {
        "fps": np.array([trajectory.fps]),
        "root_pos": trajectory.root_pos,
        "root_quat": trajectory.root_quat,
        "joint_pos": trajectory.joint_pos,
        "joint_names": texts(trajectory.joint_names),
        "robot": np.array(trajectory.robot),
        "source": np.array(trajectory.source),
        "licence": np.array(trajectory.licence),
        "name": np.array(trajectory.name),
        "loop": np.array(str(trajectory.loop)),
        "schema": np.array(TRAJECTORY_SCHEMA_2 if extra else TRAJECTORY_SCHEMA),
        **extra,
    }


FORMATS = (
    Format(
        name="trajectory",
        title="this project's generalised coordinates, named",
        extensions=(".npz",),
        objects=1000,
        scene=True,
        write=write_trajectory,
    ),
)
