"""PPO as an algorithm of this program: rsl_rl's, shared by several CPU threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from mimic.envs.spec import EnvSpec
from mimic.envs.threads import few_threads
from mimic.learning.algorithm import Transition
from mimic.learning.config import PPOConfig
from mimic.learning.distributed import Ranks
from mimic.learning.modules.actor_critic import PlainActor, build_networks
from mimic.learning.modules.average import WeightAverage
from mimic.learning.parallel_ppo.guide import Guide, gaussian_kl
from mimic.learning.parallel_ppo.trainer import ParallelPPO
from mimic_base.errors import MimicError

__all__ = ["PPO", "Guide", "ParallelPPO", "gaussian_kl"]

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
        spec.need("PPO", *GROUPS)
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
