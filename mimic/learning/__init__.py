"""Training: algorithms behind one protocol, a runner that can be killed and resumed, presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mimic.learning.config import (
    PRESETS,
    ActorCriticConfig,
    LoopConfig,
    PPOConfig,
    RunConfig,
    run_config,
)

if TYPE_CHECKING:
    from mimic.learning.algorithm import Algorithm, Transition
    from mimic.learning.loading import load_policy
    from mimic.learning.runner import Runner, start_runner

__all__ = [
    "PRESETS",
    "ActorCriticConfig",
    "Algorithm",
    "LoopConfig",
    "PPOConfig",
    "RunConfig",
    "Runner",
    "Transition",
    "load_policy",
    "run_config",
    "start_runner",
]

# Only when asked for: torch and rsl_rl take seconds to load, the configuration does not.
_LAZY = {
    "Algorithm": "mimic.learning.algorithm",
    "Transition": "mimic.learning.algorithm",
    "Runner": "mimic.learning.runner",
    "start_runner": "mimic.learning.runner",
    "load_policy": "mimic.learning.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
