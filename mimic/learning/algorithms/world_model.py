"""The world-model trainer: learn the robot's dynamics, train the policy through them.

After SuperMimic (arXiv 2610.28480), re-thought for a CPU; see docs/world_model.md for the
equations. An iteration is: a few real control steps with exploration; gradient steps of the model
on replayed transitions; gradient steps of the policy by back-propagation through imagined rollouts
from replayed states, each followed by one of the critic on the same rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from mimic.envs.context import CONTEXT_GROUP, CONTEXT_TERMS
from mimic.envs.imagination import STATE_GROUP, STATE_TERMS
from mimic.envs.spec import EnvSpec
from mimic.envs.terms import ObservationTerm
from mimic.envs.threads import threads
from mimic.learning.algorithm import Transition
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.modules.actor_critic import PlainActor, build_actor
from mimic.learning.modules.average import WeightAverage
from mimic.learning.world_model.learner import Learner
from mimic.learning.world_model.payment import Payment
from mimic.learning.world_model_config import WorldModelConfig
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig
    from robots import Robot


class WorldModel:
    """Model, policy, critic and the replay of what really happened."""

    Config = WorldModelConfig
    groups = {STATE_GROUP: STATE_TERMS}
    """Observation groups it needs besides the task's own."""
    takes_actor_of = frozenset({"ppo"})

    def __init__(
        self, spec: EnvSpec, config: WorldModelConfig, device: str, ranks: Ranks = SINGLE
    ) -> None:
        self.config, self.device, self.ranks = config, torch.device(device), ranks
        self.steps = config.steps
        feedthrough = spec.command_feedthrough() if config.networks.command_feedthrough else None
        self.actor: MLPModel = build_actor(
            config.networks, spec.sizes, spec.num_actions, feedthrough
        ).to(device)
        self.actor.train()
        self.average = WeightAverage(self.actor, config.ema_decay) if config.ema_decay else None
        self.learner: Learner | None = None
        if spec.num_envs:
            self.learner = Learner(spec, config, self.actor, self.device, ranks, self.payment(spec))
            ranks.same_start([self.actor, self.learner.dynamics, self.learner.value])

    def payment(self, spec: EnvSpec) -> Payment:
        """What imagined steps are worth."""
        return Payment()

    @classmethod
    def groups_of(
        cls, config: WorldModelConfig | None, task: TaskConfig, robot: str | Path | Robot
    ) -> Mapping[str, Mapping[str, ObservationTerm]]:
        """Groups that a configuration needs."""
        told = config is not None and config.model_context
        return {**cls.groups, CONTEXT_GROUP: CONTEXT_TERMS} if told else cls.groups

    @classmethod
    def build(cls, spec: EnvSpec, config: WorldModelConfig, device: str, ranks: Ranks) -> Self:
        """Make networks, optimisers and the replay.

        Raises:
            MimicError: the task cannot be imagined, or its actor sees with a delay.
        """
        if "actor" not in spec.sizes:
            raise MimicError(
                f"the world-model trainer needs the observation group actor; task '{spec.task}' "
                f"has {', '.join(spec.sizes)}"
            )
        for entry in spec.observations["actor"]:
            if spec.num_envs and entry.delay[1]:
                raise MimicError(
                    f"observation '{entry.name}' of task '{spec.task}' has a delay, which "
                    "imagined rollouts do not know; train by --algorithm ppo"
                )
        return cls(spec, config, device, ranks)

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] of the policy with noise on them."""
        assert self.learner is not None
        return self.learner.act(obs)

    def observe(self, transition: Transition) -> None:
        """Put a control step into the replay."""
        assert self.learner is not None
        self.learner.observe(transition)

    def update(self) -> dict[str, float]:
        """Fit the model, then improve policy and critic.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        assert self.learner is not None
        with threads(self.config.workers):
            return self.learner.update(self.average)

    def policy(self) -> PlainActor:
        """The deterministic policy, with averaged weights where they are kept."""
        plain = PlainActor(self.actor)
        if self.average is not None:
            plain.load_weights(self.average.weights)
        return plain

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "learner": None if self.learner is None else self.learner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            RuntimeError, ValueError: networks of other sizes.
        """
        self.actor.load_state_dict(state["actor"])
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        if self.learner is not None and state["learner"] is not None:
            self.learner.load_state_dict(state["learner"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take actor, model and critic with their normalisers from another run's state.

        Raises:
            RuntimeError: networks of other sizes.
        """
        self.actor.load_state_dict(state["actor"])
        if self.average is not None:
            self.average = WeightAverage(self.actor, self.config.ema_decay)
        if self.learner is not None and state.get("learner") is not None:
            self.learner.load_networks(state["learner"])

    def load_actor(self, actor: Mapping[str, Any]) -> None:
        """Take an actor with its normaliser.

        Raises:
            RuntimeError: an actor of other sizes.
        """
        self.actor.load_state_dict(dict(actor))
        if self.average is not None:
            self.average = WeightAverage(self.actor, self.config.ema_decay)
