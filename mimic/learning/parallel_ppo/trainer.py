"""rsl_rl's PPO with a gradient step that several CPU threads share."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl import algorithms
from rsl_rl.models import MLPModel
from rsl_rl.modules.distribution import GaussianDistribution
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import nn

from mimic.learning.algorithm import NonFiniteError
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.parallel_ppo.guide import Guide, gaussian_kl
from mimic.learning.parallel_ppo.regulariser import Regulariser
from mimic.learning.parallel_ppo.rollout import Reflect, Rollout, shuffled_rollout

MIN_ROWS = 256
"""Rows of a minibatch below which another thread costs more than it computes."""
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class _Networks:
    """What one worker differentiates."""

    actor: nn.Module
    critic: nn.Module
    std: nn.Parameter

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.actor.parameters(), *self.critic.parameters(), self.std]


class ParallelPPO(algorithms.PPO):
    """The same algorithm and results as ``rsl_rl.algorithms.PPO``, with less work per update.

    Observations are shuffled and normalised once an update instead of once a gradient step;
    Gaussian densities are written out; a minibatch is shared by threads that each differentiate
    their own copy of the networks (weights in common). Threads that never wait for each other
    inside an operation also keep their pace on a busy machine.
    """

    def __init__(
        self,
        actor: MLPModel,
        critic: MLPModel,
        storage: RolloutStorage,
        *,
        workers: int = 0,
        learning_rate_range: tuple[float, float] = (1e-5, 1e-2),
        learning_rate: float = 1e-3,
        critic_learning_rate: float = 0.0,
        reflections: Mapping[str, Reflect] | None = None,
        lipschitz: float = 0.0,
        mirror: Mapping[str, Reflect] | None = None,
        mirror_coef: float = 0.0,
        device: str = "cpu",
        ranks: Ranks = SINGLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            actor, critic, storage, learning_rate=learning_rate, device=device, **kwargs
        )
        if type(actor.distribution) is not GaussianDistribution:
            raise ValueError("ParallelPPO needs an actor with a GaussianDistribution")
        if self.rnd or self.symmetry or self.is_multi_gpu or actor.is_recurrent:
            raise ValueError("ParallelPPO trains feed-forward networks, several devices by ranks=")
        self.ranks = ranks
        on_cpu = torch.device(device).type == "cpu"
        samples = storage.num_envs * storage.num_transitions_per_env
        # Below some hundred rows a thread costs more than it computes.
        useful = max(1, samples // self.num_mini_batches // MIN_ROWS)
        self.workers = min(workers or torch.get_num_threads(), useful) if on_cpu else 1
        self.learning_rate_range = learning_rate_range
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(actor.parameters()), "lr": learning_rate},
                {"params": list(critic.parameters()), "lr": critic_learning_rate or learning_rate},
            ],
            fused=True,
        )
        self.critic_learning_rate = critic_learning_rate
        self.reflections = reflections
        self.lipschitz = lipschitz
        self.mirror, self.mirror_coef = mirror, mirror_coef
        self.guide: Guide | None = None
        self.regulariser: Regulariser | None = None
        self.surrogate_coef = 1.0
        self._copies: list[_Networks] = []
        self._pool: ThreadPoolExecutor | None = None

    def process_env_step(
        self,
        obs: TensorDict,
        rewards: torch.Tensor,
        dones: torch.Tensor,
        extras: dict[str, Any],
    ) -> None:
        """Record a control step; a truncated episode goes on with the critic's value."""
        step = self.transition
        time_outs = extras["time_outs"].to(self.device, torch.float32)
        assert step.values is not None
        step.rewards = rewards + self.gamma * step.values.squeeze(1) * time_outs
        step.dones = dones
        self.storage.add_transition(step)
        step.clear()

    def update(self) -> dict[str, float]:
        """Train on the stored rollout, then take its observations into the normalisers.

        Returns:
            Means over the gradient steps of the losses, the entropy and the KL divergence.

        Raises:
            NonFiniteError: before weights or normalisers could be spoilt.
        """
        with torch.no_grad():
            rollout = self._shuffled_rollout()
        size = len(rollout.actions) // self.num_mini_batches
        totals: torch.Tensor | float = 0.0
        for _ in range(self.num_learning_epochs):
            for start in range(0, size * self.num_mini_batches, size):
                totals += self._gradient_step(rollout, start, start + size)
        observations = self.storage.observations.flatten(0, 1)
        self.actor.update_normalization(observations)  # type: ignore[arg-type]
        self.critic.update_normalization(observations)  # type: ignore[arg-type]
        self.storage.clear()
        assert isinstance(totals, torch.Tensor)
        totals = totals / (self.num_learning_epochs * self.num_mini_batches)
        names = ["surrogate", "value", "kl", "entropy"]
        names += [] if self.guide is None else [f"teacher_{self.guide.kind}"]
        names += ["lipschitz"] if self.lipschitz > 0 else []
        names += ["asymmetry"] if self.mirror is not None else []
        names += [] if self.regulariser is None else [self.regulariser.name]
        return dict(zip(names, totals.tolist(), strict=True))

    def _shuffled_rollout(self) -> Rollout:
        return shuffled_rollout(
            self.storage, self.actor, self.critic, self.device,
            reflections=self.reflections, mirror=self.mirror, guide=self.guide,
        )  # fmt: skip

    def _gradient_step(self, rollout: Rollout, start: int, stop: int) -> torch.Tensor:
        self.optimizer.zero_grad()
        networks = self._networks_of_workers()
        total = stop - start
        if len(networks) == 1:
            sums = self._backward(networks[0], rollout, start, stop, total)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self.workers, "gradient", initializer=torch.set_num_threads, initargs=(1,)
                )
            cuts = [start + total * i // len(networks) for i in range(len(networks) + 1)]
            jobs = [
                self._pool.submit(self._backward, each, rollout, cuts[i], cuts[i + 1], total)
                for i, each in enumerate(networks)
            ]
            sums = torch.stack([job.result() for job in jobs]).sum(0)
            for each in networks[1:]:
                for ours, theirs in zip(networks[0].parameters, each.parameters, strict=True):
                    assert ours.grad is not None and theirs.grad is not None
                    ours.grad += theirs.grad
        self.ranks.average_gradients(networks[0].parameters)
        self.ranks.average(sums)
        norms = [
            nn.utils.clip_grad_norm_(model.parameters(), self.max_grad_norm)
            for model in (self.actor, self.critic)
        ]
        if not all(bool(torch.isfinite(value)) for value in (sums.sum(), *norms)):
            raise NonFiniteError(
                f"the loss is not finite (surrogate {sums[0]:.3g}, value {sums[1]:.3g}, "
                f"KL {sums[2]:.3g}, learning rate {self.learning_rate:.2g})"
            )
        self._steer_learning_rate(float(sums[2]))
        self.optimizer.step()
        return sums

    def _backward(
        self, networks: _Networks, rollout: Rollout, start: int, stop: int, total: int
    ) -> torch.Tensor:
        """Add the gradients of rows ``start`` to ``stop``, a share of a minibatch of ``total``.

        Returns:
            [4 to 8] share of the minibatch's surrogate, value loss, KL divergence and entropy, of
            the distance from a teacher, of the policy's squared slope, of its asymmetry and of a
            regulariser where they count.
        """
        part = slice(start, stop)
        std = self._std(networks.std)
        seen = rollout.actor_input[part]
        if self.lipschitz > 0:
            seen = seen.detach().requires_grad_(True)
        mean = networks.actor(seen)
        if rollout.skip is not None:
            mean = mean + rollout.skip[part]
        rows, dims = mean.shape
        share = rows / total
        error = (rollout.actions[part] - mean) / std
        log_std = torch.log(std).sum()
        log_prob = -0.5 * error.square().sum(-1) - log_std - dims * HALF_LOG_TWO_PI
        old_log_prob, old_value, returns, advantage = rollout.scalars[part].unbind(-1)

        ratio = torch.exp(log_prob - old_log_prob)
        clipped = ratio.clamp(1.0 - self.clip_param, 1.0 + self.clip_param)
        surrogate = torch.maximum(-advantage * ratio, -advantage * clipped).sum() / total

        value = networks.critic(rollout.critic_input[part]).squeeze(-1)
        value_loss = (value - returns).square()
        if self.use_clipped_value_loss:
            change = (value - old_value).clamp(-self.clip_param, self.clip_param)
            value_loss = torch.maximum(value_loss, (old_value + change - returns).square())
        value_loss = value_loss.sum() / total
        entropy = (log_std + dims * (0.5 + HALF_LOG_TWO_PI)) * share

        gain = self.surrogate_coef
        loss = gain * surrogate + self.value_loss_coef * value_loss
        loss = loss - gain * self.entropy_coef * entropy
        further = []
        if self.guide is not None:
            assert rollout.teacher is not None and rollout.teacher_std is not None
            other = rollout.teacher[part]
            if self.guide.kind == "kl":
                apart = gaussian_kl(mean, std, other, rollout.teacher_std[part]).sum() / total
            else:
                apart = (mean - other).square().mean() * share
            loss = loss + self.guide.weight * apart
            further.append(apart)
        if self.lipschitz > 0:
            # E |d log pi(a | o) / d o|^2 over normalised observations. The standard deviation is
            # taken as given: it would only be made larger, and the policy no smoother.
            off = (rollout.actions[part] - mean) / std.detach()
            told = -0.5 * off.square().sum()
            (slope,) = torch.autograd.grad(told, seen, create_graph=True)
            steep = slope.square().sum() / total
            loss = loss + self.lipschitz * steep
            further.append(steep.detach())
        if rollout.image_input is not None:
            assert self.mirror is not None
            image = networks.actor(rollout.image_input[part])
            if rollout.image_skip is not None:
                image = image + rollout.image_skip[part]
            uneven = (image - self.mirror["actions"](mean.detach())).square().mean() * share
            loss = loss + self.mirror_coef * uneven
            further.append(uneven)
        if self.regulariser is not None:
            extra = self.regulariser(networks.actor, rollout, part, mean) * share
            loss = loss + self.regulariser.weight * extra
            further.append(extra.detach())
        loss.backward()
        with torch.no_grad():
            moved = (rollout.old_mean[part] - mean).square() + rollout.old_std.square()
            kl = (moved / (2.0 * std.square())).sum() / total
            kl += (torch.log(std / rollout.old_std) - 0.5).sum() * share
            return torch.stack([surrogate, value_loss, kl, entropy, *further]).cpu()

    def _networks_of_workers(self) -> list[_Networks]:
        """The networks and, for every further worker, a copy that shares their weights."""
        distribution: Any = self.actor.distribution
        raw = distribution.std_param if self._scalar_std else distribution.log_std_param
        own = _Networks(self.actor.mlp, self.critic.mlp, raw)
        while len(self._copies) < self.workers - 1:
            self._copies.append(copy.deepcopy(own))
        for other in self._copies:
            for ours, theirs in zip(own.parameters, other.parameters, strict=True):
                theirs.data = ours.data
                theirs.grad = None
        return [own, *self._copies]

    @property
    def _scalar_std(self) -> bool:
        return getattr(self.actor.distribution, "std_type", "scalar") == "scalar"

    def _std(self, raw: torch.Tensor) -> torch.Tensor:
        """[A] standard deviation from the learnt parameter, as ``GaussianDistribution`` does."""
        distribution: Any = self.actor.distribution
        if self._scalar_std:
            return raw.clamp(*distribution.std_range)
        return torch.exp(raw.clamp(*distribution.log_std_range))

    def _steer_learning_rate(self, kl: float) -> None:
        if self.schedule != "adaptive":
            return
        low, high = self.learning_rate_range
        if kl > 2.0 * self.desired_kl:
            self.learning_rate = max(low, self.learning_rate / 1.5)
        elif 0.0 < kl < 0.5 * self.desired_kl:
            self.learning_rate = min(high, self.learning_rate * 1.5)
        actor, critic = self.optimizer.param_groups
        actor["lr"] = self.learning_rate
        critic["lr"] = self.critic_learning_rate or self.learning_rate
