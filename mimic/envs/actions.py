"""Action terms: what the columns of an action mean to the robot's motors."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mimic.envs.observation import Table, joint_table
from mimic.envs.spec import ObservationEntry
from mimic_base.errors import MimicError
from robots.symmetry import MirrorMap

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True, kw_only=True, eq=False)
class Inner:
    """A frozen policy inside of an action term, which a policy file must hold too."""

    group: str
    """The observation group that it sees, without what the action tells it."""
    entries: tuple[ObservationEntry, ...]
    """That group as whoever plays a file computes it."""
    default_joint_pos: tuple[float, ...]
    """[J] rad: joint targets that its action of zero asks for."""
    action_scale: tuple[float, ...]
    """[J] rad that its action of one adds to them."""
    whole: Callable[[Any, int], Any]
    """Makes of a policy and the size d of its observations one policy: [N, d + D] -> [N, J]."""


def inner_of(terms: Mapping[str, Any]) -> Inner | None:
    """The frozen policy inside of action terms; None where there is none."""
    found = (getattr(each, "inner", None) for each in terms.values())
    return next((each for each in found if each is not None), None)


class Action(ABC):
    """Turns some columns of the action into joint targets."""

    _env: Any
    """The environments it acts in; whatever it reads of them it reads through this."""
    size: int
    """Columns of the action it takes."""
    offset: torch.Tensor
    """[size] what an action of zero asks for, in the units of what is controlled."""
    scale: torch.Tensor
    """[size] what an action of one adds to it."""

    @abstractmethod
    def apply(self, actions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Joint targets [N, J] rad: ``targets`` with this term's own put in.

        Args:
            actions: [N, size] the term's columns. targets: [N, J] rad, not to be written to.
        """

    @property
    def inner(self) -> Inner | None:
        """The frozen policy that turns its columns into joint actions; None: there is none."""
        return None

    def on(self, env: Any) -> Action:
        """The same term of other environments: of ``env``, that has what the term reads."""
        other = copy.copy(self)
        other._env = env
        return other

    def mirror(self, robot: MirrorMap) -> Table:
        """Index and sign [size] of the left-right reflection of the term's columns.

        Raises:
            MimicError: there is none.
        """
        raise MimicError(
            f"action '{type(self).__name__}' has no left-right reflection; train without symmetry"
        )


@dataclass(frozen=True, kw_only=True)
class ActionConfig(ABC):
    """What an action term is made from."""

    @abstractmethod
    def build(self, env: Environment) -> Action:
        """Make the term for an environment whose engine and robot are there."""


@dataclass(frozen=True, kw_only=True)
class JointPositionConfig(ActionConfig):
    """Targets of the position servos: ``default pose + scale * action``."""

    joints: tuple[str, ...] = ()
    """Joints in the order of the columns; empty: all of the robot's in its own order."""
    scale: float = 1.0
    """Factor on the robot's own action scale."""

    def build(self, env: Environment) -> JointPosition:
        return JointPosition(self, env)


class JointPosition(Action):
    """See ``JointPositionConfig``; the default pose is each environment's own."""

    shared_tensors: ClassVar[frozenset[str]] = frozenset({"offset", "scale"})

    def __init__(self, config: JointPositionConfig, env: Environment) -> None:
        names = env.robot.joint_names
        for joint in config.joints:
            if joint not in names:
                raise MimicError(
                    f"action: robot '{env.robot.name}' has no joint '{joint}'; known: "
                    f"{', '.join(names)}"
                )
        self._env = env
        self._all = not config.joints or config.joints == tuple(names)
        chosen = [names.index(name) for name in config.joints or names]
        self._joints = torch.tensor(chosen, device=env.device)
        self.size = len(chosen)
        self.offset = env.default_joint_pos[self._joints]
        self.scale = config.scale * env.joint_action_scale[self._joints]

    def apply(self, actions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        default = self._env.default_joint_pos_of_env
        if self._all:
            return default + self.scale * actions
        targets = targets.clone()
        targets[:, self._joints] = default[:, self._joints] + self.scale * actions
        return targets

    def mirror(self, robot: MirrorMap) -> Table:
        if not self._all:
            return super().mirror(robot)
        return joint_table(robot, 1)


class ActionDelay:
    """What is done of actions that arrive some control steps late, in each environment.

    Args:
        steps: fewest and most control steps of delay; drawn for each environment at each restart.
        generator: draws them.
        from_first: whether the first action stands in for those before it, which are otherwise
            actions of zero.

    Attributes:
        latency: [N] each environment's own.
    """

    def __init__(
        self, steps: tuple[int, int], num_envs: int, size: int, generator: torch.Generator,
        device: torch.device, *, from_first: bool = False,
    ) -> None:  # fmt: skip
        self.steps = steps
        self.from_first = from_first
        self._generator = generator
        self._past = torch.zeros(num_envs, steps[1] + 1, size, device=device)
        self._begun = torch.ones(num_envs, dtype=torch.bool, device=device)
        self.latency = torch.zeros(num_envs, dtype=torch.long, device=device)

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget the actions of the environments ``env_ids`` [n], and draw their delays."""
        least, most = self.steps
        self._past[env_ids] = 0.0
        self._begun[env_ids] = True
        self.latency[env_ids] = torch.randint(
            least, most + 1, (len(env_ids),), generator=self._generator,
            device=self.latency.device,
        )  # fmt: skip

    def __call__(self, actions: torch.Tensor) -> torch.Tensor:
        """Take the actions [N, A] of a control step; return those that arrive in it."""
        self._past = torch.cat([self._past[:, 1:], actions[:, None]], 1)
        if self.from_first:
            self._past = torch.where(self._begun[:, None, None], actions[:, None], self._past)
            self._begun = torch.zeros_like(self._begun)
        rows = torch.arange(len(actions), device=actions.device)
        return self._past[rows, self._past.shape[1] - 1 - self.latency]
