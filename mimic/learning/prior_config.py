"""Numbers of the algorithms that imitate clips without tracking them: motion priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from mimic.learning.config import PRESETS as PPO_PRESETS
from mimic.learning.config import (
    PPOConfig,
    Preset,
    _at_least_one,
    _in_unit_interval,
    _not_negative,
    _positive,
)
from mimic_base.errors import MimicError


@dataclass(frozen=True, kw_only=True)
class PriorConfig(PPOConfig):
    """PPO with a reward for how the robot moves, beside the task's."""

    task_weight: float = 0.5
    """Weight of the task's own reward."""
    style_weight: float = 0.5
    """Weight of the reward for the motion."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, "task_weight", "style_weight")


@dataclass(frozen=True, kw_only=True)
class DiscriminatorNumbers:
    """Numbers of a discriminator of motion, MimicKit's for the G1."""

    reward_scale: float = 2.0
    """Factor of the discriminator's reward."""
    discriminator_hidden: tuple[int, ...] = (1024, 512)
    """Widths of the discriminator's hidden layers."""
    discriminator_learning_rate: float = 1e-4
    """AdamW's, of the discriminator."""
    discriminator_decay: float = 1e-4
    """AdamW's weight decay, of the discriminator."""
    discriminator_epochs: int = 2
    """Passes of the discriminator over an iteration's windows."""
    discriminator_batch: int = 4096
    """Windows of the robot in a gradient step of the discriminator, with as many remembered and as
    many demonstrated ones."""
    discriminator_batches: int = 64
    """Most gradient steps in a pass."""
    gradient_penalty: float = 10.0
    """Weight of the squared slope of the discriminator at what it looks at."""
    logit_penalty: float = 0.01
    """Weight of the squared weights of the discriminator's last layer."""
    discriminator_noise: float = 0.0
    """Standard deviation of the noise on what the discriminator learns from, in units of the
    normalised inputs: what is finer than it cannot be told apart, such as the jitter of
    exploration."""
    remembered: int = 200_000
    """Windows of earlier iterations that the discriminator goes on seeing."""
    remembered_per_iteration: int = 1000
    """Windows of each iteration that replace some of them, once they are so many."""

    def check_discriminator(self) -> None:
        """Refuse what cannot be.

        Raises:
            MimicError: naming the number.
        """
        _at_least_one(
            self, "discriminator_epochs", "discriminator_batch", "discriminator_batches",
            "remembered_per_iteration",
        )  # fmt: skip
        _positive(self, "discriminator_learning_rate", "reward_scale")
        _not_negative(
            self, "discriminator_decay", "gradient_penalty", "logit_penalty", "remembered",
            "discriminator_noise",
        )  # fmt: skip
        if not self.discriminator_hidden or min(self.discriminator_hidden) < 1:
            raise MimicError(
                f"discriminator_hidden must be one or more widths, got {self.discriminator_hidden}"
            )


@dataclass(frozen=True, kw_only=True)
class AMPNumbers(DiscriminatorNumbers):
    """Numbers of AMP's discriminator."""

    frames: int = 10
    """Control steps of a window; the publication has 2, the authors' later code 10."""
    loss: Literal["cross-entropy", "least-squares"] = "cross-entropy"
    """What the discriminator learns by: the authors' later code, or the publication's."""
    penalise: Literal["published", "both"] = "published"
    """Where the discriminator's slope is punished: as published with the loss (least squares: at
    the clips alone), or at the robot's windows too."""
    scale: Literal["running", "units"] = "running"
    """What the discriminator's inputs are divided by: the running spread of the robot's and the
    clips' windows, or what counts as one in each quantity (``mimic.learning.modules.motion_units``;
    of windows that the task has declared itself, the spread)."""

    def check_discriminator(self) -> None:
        super().check_discriminator()
        if self.frames < 2:
            raise MimicError(f"frames must be at least 2, got {self.frames}")


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(DiscriminatorNumbers, PriorConfig):
    """PPO with a reward from a discriminator."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_discriminator()


_CPU, _GPU = PPO_PRESETS["cpu"], PPO_PRESETS["gpu"]
SMALL: Mapping[str, Any] = {
    "discriminator_hidden": (256, 128),
    "discriminator_epochs": 1,
    "discriminator_batch": 512,
    "discriminator_batches": 6,
    "remembered": 10_000,
    "remembered_per_iteration": 500,
}
"""Numbers of a discriminator that a processor can train beside the simulation."""


def presets_of(kind: type[PPOConfig], **numbers: Any) -> Mapping[str, Preset]:
    """The presets of an algorithm on top of PPO's: its own defaults, smaller ones on a CPU.

    Args:
        numbers: of the CPU's preset, beside PPO's own there.
    """

    def of(preset: Preset, **further: Any) -> Preset:
        ppo = {name: getattr(preset.algorithm, name) for name in PPOConfig.__dataclass_fields__}
        return replace(preset, algorithm=kind(**{**ppo, **further}))

    return {"cpu": of(_CPU, **numbers), "gpu": of(_GPU)}


@dataclass(frozen=True, kw_only=True)
class AMPConfig(AMPNumbers, DiscriminatorConfig):
    """Adversarial motion priors (Peng et al. 2021, arXiv 2104.02180)."""


@dataclass(frozen=True, kw_only=True)
class ADDConfig(DiscriminatorConfig):
    """Adversarial differential discriminator (Zhang et al. 2025, arXiv 2505.04961)."""

    task_weight: float = 0.0
    """Weight of the task's own reward: none of its kernels is needed."""
    style_weight: float = 1.0
    """Weight of the discriminator's reward."""
    gradient_penalty: float = 2.0
    """Weight of the squared slope of the discriminator at what it looks at."""


@dataclass(frozen=True, kw_only=True)
class GAILConfig(DiscriminatorConfig):
    """Generative adversarial imitation learning (Ho and Ermon 2016, arXiv 1606.03476)."""

    sees: Literal["transition", "action"] = "transition"
    """Whether the discriminator sees a state and the next, or a state and an action."""
    task_weight: float = 0.0
    """Weight of the task's own reward."""
    style_weight: float = 1.0
    """Weight of the discriminator's reward."""
    reward_scale: float = 1.0
    """Factor of the discriminator's reward."""
    discriminator_hidden: tuple[int, ...] = (100, 100)
    """Widths of the discriminator's hidden layers."""
    discriminator_decay: float = 0.0
    """AdamW's weight decay, of the discriminator."""
    discriminator_epochs: int = 1
    """Passes of the discriminator over an iteration's windows."""
    gradient_penalty: float = 0.0
    """Weight of the squared slope of the discriminator at what is demonstrated."""
    remembered: int = 0
    """Windows of earlier iterations that the discriminator goes on seeing."""


@dataclass(frozen=True, kw_only=True)
class ASEConfig(AMPConfig):
    """Adversarial skill embeddings (Peng et al. 2022, arXiv 2205.01906)."""

    task_weight: float = 0.0
    """Weight of the task's own reward: skills have no goal."""
    skill_weight: float = 0.5
    """Weight of the encoder's reward."""
    gradient_penalty: float = 5.0
    """Weight of the squared slope of the discriminator at what it looks at."""
    encoder_hidden: tuple[int, ...] = (1024, 512)
    """Widths of the encoder's hidden layers."""
    encoder_learning_rate: float = 1e-4
    """AdamW's, of the encoder."""
    diversity: float = 0.01
    """Weight of the loss by which different skills do different things."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "encoder_learning_rate")
        _not_negative(self, "skill_weight", "diversity")
        if not self.encoder_hidden or min(self.encoder_hidden) < 1:
            raise MimicError(
                f"encoder_hidden must be one or more widths, got {self.encoder_hidden}"
            )


@dataclass(frozen=True, kw_only=True)
class SMPConfig(PriorConfig):
    """A frozen diffusion model of the clips as the reward for motion (MimicKit's SMP)."""

    frames: int = 10
    """Control steps of a window."""
    diffusion_steps: int = 50
    """Steps of the diffusion."""
    judged_steps: tuple[int, ...] = (22, 15, 8)
    """Those at which the robot's windows are judged."""
    prior_scale: float = 6.0
    """Factor of the errors in the reward's exponent."""
    prior_hidden: tuple[int, ...] = (1024, 1024)
    """Widths of the diffusion model's hidden layers."""
    prior_iterations: int = 20_000
    """Gradient steps of the diffusion model, before the training begins."""
    prior_batch: int = 1024
    """Windows of each."""
    prior_learning_rate: float = 3e-4
    """Adam's, of the diffusion model; it falls to 0 along a cosine."""
    usual_decay: float = 0.99
    """Decay per iteration of the running means that errors are divided by."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "prior_iterations", "prior_batch", "diffusion_steps")
        _positive(self, "prior_scale", "prior_learning_rate")
        _in_unit_interval(self, "usual_decay")
        if self.frames < 2:
            raise MimicError(f"frames must be at least 2, got {self.frames}")
        steps = self.judged_steps
        if not steps or min(steps) < 1 or max(steps) > self.diffusion_steps:
            raise MimicError(
                f"judged_steps must be some of 1 to {self.diffusion_steps}, got {steps}"
            )
        if not self.prior_hidden or min(self.prior_hidden) < 1:
            raise MimicError(f"prior_hidden must be one or more widths, got {self.prior_hidden}")


AMP_PRESETS = presets_of(AMPConfig, **SMALL)
ASE_PRESETS = presets_of(ASEConfig, **SMALL, encoder_hidden=(256, 128))
SMP_PRESETS = presets_of(
    SMPConfig, prior_hidden=(256, 256), prior_iterations=2000, prior_batch=256,
    prior_learning_rate=1e-3,
)  # fmt: skip
ADD_PRESETS = presets_of(ADDConfig, **SMALL)
GAIL_PRESETS = presets_of(GAILConfig, discriminator_batch=512, discriminator_batches=6)
