"""FastTD3 (Seo et al. 2025, arXiv 2505.22642): an off-policy actor and critics for humanoids.

Twin delayed deep deterministic policy gradients (Fujimoto et al. 2018, arXiv 1802.09477) with what
makes them quick in simulation: many environments side by side, a memory of all of them, large
batches, few gradient steps per sample, and critics that learn the distribution Z of returns on
fixed atoms. With ``a' = mu(s') + noise``, clipped:

* critics: cross-entropy of ``Z_i(s, a)`` and the projection of ``r + gamma^n Z'(s', a')``, where Z'
  is that of the target critics' two distributions which has the smaller mean;
* actor, every second step: ``max E min_i E[Z_i(s, mu(s))]``;
* target critics: ``theta' += tau (theta - theta')``.

Exploration is Gaussian noise whose width every environment has of its own. An episode that was cut
off is not one that ended: its last step is not learnt from (``mimic.learning.storage.experience``).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from rsl_rl.modules import EmpiricalNormalization
from tensordict import TensorDict
from torch import nn

from mimic.envs.spec import EnvSpec
from mimic.learning.algorithm import Transition
from mimic.learning.descent import gradient_step
from mimic.learning.distributed import Ranks
from mimic.learning.modules.distributional import CriticPair, of_both, projected
from mimic.learning.modules.squashed_actor import SquashedActor
from mimic.learning.off_policy_config import FastTD3Config
from mimic.learning.storage.experience import Experience, Steps

GROUPS = ("actor", "critic")


class FastTD3:
    """Actor, critics, their targets and the memory they learn from."""

    Config: ClassVar[type] = FastTD3Config
    SPREAD: ClassVar[bool] = False
    """Whether the actor's network says how widely it explores."""

    def __init__(
        self, actor: SquashedActor, critics: CriticPair, normaliser: nn.Module,
        memory: Experience, config: Any, ranks: Ranks,
    ) -> None:  # fmt: skip
        self.actor, self.critics, self.critic_normaliser = actor, critics, normaliser
        self.targets = copy.deepcopy(critics).requires_grad_(False)
        self.memory, self.config, self.ranks = memory, config, ranks
        self.steps: int = config.steps
        self.of_actor = list(actor.mlp.parameters())
        self.of_critics = list(critics.parameters())
        options = {"weight_decay": config.weight_decay, "betas": (0.9, 0.95), "fused": True}
        self.actor_optimizer = torch.optim.AdamW(self.of_actor, config.learning_rate, **options)
        self.critic_optimizer = torch.optim.AdamW(
            self.of_critics, config.critic_learning_rate, **options
        )
        self.updates = 0
        """Gradient steps on the critics so far."""
        self.width = self._widths(memory.num_envs, memory.rewards.device)
        """[N, 1] standard deviation of each environment's exploration."""
        self._started = False

    @classmethod
    def build(cls, spec: EnvSpec, config: Any, device: str, ranks: Ranks) -> Self:
        """Make networks and memory.

        Raises:
            MimicError: an observation group is absent.
        """
        spec.need(cls.__name__, *GROUPS)
        n, sizes = config.networks, {group: spec.sizes[group] for group in GROUPS}
        actor = SquashedActor(
            sizes["actor"], n.actor_hidden, spec.num_actions, n.activation,
            layer_norm=n.layer_norm, normalise=n.obs_normalization, reach=n.reach,
            spread=cls.SPREAD,
            feedthrough=spec.command_feedthrough() if n.command_feedthrough else None,
        )  # fmt: skip
        critics = CriticPair(
            sizes["critic"] + spec.num_actions, n.critic_hidden, n.activation, n.layer_norm,
            n.values, n.atoms,
        )  # fmt: skip
        normaliser = (
            EmpiricalNormalization(sizes["critic"]) if n.obs_normalization else nn.Identity()
        )
        for module in (actor, critics, normaliser):
            module.to(device).train()
        ranks.same_start([actor, critics, normaliser])
        memory = Experience(config.remembered, spec.num_envs, sizes, spec.num_actions, device)
        return cls(actor, critics, normaliser, memory, config, ranks)

    # collecting ----------------------------------------------------------------------------

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] with each environment's own noise."""
        self._start(obs)
        mean = self.actor(obs["actor"])
        return mean + self.width * torch.randn_like(mean)

    def observe(self, transition: Transition) -> None:
        """Remember a control step."""
        self.memory.add(transition)
        drawn = self._widths(self.memory.num_envs, self.width.device)
        self.width = torch.where(transition.dones[:, None], drawn, self.width)

    def _start(self, obs: TensorDict) -> None:
        if not self._started:
            # Without this the first iteration would see raw observations and the second others.
            self._normalise(obs["actor"], obs["critic"])
            self._started = True

    def _widths(self, count: int, device: torch.device) -> torch.Tensor:
        low, high = self.config.exploration
        return low + (high - low) * torch.rand(count, 1, device=device)

    # learning ------------------------------------------------------------------------------

    def update(self) -> dict[str, float]:
        """Learn from memory, once there is enough in it.

        Raises:
            NonFiniteError: before a weight could be spoilt.
        """
        c, memory = self.config, self.memory
        self._take_into_normalisers()
        if memory.steps < max(c.learning_starts, 2):
            return {"replay/steps": float(memory.filled)}
        figures: dict[str, list[float]] = {}
        for _ in range(c.updates):
            batch = memory.draw(c.batch, c.n_steps, c.gamma)
            told = self._critic_step(batch)
            if self.updates >= c.actor_starts and self.updates % c.actor_every == 0:
                told |= self._actor_step(batch)
            self._follow()
            self.updates += 1
            for name, value in told.items():
                figures.setdefault(name, []).append(value)
        means = {name: sum(values) / len(values) for name, values in figures.items()}
        return {**means, "replay/steps": float(memory.filled)}

    def _critic_step(self, batch: Steps) -> dict[str, float]:
        state = self.critic_normaliser(batch.obs["critic"])
        with torch.no_grad():
            target = self._target(batch)
        logits = self.critics(state, batch.actions)
        loss = -(target * torch.log_softmax(logits, -1)).sum(-1)
        loss = (loss * batch.weight).sum() / batch.weight.sum().clamp_min(1.0)
        value = gradient_step(
            loss, self.critic_optimizer, self.of_critics, self.ranks, self.config.max_grad_norm,
            "critics' loss",
        )  # fmt: skip
        with torch.no_grad():
            expected = float(self.critics.values(logits).mean())
        return {"loss/critic": value, "critic/value": expected}

    def _target(self, batch: Steps) -> torch.Tensor:
        """[B, K] the distribution that both critics learn."""
        c = self.config
        actions = self.actor(batch.next_obs["actor"])
        noise = c.smoothing * torch.randn_like(actions)
        actions = actions + noise.clamp(-c.smoothing_clip, c.smoothing_clip)
        return self._bootstrapped(batch, actions, batch.rewards)

    def _bootstrapped(
        self, batch: Steps, actions: torch.Tensor, rewards: torch.Tensor
    ) -> torch.Tensor:
        state = self.critic_normaliser(batch.next_obs["critic"])
        ahead = torch.softmax(self.targets(state, actions), -1)
        atoms = self.targets.atoms
        chosen = of_both(ahead, atoms, self.config.clipped_double)
        return projected(chosen, rewards, batch.discount, atoms)

    def _actor_step(self, batch: Steps) -> dict[str, float]:
        actions = self.actor(batch.obs["actor"])
        loss = -self._worth(batch, actions).mean()
        return {"loss/actor": self._improve(loss)}

    def _worth(self, batch: Steps, actions: torch.Tensor) -> torch.Tensor:
        """[B] what the critics expect of actions in the states of a batch."""
        self.critics.requires_grad_(False)
        logits = self.critics(self.critic_normaliser(batch.obs["critic"]), actions)
        self.critics.requires_grad_(True)
        both = self.critics.values(logits)
        return both.amin(0) if self.config.clipped_double else both.mean(0)

    def _improve(self, loss: torch.Tensor) -> float:
        return gradient_step(
            loss, self.actor_optimizer, self.of_actor, self.ranks, self.config.max_grad_norm,
            "actor's loss",
        )  # fmt: skip

    @torch.no_grad()
    def _follow(self) -> None:
        for ours, theirs in zip(self.targets.parameters(), self.of_critics, strict=True):
            ours.lerp_(theirs, self.config.tau)

    def _take_into_normalisers(self) -> None:
        newest = self.memory.order[-self.steps :]
        self._normalise(*(self.memory.obs[group][newest].flatten(0, 1) for group in GROUPS))

    def _normalise(self, actor: torch.Tensor, critic: torch.Tensor) -> None:
        self.actor.normalise(actor)
        if isinstance(self.critic_normaliser, EmpiricalNormalization):
            self.critic_normaliser.update(critic)

    # state ---------------------------------------------------------------------------------

    def policy(self) -> SquashedActor:
        """The deterministic policy."""
        return self.actor.plain()

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critics.state_dict(),
            "targets": self.targets.state_dict(),
            "critic_normaliser": self.critic_normaliser.state_dict(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "updates": self.updates,
            "width": self.width,
            "memory": self.memory.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            RuntimeError, ValueError: networks of other sizes.
        """
        self.load_networks(state)
        self.targets.load_state_dict(state["targets"])
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.updates = int(state["updates"])
        self.memory.load_state_dict(state["memory"])
        if len(state["width"]) == self.memory.num_envs:
            self.width = state["width"].to(self.width.device)

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take actor and critics with their normalisers from another run's state.

        Raises:
            RuntimeError: networks of other sizes.
        """
        self.actor.load_state_dict(state["actor"])
        self.critics.load_state_dict(state["critic"])
        self.targets.load_state_dict(state["critic"])
        self.critic_normaliser.load_state_dict(state["critic_normaliser"])
        self._started = True
