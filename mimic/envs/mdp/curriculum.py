"""Curricula: what changes from one iteration of the learner to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def ramp_randomisation(env: Environment, iteration: int, start: float, iterations: int) -> float:
    """Let the strength of pushes and start noise grow from ``start`` to the task's own.

    Args:
        start: share of the task's own strength at iteration 0.
        iterations: over which it grows; 0: the task's own from the beginning.

    Returns:
        The strength, 1 being the task as configured.
    """
    if not 0 <= start <= 1:
        raise MimicError(f"the randomisation's start must lie in [0, 1], got {start}")
    done = min(1.0, iteration / iterations) if iterations > 0 else 1.0
    env.randomisation = start + (1.0 - start) * done
    return env.randomisation
