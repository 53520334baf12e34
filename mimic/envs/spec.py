"""What a learning algorithm needs to know of an environment, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.demonstrations import Demonstrations
    from mimic.envs.imagination import Imagination
    from mimic.envs.symmetry import Reflection

COMMAND = "command"
"""Name of the observation whose first J entries are the commanded joint positions."""


def no_reflections() -> Mapping[str, Reflection]:
    """The reflections of an environment that has none.

    Raises:
        MimicError: always.
    """
    raise MimicError("this environment has no left-right reflection; train without symmetry")


def no_imagination() -> Imagination:
    """The imagination of an environment that has none.

    Raises:
        MimicError: always.
    """
    raise MimicError("this environment cannot be imagined; train by --algorithm ppo")


def no_demonstrations(group: str) -> Demonstrations:
    """The demonstrations of an environment that has none.

    Raises:
        MimicError: always.
    """
    raise MimicError(f"this environment has no clips to show as observations '{group}'")


@dataclass(frozen=True, kw_only=True)
class ObservationEntry:
    """One term of an observation group; it fills ``size * history`` columns, oldest first."""

    name: str
    size: int
    """Width of a single value of the term."""
    scale: float = 1.0
    """Factor the term was multiplied by."""
    history: int = 1
    """Control steps whose values stand side by side."""
    delay: tuple[int, int] = (0, 0)
    """Fewest and most control steps by which the values were late in training."""
    filter: float = 0.0
    """Cut-off (Hz) of the low-pass filter on the values; 0: none."""
    function: str = ""
    """Where the term's function is declared, ``module:name``."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the function."""

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.size * self.history


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """Sizes, names and numbers that networks and algorithms are built from.

    It holds no simulation: an algorithm that is built from it can be tested without one.
    """

    num_envs: int
    """Environments that are stepped together, N."""
    num_actions: int
    """Width of an action, A."""
    control_dt: float
    """Seconds of a control step."""
    device: torch.device
    """Where observations and rewards are."""
    task: str
    """Name of the task."""
    robot: str
    """Name of the robot."""
    observations: Mapping[str, tuple[ObservationEntry, ...]]
    """The terms of every observation group in the order of their columns."""
    default_joint_pos: tuple[float, ...]
    """[A] joint positions (rad) that an action of zero asks for."""
    action_scale: tuple[float, ...]
    """[A] rad by which an action of one moves the joint target."""
    reflect: Callable[[], Mapping[str, Reflection]] = field(
        default=no_reflections, repr=False, compare=False
    )
    """Makes the left-right reflections; see ``reflections``."""

    imagine: Callable[[], Imagination] = field(default=no_imagination, repr=False, compare=False)
    """Makes the task's terms as functions of states that are not simulated."""

    demonstrate: Callable[[str], Demonstrations] = field(
        default=no_demonstrations, repr=False, compare=False
    )
    """Makes the clips as an observation group would show them; see ``demonstrations``."""

    @property
    def sizes(self) -> dict[str, int]:
        """Width of every observation group."""
        return {
            group: sum(entry.width for entry in entries)
            for group, entries in self.observations.items()
        }

    def need(self, who: str, *groups: str) -> None:
        """Refuse a task without observation groups that somebody learns from.

        Args:
            who: needs them; the beginning of the refusal.

        Raises:
            MimicError: one of them is absent.
        """
        if any(group not in self.observations for group in groups):
            named = f"group{'s' * (len(groups) > 1)} {' and '.join(groups)}"
            raise MimicError(
                f"{who} needs the observation {named}; task '{self.task}' has "
                f"{', '.join(self.observations)}"
            )

    def reflections(self) -> Mapping[str, Reflection]:
        """Left-right reflections by observation group, and of ``actions``.

        Raises:
            MimicError: an observation has no known reflection.
            RobotError: the robot is not symmetric.
        """
        return self.reflect()

    def demonstrations(self, group: str) -> Demonstrations:
        """Windows of the task's clips as its observation group ``group`` would show a robot that
        moves like them: what discriminators and motion models learn from.

        Raises:
            MimicError: no such group, no clips, or observations that clips cannot be told by.
        """
        return self.demonstrate(group)

    def command_feedthrough(self, group: str = "actor") -> tuple[list[float], list[float]]:
        """Offset and gain [A] that turn the group's commanded joint positions into actions.

        The action that asks for the commanded pose is ``(obs[:, :A] - offset) * gain``.

        Raises:
            MimicError: the group does not begin with the commanded joint positions.
        """
        first = self.observations[group][0]
        if first.name != COMMAND or first.size < self.num_actions or first.history != 1:
            raise MimicError(
                f"command feedthrough needs the commanded joint positions ('{COMMAND}', without "
                f"history) first in the {group}'s observations, found '{first.name}' of size "
                f"{first.size} with history {first.history}; train with "
                "--algorithm.networks.no-command-feedthrough"
            )
        scale = first.scale
        offset = [float(value) * scale for value in self.default_joint_pos]
        gain = [1.0 / (float(value) * scale) for value in self.action_scale]
        return offset, gain
