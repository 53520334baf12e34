"""The failure of appendix F of SuperMimic (arXiv 2610.28480), on arrays of numpy and torch alike.

An episode fails when the floating base is off the reference's in height or in tilt. Evaluation
protocols, the viewer and rollouts of policy files judge by this one definition.
"""

from __future__ import annotations

from typing import Any

from mimic.envs.features import tilt_difference

ROOT_HEIGHT = 0.25
"""Largest difference of base heights, m."""
ROOT_TILT = 0.8
"""Largest length of the difference of the directions of gravity as the two bases see it."""


def root_errors(pos: Any, quat: Any, wanted_pos: Any, wanted_quat: Any) -> tuple[Any, Any]:
    """Differences [...] of base height (m) and tilt between positions [..., 3] and orientations."""
    return abs(pos[..., 2] - wanted_pos[..., 2]), tilt_difference(quat, wanted_quat)
