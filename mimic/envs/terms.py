"""Terms: an environment is a set of named pure functions with weights and parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from mimic_base.errors import MimicError

TermFunction = Callable[..., torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class ObservationTerm:
    """``function(env, **parameters) -> [N, d]``, times ``scale``, plus uniform +-``noise``.

    What follows is done to the noisy values in this order: filter, delay, history. The environment
    keeps what that needs and forgets it with each restart: a new episode begins as if its first
    value had been there for ever.
    """

    function: TermFunction
    """Pure; declared with ``mimic.envs.observation.observable`` it is also known to the player of
    exported policies and to symmetric training."""
    noise: float = 0.0
    """Half width of the uniform noise, in the units of the scaled value."""
    scale: float = 1.0
    """Factor of the value."""
    history: int = 1
    """Control steps whose values stand side by side, the oldest first."""
    delay: tuple[int, int] = (0, 0)
    """Fewest and most control steps by which the values are late; drawn for each environment at
    each restart. On a robot the delay is the robot's own."""
    filter: float = 0.0
    """Cut-off (Hz) of a first-order low-pass filter; 0: none."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``function``."""

    def __post_init__(self) -> None:
        if self.history < 1:
            raise MimicError(f"an observation's history must be at least 1, got {self.history}")
        least, most = self.delay
        if not 0 <= least <= most:
            raise MimicError(
                f"an observation's delay must be a range of control steps such as (0, 2), got "
                f"{self.delay}"
            )
        if not self.filter >= 0:
            raise MimicError(f"an observation's filter must not be negative, got {self.filter}")

    @property
    def has_memory(self) -> bool:
        """Whether the observed value depends on earlier steps."""
        return self.history > 1 or self.delay[1] > 0 or self.filter > 0


@dataclass(frozen=True, kw_only=True)
class RewardTerm:
    """``function(env, **parameters) -> [N]``, times ``weight`` and the control step."""

    function: TermFunction
    """Pure."""
    weight: float
    """Negative for a penalty."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``function``."""
    tracking: bool = False
    """Whether the term says how well the command is followed, 0 to 1. The normalised return of
    an evaluation is the sum of these alone, over their largest value."""
    adaptive: float = 0.0
    """Of an exponential kernel with the parameter ``std``: share of a step's mean squared error
    that its moving average takes; the width is never larger than the average's root, so that the
    kernel grows sharper as the policy grows better (KungfuBot, arXiv 2506.12851, with 0.001), down
    to a tenth. 0: the width stays. Evaluations and imagination use the width as configured."""

    def __post_init__(self) -> None:
        if not 0 <= self.adaptive <= 1 or (self.adaptive and "std" not in self.parameters):
            raise MimicError(
                f"adaptive is a share from 0 to 1 of a reward with the parameter std, got "
                f"{self.adaptive} with {', '.join(self.parameters) or 'no parameters'}"
            )
        if self.tracking and not self.weight > 0:
            raise MimicError(
                f"a tracking reward needs a positive weight, got {self.weight}; a penalty is not "
                "part of the normalised return"
            )


@dataclass(frozen=True, kw_only=True)
class TerminationTerm:
    """``function(env, **parameters) -> [N] bool``; a time-out is a truncation, not a failure."""

    function: TermFunction
    """Pure."""
    time_out: bool = False
    """Whether the episode is cut off though nothing went wrong."""
    success: bool = False
    """Whether the episode ends because its aim is reached. Evaluations of a task with such a term
    count as success what ends by it alone; of other tasks, what ends without a failure."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``function``."""


@dataclass(frozen=True, kw_only=True)
class EventTerm:
    """``function(env, env_ids, **parameters)``: something happens to some environments.

    ``startup``: once, to all. ``reset``: to those that restart, after their new state is set.
    ``interval``: to each at random times of its own. ``off``: never.
    """

    function: Callable[..., None]
    """Changes the environments ``env_ids`` [n]: their physics, their state."""
    mode: Literal["startup", "reset", "interval", "off"]
    """When it happens."""
    interval_s: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest time between two events of an environment (``interval``), s."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``function``."""


@dataclass(frozen=True, kw_only=True)
class CurriculumTerm:
    """``function(env, iteration, **parameters)``: the task changes as training goes on.

    Called before every iteration of the learner. What it returns is logged, if it is a number.
    """

    function: Callable[..., float | None]
    """Changes the environment as a whole, such as its strength of randomisation."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``function``."""


def limit_on(error: TermFunction) -> TermFunction:
    """A termination that fails where an error exceeds its limit, from the function of the error.

    ``error(env, **parameters) -> [N]``, never negative, becomes
    ``termination(env, threshold, **parameters) -> [N] bool``, and stays at hand as its attribute
    ``error``: who imagines what might happen asks how near the limit is.
    """

    @functools.wraps(error)
    def termination(env: Any, threshold: float, **parameters: Any) -> torch.Tensor:
        return error(env, **parameters) > threshold

    # What it takes is not what the error takes.
    del termination.__wrapped__  # type: ignore[attr-defined]
    termination.error = error  # type: ignore[attr-defined]
    return termination


def weighted_rewards(
    env: Any, terms: Mapping[str, RewardTerm], stds: Mapping[str, torch.Tensor] | None = None
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """[N] weighted sum of reward terms, per step before ``control_dt``, and each weighted term.

    Args:
        env: an environment, or whatever its terms can be read on.
        stds: widths of kernels instead of those that terms are configured with.
    """
    total = torch.zeros(env.num_envs, device=env.device)
    weighted: dict[str, torch.Tensor] = {}
    for name, term in terms.items():
        parameters = term.parameters
        if stds and name in stds:
            parameters = {**parameters, "std": stds[name]}
        value = term.function(env, **parameters)
        value = check_shape(name, value, (env.num_envs,), exactly=True)
        weighted[name] = term.weight * value
        total = total + weighted[name]
    return total, weighted


def check_shape(
    name: str, value: Any, expected: tuple[int, ...], *, exactly: bool = False
) -> torch.Tensor:
    """Return ``value`` if its leading dimensions fit, or all of them; name the term otherwise."""
    shape = tuple(getattr(value, "shape", ()))
    fits = isinstance(value, torch.Tensor) and shape[: len(expected)] == expected
    if not fits or (exactly and len(shape) > len(expected)):
        found = f"shape {shape}" if isinstance(value, torch.Tensor) else type(value).__name__
        more = "" if exactly else " first"
        raise MimicError(f"term '{name}' returned {found}, expected a tensor {expected}{more}")
    return value


def check_terms(where: str, terms: Mapping[str, Any], kind: type, arguments: int) -> None:
    """Raise a `MimicError` where a term is no ``kind``, or its function cannot take its parameters.

    Args:
        where: the task and the group of terms, for the refusal.
        arguments: how many arguments the environment itself gives the function.
    """
    for name, term in terms.items():
        if not isinstance(term, kind):
            raise MimicError(
                f"{where}: '{name}' is a {type(term).__name__}, expected a {kind.__name__}"
            )
        try:
            signature = inspect.signature(term.function)
        except (TypeError, ValueError):
            continue  # it does not say what it takes
        try:
            signature.bind(*[None] * arguments, **term.parameters)
        except TypeError as error:
            title = getattr(term.function, "__name__", repr(term.function))
            raise MimicError(f"{where}: '{name}': {title}{signature}: {error}") from error
