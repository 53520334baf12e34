"""Terms: an environment is a list of named pure functions with weights and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from mimic_base.errors import MimicError

TermFunction = Callable[..., torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class ObservationTerm:
    """``function(env, **parameters) -> [N, d]``, times ``scale``, plus uniform +-``noise``."""

    function: TermFunction
    noise: float = 0.0
    scale: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RewardTerm:
    """``function(env, **parameters) -> [N]``, times ``weight`` and the control step."""

    function: TermFunction
    weight: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tracking: bool = False
    """Whether the term says how well the command is followed, 0 to 1. The normalised return of
    an evaluation is the sum of these alone, over their largest value."""

    def __post_init__(self) -> None:
        if self.tracking and not self.weight > 0:
            raise MimicError(
                f"a tracking reward needs a positive weight, got {self.weight}; a penalty is not "
                "part of the normalised return"
            )


@dataclass(frozen=True, kw_only=True)
class TerminationTerm:
    """``function(env, **parameters) -> [N] bool``; a time-out is a truncation, not a failure."""

    function: TermFunction
    time_out: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EventTerm:
    """``function(env, env_ids, **parameters)`` at start-up, or again at random intervals (s)."""

    function: Callable[..., None]
    mode: Literal["startup", "interval"]
    interval_s: tuple[float, float] = (0.0, 0.0)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def check_shape(name: str, value: torch.Tensor, expected: tuple[int, ...]) -> torch.Tensor:
    """Return ``value`` if its leading dimensions fit; name the offending term otherwise."""
    if tuple(value.shape[: len(expected)]) != expected:
        raise ValueError(
            f"term '{name}' returned shape {tuple(value.shape)}, expected {expected} first"
        )
    return value
