"""What every command is to the environment that gives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.sim.state import RowsOfEnvironments
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment
    from mimic.envs.features import BodyState

Wrap = Callable[[Callable[..., Any], str], Callable[..., Any]]
"""Gives a compiled or timed version of a function and what it computes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialState:
    """States [n, ...] that episodes begin in."""

    root_pos_w: torch.Tensor
    """[n, 3] m."""
    root_quat_w: torch.Tensor
    """[n, 4] wxyz."""
    joint_pos: torch.Tensor
    """[n, J] rad."""
    root_lin_vel_w: torch.Tensor
    """[n, 3] m/s in the world."""
    root_ang_vel_b: torch.Tensor
    """[n, 3] rad/s in the base's own axes."""
    joint_vel: torch.Tensor
    """[n, J] rad/s."""
    objects: Mapping[str, tuple[torch.Tensor, ...]] | None = None
    """Position [n, 3] and orientation [n, 4] of free objects by name, and their velocities [n, 3],
    [n, 3] in the world where they move; the others rest where the scene has put them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyAssets:
    """What a command puts into a policy file, beside what it says of itself (``describe``)."""

    contract: Mapping[str, Any] = field(default_factory=dict)
    """Entries of the contract that are this command's to say: ``motions``, ``reference_lead``,
    ``clip_inside``."""
    clip: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Frames [T, ...] of a reference clip by the names of ``mimic_base.frame_fields``: the file
    gives them out under these names, as files of other programs do."""
    frames: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """[T, ...] float each: attributes of the command that observations read, control step by
    control step of an episode, the last one from then on; with T = 1 a constant. Whoever plays the
    file reads them as ``commands[NAME].ATTRIBUTE`` without knowing the command."""


class Command(RowsOfEnvironments, ABC):
    """What each environment is asked to do, and what terms read of it.

    In a control step: physics; ``advance``; ``update``; terms read; ``record``; for environments
    that restart ``resample``, ``initial_state``, ``update`` of theirs.

    Tensors of N rows that terms read as attributes belong to the environments; those that all
    share are named in ``shared_tensors``.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, env: Environment) -> None:
        self.env = env

    @abstractmethod
    def resample(self, env_ids: torch.Tensor) -> None:
        """Draw a new command for the environments ``env_ids`` [n], which restart.

        Random numbers come from ``env.uniform`` or ``env.generator``.
        """

    def initial_state(self, env_ids: torch.Tensor, *, noise: bool = True) -> InitialState | None:
        """The states that episodes of the environments ``env_ids`` [n] begin in.

        One command of a task at most answers this; without one, robots start in their default
        pose. ``noise=False`` asks for the same without what is drawn.
        """
        return None

    def frames_before(self, env_ids: torch.Tensor, count: int) -> BodyState | None:
        """What was before the states that ``initial_state`` has given: ``count`` control steps
        [n, count, ...] of the environments ``env_ids`` [n], the oldest first; None: nothing is
        known of it."""
        return None

    def advance(self) -> None:  # noqa: B027
        """Go on by one control step."""

    @abstractmethod
    def update(self, env_ids: torch.Tensor | None = None) -> None:
        """Compute what depends on the present state.

        Args:
            env_ids: [n] the only environments whose state or command has changed; None: all.
        """

    def record(self, terminated: torch.Tensor) -> None:  # noqa: B027
        """Learn which environments [N] bool have failed in this step."""

    @property
    def finished(self) -> torch.Tensor:
        """[N] bool: there is nothing left to command."""
        return torch.zeros(self.env.num_envs, dtype=torch.bool, device=self.env.device)

    # imagination: what a learnt model needs to go on from a replayed state -----------------

    @property
    def moment(self) -> torch.Tensor:
        """[N, m] numbers that say what is commanded just now: enough for ``imagined``.

        Raises:
            MimicError: the command cannot be imagined; so do the three below.
        """
        raise self._not_imagined("moment")

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        """The moments [N, m] a control step after ``moment`` [N, m], as ``advance`` goes on."""
        raise self._not_imagined("later")

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        """[N] control steps until the command is ``finished``, or another one is drawn."""
        raise self._not_imagined("steps_left")

    def imagined(self, moment: torch.Tensor, robot: Any) -> Any:
        """The command as terms read it at ``moment`` [N, m], of robots in imagined states.

        Args:
            robot: has the attributes of ``mimic.sim.state.RobotState``.
        """
        raise self._not_imagined("imagined")

    def _not_imagined(self, name: str) -> MimicError:
        return MimicError(
            f"command '{type(self).__name__}' cannot be imagined: it has no '{name}' (moment, "
            "later, steps_left and imagined are needed); train by --algorithm ppo"
        )

    def metrics(self) -> Mapping[str, torch.Tensor]:
        """Figures [N] of every control step, for the log."""
        return {}

    def statistics(self) -> Mapping[str, torch.Tensor]:
        """Figures without dimension that change slowly, for the log; computed now and then."""
        return {}

    def shared_statistics(self) -> list[torch.Tensor]:
        """Tensors that processes which train together replace by their mean."""
        return []

    def compile(self, wrap: Wrap) -> None:  # noqa: B027
        """Have pure functions of all environments compiled: replace them by ``wrap`` of them."""

    def describe(self) -> dict[str, Any]:
        """What it is, in plain numbers and texts, for run directories and policy files."""
        return {"kind": f"{type(self).__module__}:{type(self).__qualname__}"}

    def policy_choices(self) -> Sequence[str]:
        """What a user may choose from for a policy file (``mimic export --clip``), by name."""
        return ()

    def policy_assets(self, choice: str | None = None) -> PolicyAssets:
        """What of it goes into a policy file.

        Args:
            choice: one of ``policy_choices`` that shall be inside; None: nothing is chosen.
        """
        return PolicyAssets()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs of it."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Continue from what ``state_dict`` has given.

        Raises:
            MimicError: it does not fit this command.
        """


@dataclass(frozen=True, kw_only=True)
class CommandConfig(ABC):
    """What a command is made from: plain data."""

    @abstractmethod
    def build(self, env: Environment) -> Command:
        """Make the command for an environment whose engine, robot and generator are there."""

    def quiet(self, start_noise: float = 0.0) -> CommandConfig:
        """The command as evaluations give it: nothing drawn that makes the task easier or harder.

        Args:
            start_noise: share of the command's noise on start states that stays.
        """
        return self
