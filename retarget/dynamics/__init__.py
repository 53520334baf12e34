"""Whether a robot could do what a reference asks for, and bringing the reference nearer to it."""

from retarget.dynamics.acceptance import ProjectionSettings
from retarget.dynamics.feasibility import DynamicsSettings, Feasibility, check_dynamics
from retarget.dynamics.projection import Projection, project

__all__ = [
    "DynamicsSettings",
    "Feasibility",
    "Projection",
    "ProjectionSettings",
    "check_dynamics",
    "project",
]
