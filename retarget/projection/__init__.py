"""Whether a robot could do what a reference asks for, and bringing the reference nearer to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.lazy import lazy_attributes

if TYPE_CHECKING:
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

__getattr__ = lazy_attributes(
    __name__,
    {
        "DynamicsSettings": "motions.robot.dynamics.feasibility",
        "Feasibility": "motions.robot.dynamics.feasibility",
        "Projection": "retarget.projection.projection",
        "ProjectionSettings": "retarget.projection.acceptance",
        "check_dynamics": "motions.robot.dynamics.feasibility",
        "project": "retarget.projection.projection",
    },
)
