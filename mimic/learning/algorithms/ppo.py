"""PPO: rsl_rl's algorithm with a gradient step that several CPU threads share."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from rsl_rl import algorithms
from rsl_rl.models import MLPModel
from rsl_rl.modules.distribution import GaussianDistribution
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import nn

from mimic.envs.spec import EnvSpec
from mimic.envs.threads import few_threads
from mimic.learning.algorithm import NonFiniteError, Transition
from mimic.learning.config import PPOConfig
from mimic.learning.distributed import SINGLE, Ranks
from mimic.learning.modules.actor_critic import PlainActor, build_networks
from mimic.learning.modules.average import WeightAverage
from mimic_base.errors import MimicError

Reflect = Callable[[torch.Tensor], torch.Tensor]

MIN_ROWS = 256
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


GROUPS = ("actor", "critic")


class PPO:
    """Proximal policy optimisation with an actor, a critic and an average of the actor's weights.

    A truncated episode goes on with the critic's value of the state it was left in, as in rsl_rl.
    """

    Config = PPOConfig
    takes_actor_of = frozenset({"world-model", "dagger", "ppo-kl", "supervised-then-rl"})

    def __init__(self, trainer: ParallelPPO, config: PPOConfig) -> None:
        self.trainer = trainer
        self.config = config
        self.steps = config.steps
        self.average = (
            WeightAverage(trainer.actor, config.ema_decay) if config.ema_decay > 0 else None
        )
        self._started = False
        self._last_obs: TensorDict | None = None

    @classmethod
    def build(cls, spec: EnvSpec, config: PPOConfig, device: str, ranks: Ranks) -> Self:
        """Make networks, optimiser and the memory for one iteration's steps.

        Raises:
            MimicError: an observation group is absent, more minibatches than samples, or no
                mirror image where ``symmetry`` is wanted.
        """
        c, sizes = config, spec.sizes
        missing = [group for group in GROUPS if group not in sizes]
        if missing:
            raise MimicError(
                f"PPO needs the observation groups actor and critic; task '{spec.task}' has "
                f"{', '.join(sizes)}"
            )
        samples = spec.num_envs * c.steps
        if spec.num_envs and c.minibatches > samples:
            raise MimicError(
                f"{c.minibatches} minibatches of {samples} samples: use more environments, more "
                "steps per iteration or fewer minibatches"
            )
        feedthrough = spec.command_feedthrough() if c.networks.command_feedthrough else None
        actor, critic = build_networks(
            c.networks, sizes, spec.num_actions, feedthrough, spec.observations
        )
        obs = TensorDict(
            {group: torch.zeros(spec.num_envs, sizes[group], device=device) for group in GROUPS},
            batch_size=[spec.num_envs],
        )
        storage = RolloutStorage("rl", spec.num_envs, c.steps, obs, [spec.num_actions], device)
        trainer = ParallelPPO(
            actor.to(device), critic.to(device), storage,
            num_learning_epochs=c.epochs, num_mini_batches=c.minibatches, clip_param=c.clip,
            gamma=c.gamma, lam=c.gae_lambda, value_loss_coef=c.value_coef,
            entropy_coef=c.entropy_coef, learning_rate=c.learning_rate,
            critic_learning_rate=c.critic_learning_rate,
            learning_rate_range=c.learning_rate_range, max_grad_norm=c.max_grad_norm,
            use_clipped_value_loss=c.clipped_value_loss, schedule=c.schedule,
            desired_kl=c.desired_kl, workers=c.workers, device=device, ranks=ranks,
            reflections=spec.reflections() if c.symmetry else None, lipschitz=c.lipschitz,
            mirror=spec.reflections() if c.symmetry_loss else None, mirror_coef=c.symmetry_loss,
        )  # fmt: skip
        trainer.train_mode()
        ranks.same_start([trainer.actor, trainer.critic])
        return cls(trainer, c)

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] drawn from the actor's distribution."""
        chosen = obs.select(*GROUPS)
        if not self._started:
            # Without this the first iteration would see raw observations and the second others.
            self.trainer.actor.update_normalization(chosen)
            self.trainer.critic.update_normalization(chosen)
            self._started = True
        return self.trainer.act(chosen)

    def observe(self, transition: Transition) -> None:
        """Record a control step."""
        self._last_obs = transition.next_obs
        self.trainer.process_env_step(
            transition.next_obs,
            transition.rewards,
            transition.dones,
            {"time_outs": transition.truncated},
        )

    def update(self) -> dict[str, float]:
        """Train on the recorded steps.

        Returns:
            Losses, entropy and KL divergence, the actions' standard deviation, the learning rate.

        Raises:
            NonFiniteError: before weights or normalisers could be spoilt.
        """
        trainer = self.trainer
        assert self._last_obs is not None
        with torch.no_grad(), few_threads(trainer.storage.num_envs):
            trainer.compute_returns(self._last_obs)
        losses = trainer.update()
        if self.average is not None:
            self.average.update(trainer.actor)
        return {
            **{f"loss/{name}": value for name, value in losses.items()},
            "action_std": float(trainer.actor.output_std.mean()),
            "learning_rate": trainer.learning_rate,
        }

    def policy(self) -> PlainActor:
        """The deterministic policy, with averaged weights where they are kept."""
        plain = PlainActor(self.trainer.actor)
        if self.average is not None:
            plain.load_weights(self.average.weights)
        return plain

    def state_dict(self) -> dict[str, Any]:
        trainer = self.trainer
        return {
            "actor": trainer.actor.state_dict(),
            "critic": trainer.critic.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "learning_rate": trainer.learning_rate,
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``.

        Raises:
            RuntimeError, ValueError: networks of other sizes.
        """
        self.load_networks(state)
        self.trainer.optimizer.load_state_dict(state["optimizer"])
        self.trainer.learning_rate = state["learning_rate"]
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Take actor and critic with their normalisers from another run's state.

        Raises:
            RuntimeError: networks of other sizes.
        """
        self.trainer.actor.load_state_dict(state["actor"])
        self.trainer.critic.load_state_dict(state["critic"])
        self._started = True
        if self.average is not None:
            self.average = WeightAverage(self.trainer.actor, self.config.ema_decay)

    def load_actor(self, actor: Mapping[str, Any]) -> None:
        """Take an actor with its normaliser; it explores as a new one does.

        Raises:
            RuntimeError: an actor of other sizes.
        """
        own = {name: value for name, value in self.trainer.actor.state_dict().items()
               if name.startswith("distribution.")}  # fmt: skip
        self.trainer.actor.load_state_dict({**actor, **own})
        self._started = True
        if self.average is not None:
            self.average = WeightAverage(self.trainer.actor, self.config.ema_decay)


@dataclass(frozen=True)
class _Rollout:
    """An iteration's samples, shuffled; B = steps * environments rows."""

    actor_input: torch.Tensor  # [B, D] normalised
    skip: torch.Tensor | None  # [B, A] added to the actor's output
    critic_input: torch.Tensor  # [B, D'] normalised
    actions: torch.Tensor  # [B, A]
    old_mean: torch.Tensor  # [B, A]
    old_std: torch.Tensor  # [A]
    # [B, 4]: log probability, value, return, advantage
    scalars: torch.Tensor
    teacher: torch.Tensor | None = None  # [B, A] what a teacher would have done
    teacher_std: torch.Tensor | None = None  # [B, A]
    image_input: torch.Tensor | None = None  # [B, D] of the mirror images
    image_skip: torch.Tensor | None = None  # [B, A]


@dataclass(eq=False)
class Guide:
    """A teacher beside a rollout of T steps: ``weight`` times the distance from it is part of the
    loss."""

    kind: Literal["kl", "mse"]
    """``kl``: the divergence ``KL(student || teacher)`` of the two distributions; ``mse``: the mean
    square of the difference of their means."""
    weight: float
    """Factor of the distance."""
    actions: torch.Tensor
    """[T, N, A] what the teacher would have done in the states of the rollout."""
    choice: torch.Tensor
    """[T, N] which teacher it was."""
    stds: torch.Tensor
    """[K, A] standard deviation of each teacher's actions."""


def gaussian_kl(
    mean: torch.Tensor, std: torch.Tensor, other: torch.Tensor, other_std: torch.Tensor
) -> torch.Tensor:
    """[B] ``KL(N(mean, std) || N(other, other_std))`` of Gaussians [B, A] with independent
    components: ``sum_a log(s'/s) + (s^2 + (m - m')^2) / (2 s'^2) - 1/2``."""
    moved = (std.square() + (mean - other).square()) / (2.0 * other_std.square())
    return (torch.log(other_std / std) + moved - 0.5).sum(-1)


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
        return dict(zip(names, totals.tolist(), strict=True))

    def _shuffled_rollout(self) -> _Rollout:
        # Minibatches are the same in every epoch, so that one shuffle serves them all and each is
        # a slice.
        st = self.storage
        assert st.distribution_params is not None
        order = torch.randperm(st.num_envs * st.num_transitions_per_env, device=self.device)
        reflections = self.reflections

        def shuffled(values: torch.Tensor, kind: str | None = None) -> torch.Tensor:
            rows = values.flatten(0, 1).index_select(0, order)
            if reflections is None:
                return rows
            # Each sample is followed by its mirror image, so that a minibatch holds both. The
            # density the sample was drawn with, its return and its advantage hold for both:
            # Mittal et al. 2024 (arXiv 2403.04359).
            image = rows if kind is None else reflections[kind](rows)
            return torch.stack([rows, image], 1).flatten(0, 1)

        names = {*self.actor.obs_groups, *self.critic.obs_groups}
        observations: Any = {name: shuffled(st.observations[name], name) for name in names}
        skip = getattr(self.actor, "skip", None)
        image_input = image_skip = None
        if self.mirror is not None:
            images: Any = {
                name: self.mirror[name](observations[name]) for name in self.actor.obs_groups
            }
            image_input = self.actor.get_latent(images)
            image_skip = None if skip is None else skip(images[self.actor.obs_groups[0]])
        scalars = (st.actions_log_prob, st.values, st.returns, st.advantages)
        guide, teacher, teacher_std = self.guide, None, None
        if guide is not None:
            teacher = shuffled(guide.actions, "actions")
            # A standard deviation has no sign.
            teacher_std = shuffled(guide.stds[guide.choice], "actions").abs()
        return _Rollout(
            actor_input=self.actor.get_latent(observations),
            skip=None if skip is None else skip(observations[self.actor.obs_groups[0]]),
            critic_input=self.critic.get_latent(observations),
            actions=shuffled(st.actions, "actions"),
            old_mean=shuffled(st.distribution_params[0], "actions"),
            # One standard deviation for all states: any row is the rollout's.
            old_std=st.distribution_params[1][0, 0],
            scalars=shuffled(torch.cat(scalars, -1)),
            teacher=teacher,
            teacher_std=teacher_std,
            image_input=image_input,
            image_skip=image_skip,
        )

    def _gradient_step(self, rollout: _Rollout, start: int, stop: int) -> torch.Tensor:
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
        self, networks: _Networks, rollout: _Rollout, start: int, stop: int, total: int
    ) -> torch.Tensor:
        """Add the gradients of rows ``start`` to ``stop``, a share of a minibatch of ``total``.

        Returns:
            [4 to 7] share of the minibatch's surrogate, value loss, KL divergence and entropy, of
            the distance from a teacher, of the policy's squared slope and of its asymmetry where
            they count.
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
            # E |d log pi(a | o) / d o|^2 over normalised observations.
            (slope,) = torch.autograd.grad(log_prob.sum(), seen, create_graph=True)
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
