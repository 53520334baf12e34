"""Says which number of a control step is not finite."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec


def what_is_not_finite(spec: EnvSpec, obs: TensorDict, rewards: torch.Tensor) -> str | None:
    """Name the first observation term or the rewards with a number that is not finite.

    Args:
        obs: groups [N, D]. rewards: [N].
    """
    groups: dict[str, Any] = dict(obs.items())
    for group, values in groups.items():
        # A sum is not finite as soon as one entry is not, and costs one pass.
        if torch.isfinite(values.sum()):
            continue
        wrong = ~torch.isfinite(values)
        if not wrong.any():
            # The entries are finite, only too large to be added up.
            continue
        column = int(wrong.any(0).nonzero()[0])
        term = _term_of(spec, group, column)
        return f"observation '{term}' of group '{group}' is not finite in {_count(wrong.any(1))}"
    wrong = ~torch.isfinite(rewards)
    return f"the reward is not finite in {_count(wrong)}" if wrong.any() else None


def _count(environments: torch.Tensor) -> str:
    count = int(environments.sum())
    return f"{count} environment" if count == 1 else f"{count} environments"


def _term_of(spec: EnvSpec, group: str, column: int) -> str:
    for entry in spec.observations.get(group, ()):
        column -= entry.width
        if column < 0:
            return entry.name
    return "?"
