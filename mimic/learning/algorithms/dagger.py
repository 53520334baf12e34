"""DAgger: the student acts, its teacher labels the states it gets into.

Ross, Gordon & Bagnell 2011 (arXiv 1011.0686). In iteration n the policy
``beta_n * teacher + (1 - beta_n) * student`` is executed, the teacher's action is written down for
every state, and the student is fitted to all of them (here: to those of the newest iterations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict
from torch import nn
from torch.nn import functional

from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import NonFiniteError, Transition
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.modules.actor_critic import PlainActor, build_actor
from mimic.learning.modules.average import WeightAverage
from mimic.learning.schedules import cosine, ramp
from mimic.learning.student_config import DaggerConfig
from mimic.learning.teachers import PendingTeachers, teacher_groups
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from pathlib import Path

    from mimic.envs.environment import TaskConfig
    from mimic.learning.teachers import Terms
    from robots import Robot


class Dagger:
    """A student's actor, its teachers, and the states that were labelled."""

    Config = DaggerConfig
    takes_actor_of = frozenset({"ppo", "world-model", "ppo-kl", "supervised-then-rl"})

    def __init__(
        self, actor: MLPModel, teachers: PendingTeachers, config: DaggerConfig, device: str,
        ranks: Ranks = SINGLE,
    ) -> None:  # fmt: skip
        self.actor, self.teachers, self.config, self.ranks = actor, teachers, config, ranks
        self.device = torch.device(device)
        self.steps = config.steps
        self.average = WeightAverage(actor, config.ema_decay) if config.ema_decay else None
        self.optimizer = torch.optim.Adam(_trained(actor), config.learning_rate, fused=True)
        self.iteration = 0
        self.memory: list[Labelled] = []
        """Newest iterations, oldest first."""
        self._present: list[Labelled] = []
        self._asked: tuple[torch.Tensor, torch.Tensor] | None = None
        self._started = False

    @classmethod
    def groups_of(
        cls, config: DaggerConfig, task: TaskConfig, robot: str | Path | Robot
    ) -> dict[str, Terms]:
        """The observation groups of the teachers."""
        return teacher_groups(config, task, robot)

    @classmethod
    def build(cls, spec: EnvSpec, config: DaggerConfig, device: str, ranks: Ranks) -> Self:
        """Make the student; its teachers are read where there are environments to learn in.

        Raises:
            MimicError: no observation group ``actor``, or more minibatches than states.
        """
        spec.need("a student", "actor")
        states = spec.num_envs * config.steps
        if spec.num_envs and config.minibatches > states:
            raise MimicError(
                f"{config.minibatches} minibatches of {states} states: use more environments, more "
                "steps per iteration or fewer minibatches"
            )
        feedthrough = spec.command_feedthrough() if config.networks.command_feedthrough else None
        actor = build_actor(
            config.networks, spec.sizes, spec.num_actions, feedthrough, spec.observations
        ).to(device)
        actor.train()
        ranks.same_start([actor])
        return cls(actor, PendingTeachers(config, spec, device, ranks), config, device, ranks)

    # collecting ----------------------------------------------------------------------------

    @property
    def teacher_share(self) -> float:
        """Share of the environments in which the teacher acts just now."""
        c = self.config
        return c.teacher_share * (1.0 - ramp(self.iteration, c.teacher_hold, c.teacher_decay))

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A]: the student's with noise, in some environments the teacher's."""
        if not self._started:
            # Without this the first iteration would see raw observations and the second others.
            self._normalise(obs["actor"])
            self._started = True
        teachers = self.teachers.get()
        labels = teachers.actions(obs)
        self._asked = labels, teachers.choice(obs)
        mean = self.actor(obs.select("actor"))
        actions = mean + self.config.exploration * torch.randn_like(mean)
        return with_teacher(actions, labels, self.teacher_share)

    def observe(self, transition: Transition) -> None:
        """Keep the state that was acted in, with what the teacher would have done."""
        assert self._asked is not None
        self._present.append(Labelled(transition.obs["actor"], *self._asked))

    # learning ------------------------------------------------------------------------------

    def update(self) -> dict[str, float]:
        """Fit the student to what is remembered.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        c = self.config
        newest = Labelled(*together(self._present))
        self.memory = [*self.memory, newest][-c.remembered :]
        self._present = []
        done = self.iteration / c.learning_rate_iterations
        rate = cosine(c.learning_rate, c.learning_rate_end, done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seen, labels, choice = together(self.memory)
        size = len(newest.seen) // c.minibatches
        loss, steps = 0.0, 0
        for _ in range(c.epochs):
            order = torch.randperm(len(seen), device=self.device)[: size * c.minibatches]
            for rows in order.split(size):
                loss += self._step(seen[rows], labels[rows], choice[rows])
                steps += 1
        with torch.no_grad():
            miss = self._mean(newest.seen) - newest.labels
            error = self.ranks.average(miss.square().mean()[None]).sqrt()
        self._normalise(newest.seen)
        share, self.iteration = self.teacher_share, self.iteration + 1
        if self.average is not None:
            self.average.update(self.actor)
        return {
            f"loss/{c.loss}": loss / steps,
            "student/action_error": float(error),
            "student/teacher_share": share,
            "learning_rate": rate,
        }

    def _step(self, seen: torch.Tensor, labels: torch.Tensor, choice: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        std = self.teachers.get().stds[choice]
        loss = imitation_loss(self.config.loss, self._mean(seen), labels, std)
        loss.backward()
        parameters = _trained(self.actor)
        self.ranks.average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        value = float(self.ranks.average(loss.detach()[None]))
        if not bool(torch.isfinite(norm)):
            raise NonFiniteError(f"the student's loss is not finite ({value:.3g})")
        self.optimizer.step()
        return value

    def _mean(self, seen: torch.Tensor) -> torch.Tensor:
        return self.actor(TensorDict({"actor": seen}, batch_size=[len(seen)]))

    def _normalise(self, seen: torch.Tensor) -> None:
        self.actor.update_normalization(TensorDict({"actor": seen}, batch_size=[len(seen)]))

    # state ---------------------------------------------------------------------------------

    def policy(self) -> PlainActor:
        """The student, with averaged weights where they are kept."""
        plain = PlainActor(self.actor)
        if self.average is not None:
            plain.load_weights(self.average.weights)
        return plain

    def state_dict(self) -> dict[str, Any]:
        # What earlier iterations have labelled decides what the next one learns.
        kept = self.memory[len(self.memory) - (self.config.remembered - 1) :]
        return {
            "actor": self.actor.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "iteration": self.iteration,
            "memory": [[each.seen, each.labels, each.choice] for each in kept],
            "teachers": self.teachers.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            RuntimeError, ValueError: networks of other sizes, or other teachers.
        """
        self.load_networks(state)
        self.teachers.load_state_dict(state["teachers"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self.iteration = state["iteration"]
        if self.teachers.wanted:
            self.memory = [
                Labelled(*(each.to(self.device) for each in part)) for part in state["memory"]
            ]

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take the actor with its normaliser from another run's state.

        Raises:
            RuntimeError: an actor of other sizes.
        """
        self.load_actor(state["actor"])

    def load_actor(self, actor: Mapping[str, Any]) -> None:
        """Take an actor with its normaliser.

        Raises:
            RuntimeError: an actor of other sizes.
        """
        self.actor.load_state_dict(dict(actor))
        self._started = True
        if self.average is not None:
            self.average = WeightAverage(self.actor, self.config.ema_decay)


@dataclass(frozen=True)
class Labelled:
    """States and what the teacher does in them."""

    seen: torch.Tensor
    """[n, D] the student's observations."""
    labels: torch.Tensor
    """[n, A] the teacher's actions."""
    choice: torch.Tensor
    """[n] which teacher it was."""


def together(parts: Sequence[Labelled]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Observations, labels and teachers of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0].seen, parts[0].labels, parts[0].choice
    return (
        torch.cat([each.seen for each in parts]),
        torch.cat([each.labels for each in parts]),
        torch.cat([each.choice for each in parts]),
    )


def _trained(actor: MLPModel) -> list[nn.Parameter]:
    """The parameters that its mean action depends on."""
    return list(actor.mlp.parameters())


def with_teacher(actions: torch.Tensor, labels: torch.Tensor, share: float) -> torch.Tensor:
    """Actions [N, A] of which each row is the teacher's with probability ``share``."""
    if share <= 0.0:
        return actions
    asked = torch.rand(len(actions), 1, device=actions.device) < share
    return torch.where(asked, labels, actions)


def imitation_loss(
    kind: str, mean: torch.Tensor, labels: torch.Tensor, std: torch.Tensor
) -> torch.Tensor:
    """The mean distance of actions [B, A] from a teacher's [B, A], see ``DaggerConfig.loss``.

    Args:
        std: [B, A] standard deviation of the teacher's actions, for ``kl``:
            ``sum_a (mean - label)^2 / (2 std^2)``, the divergence of two Gaussians that share it.
    """
    if kind == "norm":
        return torch.linalg.vector_norm(mean - labels, dim=-1).mean()
    if kind == "huber":
        return functional.huber_loss(mean, labels)
    if kind == "kl":
        return ((mean - labels).square() / (2.0 * std.square())).sum(-1).mean()
    return functional.mse_loss(mean, labels)
