"""What was drawn for each environment, as a model of the robot may be told it.

Domain randomisation is no secret in simulation: a model of the robot that is told which friction,
which masses, joint zeros and gains an environment has need not average over them. A real
robot tells none of it; where it is not known, the mean of what was seen is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

from mimic.envs.mdp import privileged
from mimic.envs.terms import ObservationTerm

CONTEXT_GROUP = "context"
"""Name of the observation group that tells a model what was drawn."""
CONTEXT_TERMS: Mapping[str, ObservationTerm] = {
    "numbers": ObservationTerm(
        function=privileged.drawn_numbers,
        parameters={"names": ("foot_friction", "mass", "base_mass")},
    ),
    "vectors": ObservationTerm(
        function=privileged.drawn_vectors, parameters={"names": ("anchor_com", "base_com")}
    ),
    "joint_angles": ObservationTerm(
        function=privileged.drawn_joint_angles, parameters={"names": ("joint_default",)}
    ),
    "joint_factors": ObservationTerm(
        function=privileged.drawn_joint_factors,
        parameters={"names": ("kp", "kd", "motor_strength", "armature")},
    ),
}
"""The group ``CONTEXT_GROUP``: what events draw of the physics, as differences from the robot's own
description, [N, 9 + 5 J]; 0 where a task draws nothing of the kind."""
