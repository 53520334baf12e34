"""AWR: advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177).

Two supervised regressions on replayed experience D of the newest iterations. Each iteration

1. fits the critic to TD(lambda) returns: ``V = argmin E_D (R(s, a) - V(s))^2``,
2. fits the actor to the actions in D, each with its weight:

       ``pi = argmax E_D [log pi(a | s) min(exp(A(s, a) / beta), w_max)]``

with ``A = R - V`` of the new critic, shifted and scaled to mean 0 and variance 1 over D as in the
authors' program. The actions' standard deviation is fixed, so that ``-log pi`` is
``|a - mu(s)|^2 / (2 sigma^2)`` but for a constant. Old actions are not corrected for the policy
having moved: D is short, and its own policies are a mixture that the regression starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec
from mimic.envs.threads import few_threads
from mimic.learning.algorithm import Transition
from mimic.learning.descent import gradient_step
from mimic.learning.distributed import Ranks
from mimic.learning.modules.actor_critic import PlainActor, build_networks
from mimic.learning.modules.average import WeightAverage
from mimic.learning.off_policy_config import AWRConfig
from mimic.learning.returns import replay_returns
from mimic.learning.storage.experience import Experience

GROUPS = ("actor", "critic")


class AWR:
    """Actor, critic, and the experience of the newest iterations."""

    Config = AWRConfig
    takes_actor_of = frozenset({"ppo", "lcp", "world-model", "dagger", "ppo-kl"})

    def __init__(
        self, actor: MLPModel, critic: MLPModel, memory: Experience, config: AWRConfig, ranks: Ranks
    ) -> None:
        self.actor, self.critic, self.memory = actor, critic, memory
        self.config, self.ranks, self.steps = config, ranks, config.steps
        self.average = WeightAverage(actor, config.ema_decay) if config.ema_decay > 0 else None
        self.of_actor = list(actor.mlp.parameters())
        self.of_critic = list(critic.mlp.parameters())
        self.actor_optimizer = torch.optim.Adam(self.of_actor, config.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(
            self.of_critic, config.critic_learning_rate, fused=True
        )
        self._started = False

    @classmethod
    def build(cls, spec: EnvSpec, config: AWRConfig, device: str, ranks: Ranks) -> Self:
        """Make networks and memory.

        Raises:
            MimicError: an observation group is absent.
        """
        spec.need("AWR", *GROUPS)
        n = config.networks
        feedthrough = spec.command_feedthrough() if n.command_feedthrough else None
        actor, critic = build_networks(
            n, spec.sizes, spec.num_actions, feedthrough, spec.observations
        )
        actor.to(device).train()
        critic.to(device).train()
        ranks.same_start([actor, critic])
        sizes = {group: spec.sizes[group] for group in GROUPS}
        kept = config.remembered * config.steps
        memory = Experience(kept, spec.num_envs, sizes, spec.num_actions, device)
        return cls(actor, critic, memory, config, ranks)

    # collecting ----------------------------------------------------------------------------

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] with noise of the fixed standard deviation."""
        if not self._started:
            # Without this the first iteration would see raw observations and the second others.
            self._normalise(obs)
            self._started = True
        mean = self.actor(obs.select("actor"))
        return mean + self.config.networks.init_std * torch.randn_like(mean)

    def observe(self, transition: Transition) -> None:
        """Remember a control step."""
        self.memory.add(transition)

    # learning ------------------------------------------------------------------------------

    def update(self) -> dict[str, float]:
        """Fit critic, then actor, to what is remembered.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        c, memory = self.config, self.memory
        order = memory.order
        rows = memory.complete().flatten().nonzero().squeeze(-1)
        inputs = {name: field[order].flatten(0, 1) for name, field in memory.obs.items()}
        actions = memory.actions[order].flatten(0, 1)
        returns, _ = self._returns(inputs["critic"])
        critic_loss = 0.0
        for _ in range(c.critic_steps):
            batch = self._batch(rows)
            miss = self._value(inputs["critic"][batch]) - returns[batch]
            critic_loss += gradient_step(
                miss.square().mean(), self.critic_optimizer, self.of_critic, self.ranks,
                c.max_grad_norm, "critic's loss",
            )  # fmt: skip
        returns, values = self._returns(inputs["critic"])
        mean, std = self._spread((returns - values)[rows])
        advantage = (returns - values - mean) / std
        weights = action_weights(advantage, c.temperature, c.weight_clip)
        actor_loss, precision = 0.0, 0.5 / c.networks.init_std**2
        for _ in range(c.actor_steps):
            batch = self._batch(rows)
            miss = (self._mean(inputs["actor"][batch]) - actions[batch]).square().sum(-1)
            actor_loss += gradient_step(
                precision * (weights[batch] * miss).mean(), self.actor_optimizer, self.of_actor,
                self.ranks, c.max_grad_norm, "actor's loss",
            )  # fmt: skip
        newest = order[-c.steps :]
        self._normalise(
            TensorDict(
                {name: field[newest].flatten(0, 1) for name, field in memory.obs.items()},
                batch_size=[len(newest) * memory.num_envs],
            )
        )
        if self.average is not None:
            self.average.update(self.actor)
        used = weights[rows]
        return {
            "loss/critic": critic_loss / c.critic_steps,
            "loss/actor": actor_loss / c.actor_steps,
            "awr/weight": float(used.mean()),
            "awr/clipped": float((used >= c.weight_clip).float().mean()),
            "awr/advantage_std": float(std),
        }

    def _returns(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns and values [T N] of everything in memory, the oldest first."""
        c, memory = self.config, self.memory
        order = memory.order
        with torch.no_grad():
            values = self._value(inputs).view(len(order), memory.num_envs)
            with few_threads(memory.num_envs):
                returns = replay_returns(
                    memory.rewards[order], memory.terminated[order], memory.truncated[order],
                    values, c.gamma, c.td_lambda,
                )  # fmt: skip
        return returns.flatten(), values.flatten()

    def _spread(self, advantage: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of advantages [n], over all ranks."""
        moments = torch.stack([advantage.mean(), advantage.square().mean()])
        mean, square = self.ranks.average(moments)
        return mean, (square - mean.square()).clamp_min(0.0).sqrt() + 1e-5

    def _batch(self, rows: torch.Tensor) -> torch.Tensor:
        chosen = torch.randint(len(rows), (self.config.batch,), device=rows.device)
        return rows[chosen]

    def _mean(self, seen: torch.Tensor) -> torch.Tensor:
        return self.actor(TensorDict({"actor": seen}, batch_size=[len(seen)]))

    def _value(self, seen: torch.Tensor) -> torch.Tensor:
        return self.critic(TensorDict({"critic": seen}, batch_size=[len(seen)])).squeeze(-1)

    def _normalise(self, seen: TensorDict) -> None:
        self.actor.update_normalization(seen)
        self.critic.update_normalization(seen)

    # state ---------------------------------------------------------------------------------

    def policy(self) -> PlainActor:
        """The deterministic policy, with averaged weights where they are kept."""
        plain = PlainActor(self.actor)
        if self.average is not None:
            plain.load_weights(self.average.weights)
        return plain

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "memory": self.memory.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            RuntimeError, ValueError: networks of other sizes.
        """
        self.load_networks(state)
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self.memory.load_state_dict(state["memory"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take actor and critic with their normalisers from another run's state.

        Raises:
            RuntimeError: networks of other sizes.
        """
        self.critic.load_state_dict(state["critic"])
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


def action_weights(advantage: torch.Tensor, temperature: float, clip: float) -> torch.Tensor:
    """``min(exp(A / beta), w_max)`` of normalised advantages [n]."""
    # Beyond the logarithm of the largest weight the exponential need not be known.
    return torch.exp((advantage / temperature).clamp_max(87.0)).clamp_max(clip)
