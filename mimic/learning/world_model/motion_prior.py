"""The world-model trainer with a motion prior: the policy climbs what judges its motion.

What a judge thinks of windows of motion is differentiable in them, and they are differentiable
functions of imagined states. So its gradient reaches the policy through the model as the task's
does; nothing is guessed at by sampling (end-to-end adversarial imitation: Baram et al. 2017,
"End-to-End Differentiable Adversarial Imitation Learning"). A judge that learns does so from what
was really simulated, before each improvement of the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch

from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.learning.algorithm import Transition
from mimic.learning.algorithms.world_model import WorldModel
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.world_model.payment import MotionPayment
from mimic.learning.world_model_prior_config import WorldModelPriorConfig

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig


class MotionJudge(Protocol):
    """What rewards windows of motion; ``mimic.learning.adversary.Adversary`` is one."""

    group: ClassVar[str]
    """Observations that are judged."""

    def __init__(
        self, spec: EnvSpec, config: Any, size: int, device: torch.device | str, ranks: Ranks
    ) -> None:
        """
        Args:
            size: columns of a window.
        """

    @classmethod
    def groups_of(cls, config: Any, task: TaskConfig) -> dict[str, Mapping[str, ObservationTerm]]:
        """The observation group ``group`` as it looks at it.

        Raises:
            MimicError: the task has no such thing.
        """
        ...

    def climbed(self, windows: torch.Tensor) -> torch.Tensor:
        """[N] what windows [N, D] are worth, about 1 at most, with a gradient in them."""
        ...

    def learn_first_scale(self, windows: torch.Tensor) -> None:
        """See windows [N, D] of the robot before any are judged."""

    def learn(self, windows: torch.Tensor) -> dict[str, float]:
        """Learn from the newest windows [n, D]; figures of it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs of it."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``, whose further entries are not looked at."""

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take what judges, nothing else."""


class WorldModelWithPrior(WorldModel):
    """See the module. Derived classes say by whom they are judged."""

    Config = WorldModelPriorConfig
    config: WorldModelPriorConfig
    Judge: ClassVar[type[MotionJudge]]
    takes_actor_of = frozenset({"ppo", "world-model"})

    def __init__(
        self, spec: EnvSpec, config: WorldModelPriorConfig, device: str, ranks: Ranks = SINGLE
    ) -> None:
        size = spec.sizes.get(self.Judge.group, 1)
        self.judge = self.Judge(spec, config, size, device, ranks)
        self._seen: list[torch.Tensor] = []
        super().__init__(spec, config, device, ranks)

    @classmethod
    def groups_of(
        cls, config: Any, task: TaskConfig, robot: Any
    ) -> Mapping[str, Mapping[str, ObservationTerm]]:
        """The model's, and what the judge looks at.

        Raises:
            MimicError: the task has no such thing.
        """
        return {**super().groups_of(config, task, robot), **cls.Judge.groups_of(config, task)}

    def payment(self, spec: EnvSpec) -> MotionPayment:
        c, group = self.config, self.Judge.group
        return MotionPayment(
            group, spec.observations[group], spec.control_dt, self.judge.climbed,
            task_weight=c.task_weight, style_weight=c.style_weight, action_rate=c.action_rate,
        )  # fmt: skip

    def observe(self, transition: Transition) -> None:
        """Put a control step into the replay, and its windows before the judge."""
        windows = transition.following_obs(self.Judge.group)
        self.judge.learn_first_scale(windows)
        self._seen.append(windows)
        super().observe(transition)

    def update(self) -> dict[str, float]:
        """Let the judge learn, then fit the model and improve policy and critic.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        windows = torch.cat(self._seen)
        self._seen = []
        with torch.no_grad():
            style = float(self.judge.climbed(windows).mean())
        figures = self.judge.learn(windows)
        return {**super().update(), **figures, "style/reward": style}

    # state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **self.judge.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self.learner is not None:
            self.judge.load_state_dict(state)

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        if self.learner is not None:
            self.judge.load_networks(state)
