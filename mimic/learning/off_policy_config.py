"""Numbers of the algorithms that learn from replayed experience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mimic.learning.config import PRESETS as PPO_PRESETS
from mimic.learning.config import (
    Activation,
    ActorCriticConfig,
    LoopConfig,
    Preset,
    _at_least_one,
    _in_unit_interval,
    _positive,
)
from mimic_base.errors import MimicError


@dataclass(frozen=True, kw_only=True)
class AWRConfig:
    """Advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177): actions that turned out
    better than expected are learnt by supervised regression, from old experience too."""

    networks: ActorCriticConfig = field(default_factory=lambda: ActorCriticConfig(init_std=0.4))
    """Actor and critic; the standard deviation of the actions stays what it is at the start."""
    steps: int = 24
    """Control steps of each environment in an iteration."""
    remembered: int = 4
    """Newest iterations that are learnt from; the paper keeps 50,000 steps of 2,048 each time."""
    temperature: float = 1.0
    """beta of the weights ``exp(A / beta)``, with advantages of mean 0 and variance 1."""
    weight_clip: float = 20.0
    """Largest weight of an action."""
    gamma: float = 0.99
    """Discount of a control step."""
    td_lambda: float = 0.95
    """Decay of the TD(lambda) returns."""
    critic_steps: int = 16
    """Gradient steps on the critic in an iteration."""
    actor_steps: int = 32
    """Gradient steps on the actor after them."""
    batch: int = 2048
    """Samples of a gradient step."""
    critic_learning_rate: float = 1e-3
    """Adam's, of the critic."""
    learning_rate: float = 3e-4
    """Adam's, of the actor."""
    max_grad_norm: float = 1.0
    """Largest norm of a network's gradient."""
    ema_decay: float = 0.0
    """Decay per iteration of an average of the actor's weights, used for evaluation and export;
    0 uses the weights themselves."""

    def __post_init__(self) -> None:
        _at_least_one(self, "steps", "remembered", "critic_steps", "actor_steps", "batch")
        _positive(
            self, "temperature", "weight_clip", "critic_learning_rate", "learning_rate",
            "max_grad_norm",
        )  # fmt: skip
        _in_unit_interval(self, "gamma", "td_lambda", "ema_decay")


_CPU, _GPU = PPO_PRESETS["cpu"], PPO_PRESETS["gpu"]

_AWR_QUICK = AWRConfig(
    gamma=0.98, temperature=0.3, learning_rate=1e-3, critic_steps=8, actor_steps=24
)
"""Sharper weights and quicker steps: with 1.0 the policy hardly moves in minutes."""
AWR_PRESETS: Mapping[str, Preset] = {
    "cpu": replace(_CPU, algorithm=_AWR_QUICK, loop=LoopConfig(num_envs=512)),
    "gpu": replace(
        _GPU,
        algorithm=AWRConfig(networks=replace(_GPU.algorithm.networks, init_std=0.4), batch=16_384),
    ),
}


@dataclass(frozen=True, kw_only=True)
class OffPolicyNetworks:
    """The networks of an off-policy actor and its two critics."""

    actor_hidden: tuple[int, ...] = (256, 256, 128)
    """Widths of the actor's hidden layers; on GPUs 512, 256, 128."""
    critic_hidden: tuple[int, ...] = (256, 256, 128)
    """Widths of each critic's; on GPUs 768, 384, 192."""
    activation: Activation = "swish"
    """Activation of the hidden layers."""
    layer_norm: bool = True
    """Normalise the layers, which keeps critics sane at many gradient steps per sample."""
    obs_normalization: bool = True
    """Normalise observations by their running mean and standard deviation."""
    command_feedthrough: bool = True
    """Add the commanded joint targets to the actor's output."""
    reach: float = 2.0
    """Largest action that the network adds or, without feedthrough, gives."""
    atoms: int = 101
    """Atoms of the critics' distribution of returns,"""
    values: tuple[float, float] = (-2.0, 5.0)
    """between these: a step of perfect tracking pays 0.1, so that no return is above
    0.1 / (1 - gamma)."""

    def __post_init__(self) -> None:
        _positive(self, "reach")
        for name in ("actor_hidden", "critic_hidden"):
            widths = getattr(self, name)
            if not widths or any(width < 1 for width in widths):
                raise MimicError(f"{name} must be one or more widths of at least 1, got {widths}")
        if self.atoms < 2 or not self.values[0] < self.values[1]:
            raise MimicError(
                f"returns need two atoms or more between two values, the smaller first, got "
                f"{self.atoms} between {self.values}"
            )


@dataclass(frozen=True, kw_only=True)
class FastTD3Config:
    """FastTD3 (Seo et al. 2025, arXiv 2505.22642): TD3 with many environments, a large memory,
    large batches and critics of the distribution of returns."""

    networks: OffPolicyNetworks = field(default_factory=OffPolicyNetworks)
    """Actor and critics."""
    steps: int = 4
    """Control steps of each environment in an iteration."""
    updates: int = 4
    """Gradient steps on the critics in an iteration."""
    actor_every: int = 2
    """Gradient steps on the critics for one on the actor."""
    batch: int = 2048
    """Transitions of a gradient step; 32,768 in the paper."""
    remembered: int = 512
    """Control steps of each environment in memory."""
    learning_starts: int = 10
    """Control steps of each environment before anything is learnt."""
    actor_starts: int = 200
    """Gradient steps on the critics before the first one on the actor."""
    n_steps: int = 1
    """Control steps over which rewards are added up before the critics are asked."""
    gamma: float = 0.97
    """Discount of a control step."""
    tau: float = 0.1
    """Share by which the target critics follow the critics after each gradient step."""
    clipped_double: bool = True
    """Believe the critic that expects less; else the mixture of both."""
    learning_rate: float = 3e-4
    """AdamW's, of the actor."""
    critic_learning_rate: float = 3e-4
    """AdamW's, of the critics."""
    weight_decay: float = 0.1
    """AdamW's."""
    max_grad_norm: float = 10.0
    """Largest norm of a network's gradient."""
    exploration: tuple[float, float] = (0.001, 0.4)
    """Smallest and largest standard deviation of the noise on actions; every environment has its
    own, drawn anew with each episode."""
    smoothing: float = 0.001
    """Standard deviation of the noise on the actions that targets are computed with,"""
    smoothing_clip: float = 0.5
    """and its largest size."""

    def __post_init__(self) -> None:
        _at_least_one(self, "steps", "updates", "actor_every", "batch", "n_steps")
        _positive(self, "learning_rate", "critic_learning_rate", "max_grad_norm", "tau")
        _in_unit_interval(self, "gamma", "tau")
        if self.remembered < self.steps + 1:
            raise MimicError(
                f"remembered must be more than the {self.steps} steps of an iteration, got "
                f"{self.remembered}"
            )
        low, high = self.exploration
        if not 0 <= low <= high < float("inf"):
            raise MimicError(
                f"exploration must be two standard deviations, the smaller first, got "
                f"{self.exploration}"
            )
        for name in (
            "weight_decay",
            "smoothing",
            "smoothing_clip",
            "learning_starts",
            "actor_starts",
        ):
            if not 0 <= getattr(self, name) < float("inf"):
                raise MimicError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class FastSACConfig(FastTD3Config):
    """FastSAC (Seo et al. 2025, arXiv 2512.01996; holosoma): soft actor-critic in the same setting.
    Of FastTD3's numbers, ``exploration`` and ``smoothing`` have no meaning for it."""

    updates: int = 4
    """Gradient steps on the critics in an iteration."""
    clipped_double: bool = False
    """Believe the critic that expects less; else the mixture of both."""
    tau: float = 0.125
    """Share by which the target critics follow the critics after each gradient step."""
    weight_decay: float = 0.001
    """AdamW's."""
    temperature: float = 0.001
    """Weight of the entropy at the start."""
    temperature_learning_rate: float = 3e-4
    """Adam's, of the temperature."""
    target_entropy: float = 0.0
    """Entropy that the temperature steers to, nats an action, of actions that are squashed into
    -1 to 1: log 2 = 0.69 would be uniform."""
    log_std: tuple[float, float] = (-5.0, 0.0)
    """Bounds of the logarithm of the standard deviation before squashing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "temperature", "temperature_learning_rate")
        if not self.log_std[0] < self.log_std[1]:
            raise MimicError(f"log_std must be two bounds, the smaller first, got {self.log_std}")


_REPLAYED = LoopConfig(
    num_envs=256, iterations=4000, checkpoint_interval=500, keep_checkpoints=2, log_interval=50
)
_QUICK: Mapping[str, Any] = {
    "updates": 8, "batch": 512, "n_steps": 3, "learning_rate": 5e-4, "critic_learning_rate": 1e-3,
    "weight_decay": 1e-3,
}  # fmt: skip
_WIDE = OffPolicyNetworks(actor_hidden=(512, 256, 128), critic_hidden=(768, 384, 192))
_MANY = replace(_REPLAYED, num_envs=4096, iterations=50_000, checkpoint_interval=5000)

FAST_TD3_PRESETS: Mapping[str, Preset] = {
    # Small batches and quick steps: a processor has few of them.
    "cpu": replace(_CPU, algorithm=FastTD3Config(**_QUICK), loop=_REPLAYED),
    "gpu": replace(
        _GPU,
        algorithm=FastTD3Config(networks=_WIDE, steps=1, updates=2, batch=32_768, remembered=1024),
        loop=_MANY,
    ),
}
FAST_SAC_PRESETS: Mapping[str, Preset] = {
    "cpu": replace(_CPU, algorithm=FastSACConfig(**_QUICK, target_entropy=-0.5), loop=_REPLAYED),
    "gpu": replace(
        _GPU,
        algorithm=FastSACConfig(networks=_WIDE, steps=1, batch=8192, remembered=1024),
        loop=_MANY,
    ),
}
