"""Training: PPO from rsl_rl, a runner that can be killed and resumed, presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mimic.learning.config import PRESETS, TrainConfig

if TYPE_CHECKING:
    from mimic.learning.loading import load_policy
    from mimic.learning.runner import Runner

__all__ = ["PRESETS", "Runner", "TrainConfig", "load_policy"]


def __getattr__(name: str) -> Any:
    # Only when asked for: torch and rsl_rl take seconds to load, the configuration does not.
    if name == "Runner":
        from mimic.learning.runner import Runner

        return Runner
    if name == "load_policy":
        from mimic.learning.loading import load_policy

        return load_policy
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
