"""Supervised, then reinforcement, as InterMimic's students (arXiv 2502.20390).

One loss with weights that change: ``w_r surrogate + w_v value + w_i |mean - teacher|^2``. First the
teacher acts and its actions are learnt; it hands over to the student, who goes on learning them in
its own states; then the critic comes in; and only once that explains the returns does the policy
follow them, while the teacher's pull falls. See ``SupervisedThenRLConfig`` for the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec
from mimic.envs.threads import few_threads
from mimic.learning.algorithms.dagger import with_teacher
from mimic.learning.algorithms.ppo_with_teacher import TaughtPPO
from mimic.learning.distributed import Ranks
from mimic.learning.schedules import CriticGate, explained_variance, ramp
from mimic.learning.student_config import SupervisedThenRLConfig


@dataclass(frozen=True)
class Weights:
    """What counts in an update."""

    teacher_share: float
    """Probability by which the teacher acts, in the rollout."""
    imitation: float
    """Weight of the teacher's actions."""
    critic: float
    """Factor of the critic's loss."""
    surrogate: float
    """Factor of the surrogate loss and of the entropy bonus."""


def weights_at(config: SupervisedThenRLConfig, iteration: int, opened_at: int | None) -> Weights:
    """The weights of an iteration, counted from 0.

    Args:
        opened_at: the iteration in which the critic was found good enough; None: not yet.
    """
    c = config
    reinforced = 0.0 if opened_at is None else ramp(iteration, opened_at, c.reinforce)
    return Weights(
        teacher_share=1.0 - ramp(iteration, c.teacher_hold, c.teacher_decay),
        imitation=1.0 + (c.imitation_end - 1.0) * reinforced,
        critic=ramp(iteration, c.supervised, c.critic_warmup),
        surrogate=reinforced,
    )


class SupervisedThenRL(TaughtPPO):
    """See the module."""

    Config = SupervisedThenRLConfig
    takes_actor_of = frozenset({"ppo", "world-model", "dagger", "ppo-kl"})
    config: SupervisedThenRLConfig
    gate: CriticGate

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        found = super().build(spec, config, device, ranks)
        found.gate = CriticGate(config.explained_variance, config.explained_updates)
        return found

    @property
    def weights(self) -> Weights:
        """Those of the present iteration."""
        return weights_at(self.config, self.iteration, self.gate.opened_at)

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A]: drawn by the student, in some environments the teacher's."""
        own = super().act(obs)
        return with_teacher(own, self._asked[-1][0], self.weights.teacher_share)

    def update(self) -> dict[str, float]:
        """Train on the recorded steps by the weights of the present iteration."""
        c, trainer, weights = self.config, self.trainer, self.weights
        trainer.guide = self.guide("mse", weights.imitation)
        trainer.surrogate_coef = weights.surrogate
        trainer.value_loss_coef = c.value_coef * weights.critic
        # The step of a supervised update has nothing to do with the policy's divergence.
        learns = weights.surrogate > 0.0
        trainer.schedule = c.schedule if learns else "fixed"
        if not learns:
            trainer.learning_rate = c.learning_rate
        rate = trainer.learning_rate if learns else c.imitation_learning_rate
        actor, critic = trainer.optimizer.param_groups
        actor["lr"], critic["lr"] = rate, c.critic_learning_rate or rate
        explained = self._explained()
        figures = super().update()
        trainer.guide = None
        ready = self.iteration >= c.supervised + c.critic_warmup
        # What is learnt from rewards begins with the next iteration.
        self.gate.see(explained, self.iteration + 1, ready=ready)
        self.iteration += 1
        if not learns:
            figures["learning_rate"] = c.imitation_learning_rate
        return {
            **figures,
            "student/teacher_share": weights.teacher_share,
            "student/imitation": weights.imitation,
            "student/surrogate": weights.surrogate,
            "student/explained_variance": explained,
        }

    @torch.no_grad()
    def _explained(self) -> float:
        """The share of the returns' variance that the critic has explained, over all ranks."""
        storage, trainer = self.trainer.storage, self.trainer
        assert self._last_obs is not None
        with few_threads(storage.num_envs):
            trainer.compute_returns(self._last_obs)
        share = explained_variance(storage.values, storage.returns)
        return float(trainer.ranks.average(torch.tensor([share])))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "gate": self.gate.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.gate.load_state_dict(state["gate"])
