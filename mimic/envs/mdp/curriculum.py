"""Curricula: what changes from one iteration of the learner to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def admit_by_difficulty(env: Environment, iteration: int, start: float, iterations: int) -> float:
    """Let clips in from the easiest to the hardest, as the set says (see `MotionLibrary`).

    At iteration ``i`` starts are drawn from the easiest ``start + (1 - start) i / iterations`` of
    the clips, at least from one.

    Args:
        start: share of the clips at iteration 0.
        iterations: over which the rest comes in; 0: all from the beginning.

    Returns:
        The share.

    Raises:
        MimicError: a start that is no share, or motions that do not say how hard they are.
    """
    if not 0 <= start <= 1:
        raise MimicError(f"the easy clips' share must lie in [0, 1], got {start}")
    done = min(1.0, iteration / iterations) if iterations > 0 else 1.0
    share = start + (1.0 - start) * done
    if iterations > 0:
        for command in env.commands.values():
            sampler = getattr(command, "sampler", None)
            if sampler is not None:
                sampler.admit(share)
    return share


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
