"""Numbers of a training run, and the presets they come in.

A run is ``RunConfig(task, algorithm, loop)``: what is learnt, how, and for how long. The numbers of
a task belong to the task, those of an algorithm to its own configuration class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from mimic.configuration import from_plain, nearest, to_plain
from mimic.learning.networks import NetworkChoice
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import TaskConfig

Activation = Literal["elu", "relu", "lrelu", "swish", "gelu", "mish", "tanh", "softplus"]


def _at_least_one(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise MimicError(f"{name} must be at least 1, got {getattr(config, name)}")


def _positive(config: Any, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise MimicError(f"{name} must be positive, got {getattr(config, name)}")


def _not_negative(config: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < float("inf"):
            raise MimicError(f"{name} must not be negative, got {getattr(config, name)}")


def _in_unit_interval(config: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise MimicError(f"{name} must lie in [0, 1], got {getattr(config, name)}")


@dataclass(frozen=True, kw_only=True)
class ActorCriticConfig:
    """The networks of an actor and its critic: all that must be known to play a checkpoint."""

    actor_network: str = "mlp"
    """The actor's network: mlp, moe (mixture of experts), transformer (over later frames of the
    reference), or package.module:Class; options follow a colon (moe:experts=6)."""
    critic_network: str = "mlp"
    """The critic's, likewise."""
    actor_hidden: tuple[int, ...] = (256, 256, 128)
    """Widths of the actor's hidden layers; of each expert, and of what follows a transformer."""
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

    def __post_init__(self) -> None:
        _positive(self, "init_std")
        for text in (self.actor_network, self.critic_network):
            NetworkChoice.parse(text)
        for name in ("actor_hidden", "critic_hidden"):
            widths = getattr(self, name)
            if not widths:
                raise MimicError(f"{name} must be one or more widths, got none")
            if any(width < 1 for width in widths):
                raise MimicError(f"{name} must be widths of at least 1, got {widths}")


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """PPO as in Schulman et al. 2017 (arXiv 1707.06347), with a learning rate steered by the KL
    divergence between the policy before and after each step."""

    networks: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    """Actor and critic."""
    steps: int = 24
    """Control steps of each environment in an iteration."""
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
    symmetry: bool = False
    """Train on each sample's left-right mirror image too (Mittal et al. 2024, arXiv 2403.04359)."""
    symmetry_loss: float = 0.0
    """Weight of a loss on what the policy does in a mirror image, against the mirror image of what
    it does: ``|pi(M s) - M pi(s)|^2`` (Yu et al. 2018, arXiv 1801.08093); 0: none."""
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
    lipschitz: float = 0.0
    """Weight of a penalty on how fast the policy changes with what it sees, which makes it smooth
    (Chen et al. 2024, arXiv 2410.11825, with 0.002); 0: none."""
    max_grad_norm: float = 1.0
    """Largest norm of a network's gradient."""
    ema_decay: float = 0.0
    """Decay per iteration of an average of the actor's weights, used for evaluation and export;
    0 uses the weights themselves."""
    workers: int = 0
    """Threads that share a gradient step on the CPU; 0 is one per core."""

    def __post_init__(self) -> None:
        _at_least_one(self, "steps", "epochs", "minibatches")
        _positive(self, "learning_rate", "desired_kl", "max_grad_norm", "clip")
        _in_unit_interval(self, "gamma", "gae_lambda", "ema_decay")
        least, most = self.learning_rate_range
        if not 0 < least <= most < float("inf"):
            raise MimicError(
                f"learning_rate_range must be two positive rates, the smaller first, got "
                f"{self.learning_rate_range}"
            )
        for name in (
            "critic_learning_rate", "value_coef", "entropy_coef", "lipschitz", "symmetry_loss",
            "workers",
        ):  # fmt: skip
            if not 0 <= getattr(self, name) < float("inf"):
                raise MimicError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long a run trains, on how many environments, and what it keeps."""

    num_envs: int = 1024
    """Environments simulated side by side."""
    iterations: int = 1000
    """Iterations of the whole run; a resumed run continues up to this number."""
    checkpoint_interval: int = 50
    """Iterations between checkpoints."""
    keep_checkpoints: int = 5
    """Numbered checkpoints to keep, besides last.pt."""
    log_interval: int = 10
    """Iterations between lines where the output is not a terminal."""

    def __post_init__(self) -> None:
        _at_least_one(
            self, "num_envs", "iterations", "checkpoint_interval", "keep_checkpoints",
            "log_interval",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides what a run learns."""

    task: TaskConfig | None = None
    """The task, every term with its numbers; None where the environment is given by other means."""
    algorithm_name: str = "ppo"
    """Name of the algorithm, or its ``package.module:Class``."""
    algorithm: Any = field(default_factory=PPOConfig)
    """Configuration of the algorithm: an instance of its class's ``Config``."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The loop around both."""

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it; see ``mimic.configuration``."""
        return {
            "task": to_plain(self.task, type(self.task)),
            "algorithm_name": self.algorithm_name,
            "algorithm": to_plain(self.algorithm, type(self.algorithm)),
            "loop": to_plain(self.loop, LoopConfig),
        }

    @classmethod
    def from_plain(
        cls, plain: Mapping[str, Any], *, source: str, task_type: type | None = None
    ) -> RunConfig:
        """Read what ``to_plain`` has written.

        Args:
            source: file it comes from, for refusals.
            task_type: class of the task; None leaves the task unread, and its code unimported.

        Raises:
            MimicError: an unknown or missing field, an unknown algorithm.
        """
        from mimic.learning.registry import config_class

        for name in ("algorithm_name", "algorithm", "loop"):
            if name not in plain:
                raise MimicError(
                    f"{source}: {name}: missing field of RunConfig; given: "
                    f"{', '.join(map(str, plain)) or '-'}"
                )
        name = plain["algorithm_name"]
        task = None
        if task_type is not None and plain.get("task") is not None:
            task = from_plain(task_type, plain["task"], source=f"{source}: task")
        return cls(
            task=task,
            algorithm_name=name,
            algorithm=from_plain(
                config_class(name), plain["algorithm"], source=f"{source}: algorithm"
            ),
            loop=from_plain(LoopConfig, plain["loop"], source=f"{source}: loop"),
        )


# presets ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A run's numbers for one kind of machine, with what they change in the task."""

    algorithm: Any
    """Numbers of the algorithm it is for; another one starts from its own."""
    loop: LoopConfig
    """Numbers of the loop."""
    task: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the task that it sets, by their short names or by their paths in the task
    (``rewards.action_rate.weight``); those of terms that a task has not are left out."""
    drift_limit: float = 0.0
    """Episodes of a tracking task also end when the robot's anchor is this far from the
    reference's, horizontally, m. Without it, stepping in place pays nearly as well as walking.
    0: never, as in BeyondMimic."""


PRESETS: Mapping[str, Preset] = {
    # Sized for a laptop: a small batch, small networks, a start near the reference.
    "cpu": Preset(
        algorithm=PPOConfig(
            networks=ActorCriticConfig(init_std=0.5),
            learning_rate=3e-4,
            critic_learning_rate=1e-3,
            desired_kl=0.035,
            clipped_value_loss=False,
            entropy_coef=0.008,
            gamma=0.98,
        ),
        loop=LoopConfig(num_envs=512),
        task={"physics_hz": 100.0, "randomisation_start": 0.25, "randomisation_ramp": 3000},
        drift_limit=0.7,
    ),
    # BeyondMimic's numbers (arXiv 2508.08241).
    "gpu": Preset(
        algorithm=PPOConfig(
            networks=ActorCriticConfig(
                actor_hidden=(512, 256, 128),
                critic_hidden=(512, 256, 128),
                init_std=1.0,
                command_feedthrough=False,
                output_gain=0.0,
            ),
            desired_kl=0.01,
            epochs=5,
        ),
        loop=LoopConfig(num_envs=4096, iterations=30_000, checkpoint_interval=500),
    ),
}


# short names -----------------------------------------------------------------------------------

SHORT_NAMES: Mapping[str, str] = {
    **{each.name: f"loop.{each.name}" for each in dataclasses.fields(LoopConfig)},
    **{
        each.name: f"algorithm.{each.name}"
        for each in dataclasses.fields(PPOConfig)
        if each.name not in ("networks", "steps")
    },
    **{
        each.name: f"algorithm.networks.{each.name}"
        for each in dataclasses.fields(ActorCriticConfig)
    },
    "steps_per_iteration": "algorithm.steps",
    "physics_hz": "task.physics_hz",
    "motion_scene": "task.motion_scene",
    "randomisation_start": "task.curriculum.randomisation.parameters.start",
    "randomisation_ramp": "task.curriculum.randomisation.parameters.iterations",
    "drift_limit": "task.terminations.anchor_drift.parameters.threshold",
}
"""Names without a group, as options of the command line and in run directories of the first
schema, and the field each stands for."""


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """A configuration with other values at dotted paths (``loop.num_envs``).

    Raises:
        MimicError: no such field.
    """
    for path, value in values.items():
        config = _with_value(config, path.split("."), value, path)
    return config


def run_config(base: RunConfig | None = None, **values: Any) -> RunConfig:
    """A configuration with values by their short names: ``run_config(num_envs=8, clip=0.1)``.

    Raises:
        MimicError: an unknown name.
    """
    for name in values:
        if name not in SHORT_NAMES:
            known = list(SHORT_NAMES)
            raise MimicError(f"unknown setting '{name}'{nearest(name, known)}")
    return with_values(
        base or RunConfig(), {SHORT_NAMES[name]: value for name, value in values.items()}
    )


def _with_value(config: Any, path: list[str], value: Any, whole: str) -> Any:
    if not path:
        return value
    name, rest = path[0], path[1:]
    if isinstance(config, Mapping):
        if name not in config:
            raise MimicError(f"{whole}: no '{name}'{nearest(name, list(config))}")
        return {**config, name: _with_value(config[name], rest, value, whole)}
    known = [each.name for each in dataclasses.fields(config)] if config is not None else []
    if name not in known:
        raise MimicError(f"{whole}: no '{name}'{nearest(name, known)}")
    changed: Any = config
    return replace(changed, **{name: _with_value(getattr(changed, name), rest, value, whole)})
