"""Whether a robot could do what a reference asks for, and bringing the reference nearer to it."""

from motions.robot.dynamics.feasibility import DynamicsSettings, Feasibility, check_dynamics
from retarget.projection.acceptance import ProjectionSettings
from retarget.projection.projection import Projection, project

__all__ = [
    "DynamicsSettings",
    "Feasibility",
    "Projection",
    "ProjectionSettings",
    "check_dynamics",
    "project",
]
