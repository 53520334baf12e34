"""Numbers of the world-model trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mimic.learning.config import (
    ActorCriticConfig,
    LoopConfig,
    Preset,
    _at_least_one,
    _in_unit_interval,
    _positive,
)
from mimic_base.errors import MimicError


def _networks() -> ActorCriticConfig:
    return ActorCriticConfig(critic_hidden=(128, 128), activation="swish")


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """A learnt model of the robot, and a policy that follows the gradient of the task's reward
    through it (after SuperMimic, arXiv 2610.28480)."""

    networks: ActorCriticConfig = field(default_factory=_networks)
    """Actor, as PPO's; and the widths of the critic."""
    steps: int = 12
    """Control steps of each environment in an iteration."""
    warmup_steps: int = 36
    """Control steps of each environment before anything is learnt."""
    replay_steps: int = 1024
    """Control steps of each environment kept in memory."""
    exploration: float = 0.2
    """Largest standard deviation of the noise on actions; each environment has its own, half of
    them white, half correlated in time."""

    model_hidden: tuple[int, ...] = (512, 512)
    """Widths of the model's hidden layers."""
    model_history: int = 0
    """Steps of the past that the model sees too: its inputs of each, which tell of contacts and of
    what differs between robots."""
    model_context: bool = False
    """Tell the model what domain randomisation has drawn for each robot: friction, masses, joint
    zeros, gains."""
    ensemble: int = 1
    """Networks of the model, each fitted to resamples of its own; where they disagree they know
    little (model/disagreement)."""
    ensemble_prediction: Literal["mean", "member"] = "mean"
    """Imagine by the mean of the networks, or each rollout by one of them (as PETS does)."""
    model_updates: int = 12
    """Gradient steps of the model in an iteration."""
    model_warmup_updates: int = 150
    """Gradient steps of the model before the policy learns."""
    model_batch: int = 1024
    """Transitions in a gradient step of the model."""
    model_recent: int = 100
    """Newest control steps that half of these come from."""
    model_learning_rate: float = 1e-3
    """Adam's."""
    model_fit_steps: int = 1
    """Steps that the model predicts from its own predictions while it is fitted; 1 is enough where
    rollouts are corrected."""

    corrected: bool = True
    """Add to each imagined step what the model was off by in the replayed one: rollouts of an
    unchanged policy are what really happened. Without it the model runs free."""
    imagination_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the model's matrix products in imagined steps; auto: bfloat16 where the
    processor multiplies it faster."""
    fitting_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the model's matrix products while it is fitted; its weights and their updates
    stay in single precision."""
    capture: Literal["auto", "on", "off"] = "auto"
    """Record the imagined rollouts and their gradient as one CUDA graph; auto: on a GPU, and where
    it cannot be recorded a line says why."""
    horizon: int = 16
    """Control steps of an imagined rollout."""
    rollouts: int = 128
    """Rollouts in a gradient step of the policy."""
    recent: int = 60
    """Newest control steps that rollouts start from."""
    policy_updates: int = 4
    """Gradient steps of the policy and of the critic in an iteration."""
    policy_learning_rate: float = 5e-4
    """Adam's, for what Muon does not move."""
    muon_learning_rate: float = 4e-3
    """Muon's, for the policy's hidden matrices; 0 leaves them to Adam."""
    anneal: float = 1.0
    """Power of the missing part of the return, (1 - value) / 0.6, by which both shrink from there
    on; 0 keeps them."""
    critic_learning_rate: float = 1e-3
    """Adam's."""
    critic_updates: int = 1
    """Gradient steps of the critic after one of the policy, on its rollouts."""
    critic_batch: int = 2048
    """States in a gradient step of the critic."""
    target_rate: float = 0.05
    """Share of the critic that its target network takes in a gradient step."""
    gamma: float = 0.98
    """Discount of a control step."""
    td_lambda: float = 0.95
    """Decay of the critic's targets over a rollout."""
    softness: float = 0.08
    """Width, in parts of a failure's limit, over which an imagined episode ends."""
    state_gradient_limit: float = 1.0
    """Largest norm of the gradient that a robot's state hands back to the step before."""
    max_grad_norm: float = 1.0
    """Largest norm of a network's gradient."""
    ema_decay: float = 0.98
    """Decay per gradient step of an average of the policy's weights, used for evaluation and
    export; 0 uses the weights themselves."""

    workers: int = 1
    """Threads that share a gradient step on the CPU; 0 is one per core. Its operations are small:
    more than one pay for wide networks alone."""

    guard: float = 1.0
    """Rollouts are no longer than the model is better than a robot that keeps its velocity: the
    largest ratio of the two errors; 0 never shortens them."""
    shortest_horizon: int = 4
    """Control steps below which the guard does not go."""
    diagnose_every: int = 5
    """Iterations between two measurements of the model's and the critic's errors."""

    def __post_init__(self) -> None:
        _at_least_one(
            self, "steps", "warmup_steps", "replay_steps", "model_updates", "model_batch",
            "model_recent", "model_fit_steps", "horizon", "rollouts", "recent", "policy_updates",
            "critic_batch", "critic_updates", "shortest_horizon", "diagnose_every", "ensemble",
        )  # fmt: skip
        _positive(
            self, "model_learning_rate", "policy_learning_rate", "critic_learning_rate",
            "softness", "state_gradient_limit", "max_grad_norm",
        )  # fmt: skip
        _in_unit_interval(self, "target_rate", "gamma", "td_lambda", "ema_decay")
        for name in (
            "exploration", "anneal", "workers", "muon_learning_rate", "guard",
            "model_warmup_updates", "model_history",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < float("inf"):
                raise MimicError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.gamma >= 1.0:
            raise MimicError(f"gamma must be below 1, got {self.gamma}")
        least = self.horizon + self.steps + 2
        if self.replay_steps < least:
            raise MimicError(
                f"replay_steps must be at least horizon + steps + 2 = {least}, got "
                f"{self.replay_steps}"
            )
        if self.ensemble_prediction == "member" and self.rollouts % self.ensemble:
            raise MimicError(
                f"rollouts must be a multiple of ensemble where each is imagined by one member, "
                f"got {self.rollouts} and {self.ensemble}"
            )
        if any(width < 1 for width in self.model_hidden) or not self.model_hidden:
            raise MimicError(f"model_hidden must be widths of at least 1, got {self.model_hidden}")


PRESETS: Mapping[str, Preset] = {
    # One core of a laptop: a clip of some seconds in minutes.
    "cpu": Preset(
        algorithm=WorldModelConfig(),
        loop=LoopConfig(num_envs=128, iterations=400, checkpoint_interval=25, keep_checkpoints=2),
        task={"physics_hz": 100.0, "randomisation_start": 0.4, "randomisation_ramp": 3000},
        drift_limit=0.7,
    ),
    # Many clips on one large GPU, everything on it. Its numbers follow the published ones (batches
    # of thousands, a policy of 1024-512-256); none has been measured here.
    "gpu": Preset(
        algorithm=WorldModelConfig(
            networks=ActorCriticConfig(
                actor_hidden=(1024, 512, 256), critic_hidden=(512, 256), activation="swish"
            ),
            steps=4,
            replay_steps=96,
            model_hidden=(1024, 1024),
            model_updates=4,
            model_batch=8192,
            model_recent=48,
            rollouts=4096,
            critic_batch=16_384,
            ema_decay=0.995,
            diagnose_every=25,
        ),
        loop=LoopConfig(
            num_envs=4096, iterations=5000, checkpoint_interval=100, keep_checkpoints=10
        ),
    ),
}
