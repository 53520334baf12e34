"""Numbers of LCP, which learns smooth behaviour without rewards for smoothness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mimic.learning.config import PRESETS as PPO_PRESETS
from mimic.learning.config import PPOConfig, Preset


@dataclass(frozen=True, kw_only=True)
class LCPConfig(PPOConfig):
    """PPO whose policy must not change fast with what it sees, instead of rewards for smoothness
    (Lipschitz-constrained policies; Chen et al. 2024, arXiv 2410.11825)."""

    lipschitz: float = 0.002
    """Weight of ``E |d log pi(a | o) / d o|^2`` over normalised observations."""


SMOOTHNESS = {"rewards.action_rate.weight": 0.0}
"""What a run by LCP has the task not reward: the gradient penalty stands for it."""


def _without_smoothness(preset: Preset) -> Preset:
    numbers = {
        name: getattr(preset.algorithm, name)
        for name in PPOConfig.__dataclass_fields__
        if name not in ("lipschitz", "entropy_coef")
    }
    # Nothing else holds the spread of the actions down where their changes cost nothing.
    return replace(
        preset, algorithm=LCPConfig(**numbers, entropy_coef=0.0), task={**preset.task, **SMOOTHNESS}
    )


PRESETS: Mapping[str, Preset] = {
    name: _without_smoothness(preset) for name, preset in PPO_PRESETS.items()
}
