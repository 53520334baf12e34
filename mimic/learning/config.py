"""Numbers of a training run, and the presets they come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from mimic_base.errors import MimicError

Activation = Literal["elu", "relu", "lrelu", "swish", "gelu", "mish", "tanh", "softplus"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides how a policy is trained, apart from the task itself.

    PPO as in Schulman et al. 2017 (arXiv 1707.06347) with a learning rate steered by the KL
    divergence between the policy before and after each step.
    """

    num_envs: int = 1024
    """Environments simulated side by side."""
    iterations: int = 1000
    """Iterations of the whole run; a resumed run continues up to this number."""
    steps_per_iteration: int = 24
    """Control steps of each environment in an iteration."""
    actor_hidden: tuple[int, ...] = (256, 256, 128)
    """Widths of the actor's hidden layers."""
    critic_hidden: tuple[int, ...] = (256, 256, 128)
    """Widths of the critic's hidden layers."""
    activation: Activation = "elu"
    """Activation of the hidden layers."""
    obs_normalization: bool = True
    """Normalise observations by their running mean and standard deviation."""
    init_std: float = 0.4
    """Standard deviation of the actions at the start."""
    std_type: Literal["scalar", "log"] = "scalar"
    """Whether the standard deviation or its logarithm is learnt."""
    command_feedthrough: bool = True
    """Add the commanded joint targets to the network's output: an untrained policy already asks
    for the reference pose. What an action means stays the same."""
    output_gain: float = 0.01
    """Scale of the actor's last layer at the start; 0 keeps torch's own initialisation."""
    learning_rate: float = 1e-3
    """Learning rate of Adam at the start."""
    learning_rate_range: tuple[float, float] = (1e-5, 1e-2)
    """Bounds of the adaptive learning rate."""
    critic_learning_rate: float = 0.0
    """Fixed learning rate of the critic; 0 lets it share the actor's steered one, which a small
    batch's noise keeps too low for the critic to follow."""
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    """Steer the learning rate by the KL divergence, or leave it."""
    desired_kl: float = 0.015
    """KL divergence of a policy update the adaptive learning rate aims at."""
    epochs: int = 3
    """Passes over an iteration's samples."""
    minibatches: int = 4
    """Gradient steps in a pass."""
    physics_hz: float = 200.0
    """Rate of the physics in training. 100 takes half the work for nearly the same motion;
    evaluation and playing always use at least 200."""
    symmetry: bool = False
    """Train on each sample's left-right mirror image too (Mittal et al. 2024, arXiv 2403.04359)."""
    gamma: float = 0.99
    """Discount of a control step."""
    gae_lambda: float = 0.95
    """Decay of the generalised advantage estimate."""
    clip: float = 0.2
    """Clipping of the probability ratio, and of the value's change where that is clipped."""
    clipped_value_loss: bool = True
    """Clip the change of the value prediction too."""
    value_coef: float = 1.0
    """Weight of the value loss."""
    entropy_coef: float = 0.005
    """Weight of the entropy bonus."""
    max_grad_norm: float = 1.0
    """Largest norm of a network's gradient."""
    randomisation_start: float = 1.0
    """Strength of pushes and start noise at the first iteration, as a share of the task's."""
    randomisation_ramp: int = 0
    """Iterations over which the strength grows to the task's own."""
    drift_limit: float = 0.0
    """Episodes also end when the robot's anchor is this far from the reference's, horizontally, m.
    Without it, stepping in place pays nearly as well as walking. 0: never, as in BeyondMimic."""
    ema_decay: float = 0.0
    """Decay per iteration of an average of the actor's weights, used for evaluation and export;
    0 uses the weights themselves."""
    workers: int = 0
    """Threads that share a gradient step on the CPU; 0 is one per core."""
    checkpoint_interval: int = 50
    """Iterations between checkpoints."""
    keep_checkpoints: int = 5
    """Numbered checkpoints to keep, besides last.pt."""
    log_interval: int = 10
    """Iterations between lines where the output is not a terminal."""

    def __post_init__(self) -> None:
        for name in (
            "num_envs", "iterations", "steps_per_iteration", "epochs", "minibatches",
            "checkpoint_interval", "keep_checkpoints", "log_interval",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise MimicError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("init_std", "learning_rate", "desired_kl", "max_grad_norm", "clip"):
            if not getattr(self, name) > 0:
                raise MimicError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.physics_hz >= 1:
            raise MimicError(f"physics_hz must be at least 1, got {self.physics_hz}")
        if not self.drift_limit >= 0:
            raise MimicError(f"drift_limit must not be negative, got {self.drift_limit}")
        for name in ("gamma", "gae_lambda", "ema_decay", "randomisation_start"):
            if not 0 <= getattr(self, name) <= 1:
                raise MimicError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if self.minibatches > self.samples_per_iteration:
            raise MimicError(
                f"{self.minibatches} minibatches of {self.samples_per_iteration} samples: use "
                "more environments, more steps per iteration or fewer minibatches"
            )

    @property
    def samples_per_iteration(self) -> int:
        return self.num_envs * self.steps_per_iteration

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON gives them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The configuration a run was started with; unknown names are of another version."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise MimicError(f"training configuration has unknown entries {', '.join(unknown)}")
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**plain)


PRESETS: Mapping[str, TrainConfig] = {
    # Sized for a laptop: a small batch, small networks, a start near the reference.
    "cpu": TrainConfig(
        num_envs=512,
        init_std=0.5,
        learning_rate=3e-4,
        critic_learning_rate=1e-3,
        desired_kl=0.035,
        physics_hz=100.0,
        clipped_value_loss=False,
        entropy_coef=0.008,
        gamma=0.98,
        randomisation_start=0.25,
        randomisation_ramp=3000,
        drift_limit=0.7,
    ),
    # BeyondMimic's numbers (arXiv 2508.08241).
    "gpu": TrainConfig(
        num_envs=4096,
        iterations=30_000,
        actor_hidden=(512, 256, 128),
        critic_hidden=(512, 256, 128),
        init_std=1.0,
        command_feedthrough=False,
        output_gain=0.0,
        desired_kl=0.01,
        epochs=5,
        checkpoint_interval=500,
    ),
}
