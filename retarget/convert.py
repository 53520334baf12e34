"""``python -m retarget.convert``: robot motions of other tools into complete motion files.

The same as ``python -m motions convert``, with the robot's kinematics: body poses are computed,
and the file's joint order, quaternion order and body poses are checked against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

import robots
from mimic_base.command_line import exit_on_user_error
from motions.robot.completion import complete
from motions.robot.formats.cli import ConvertOptions, convert
from motions.robot.formats.trajectory import RobotTrajectory
from motions.robot.motion import RobotMotion


@dataclass(frozen=True, kw_only=True)
class Options(ConvertOptions):
    """Turn robot motions of other tools into complete, checked motion files (.npz)."""

    robot: str = "unitree_g1"
    """Robot name, or a description file (.toml)."""
    to: str = "robot-motion"
    """Format to write."""
    fill_missing_joints: bool = False
    """Hold joints that the file lacks at the robot's default pose (a 23-DoF G1 has no wrists)."""
    check: bool = True
    """Compare the file's bodies, feet, height and joint ranges with the robot's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert every file; 0 when all went well, 2 when one could not be used."""
    options = tyro.cli(Options, args=arguments, prog="python -m retarget.convert")
    robot = robots.load(options.robot)

    def completed(trajectory: RobotTrajectory, fps: float | None) -> RobotMotion:
        return complete(
            trajectory,
            robot,
            fill_missing=options.fill_missing_joints,
            fps=fps,
            check=options.check,
        )

    return convert(options, completed)


if __name__ == "__main__":
    exit_on_user_error(main)
