"""Vectorised environments made of named terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimic.envs.environment import Environment, TaskConfig

__all__ = ["Environment", "TaskConfig"]


def __getattr__(name: str) -> Any:
    # Declarations of observations are read where there is no torch; the environment needs it.
    if name in __all__:
        from mimic.envs import environment

        return getattr(environment, name)
    raise AttributeError(f"module 'mimic.envs' has no attribute '{name}'")
