"""Numbers of the world-model trainer with a motion prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from mimic.learning.config import Preset, _at_least_one, _positive
from mimic.learning.prior_config import SMALL, AMPNumbers, DiscriminatorNumbers, _not_negative
from mimic.learning.world_model_config import PRESETS, WorldModelConfig
from mimic_base.errors import MimicError


@dataclass(frozen=True, kw_only=True)
class WorldModelPriorConfig(WorldModelConfig):
    """The world-model trainer with a reward for how the robot moves, beside the task's."""

    task_weight: float = 0.3
    """Weight of the task's own reward, of which 1 is the most."""
    style_weight: float = 0.7
    """Weight of the reward for the motion, likewise."""
    action_rate: float = 0.02
    """Weight of the squared change of the action in imagined steps: a gradient finds jitter that
    pays for a moment. It is tracking's own, as a part of its largest reward."""
    model_fit_steps: int = 4
    """Steps that the model predicts from its own predictions while it is fitted."""
    exploration: float = 0.15
    """Largest standard deviation of the noise on actions; each environment has its own, half of
    them white, half correlated in time. A judge sees it too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, "task_weight", "style_weight", "action_rate")


@dataclass(frozen=True, kw_only=True)
class WorldModelAMPConfig(AMPNumbers, WorldModelPriorConfig):
    """Adversarial motion priors (Peng et al. 2021, arXiv 2104.02180) through a learnt model."""

    frames: int = 2
    """Control steps of a window."""
    loss: Literal["cross-entropy", "least-squares"] = "least-squares"
    """What the discriminator learns by: the authors' later code, or the publication's."""
    penalise: Literal["published", "both"] = "both"
    """Where the discriminator's slope is punished: at the robot's windows too, where it is climbed;
    or as published with the loss (least squares: at the clips alone)."""
    scale: Literal["running", "units"] = "units"
    """What the discriminator's inputs are divided by: what counts as one in each quantity
    (``mimic.learning.modules.motion_units``), so that its slope leads to the clips; or the running
    spread of the robot's and the clips' windows."""
    discriminator_noise: float = 0.5
    """Standard deviation of the noise on what the discriminator learns from, in units of the
    normalised inputs: what is finer than it cannot be told apart, such as the jitter of
    exploration, and it has a slope between what it tells apart."""
    discriminator_learning_rate: float = 3e-4
    """AdamW's, of the discriminator."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_discriminator()


@dataclass(frozen=True, kw_only=True)
class WorldModelADDConfig(DiscriminatorNumbers, WorldModelPriorConfig):
    """Adversarial differential discriminator (Zhang et al. 2025, arXiv 2505.04961) through a learnt
    model."""

    task_weight: float = 0.0
    """Weight of the task's own reward: none of its kernels is needed."""
    style_weight: float = 1.0
    """Weight of the reward for small differences."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_discriminator()


@dataclass(frozen=True, kw_only=True)
class WorldModelSMPConfig(WorldModelPriorConfig):
    """A frozen density of the clips as the reward for motion, through a learnt model."""

    frames: int = 1
    """Control steps of a window; a frame holds velocities."""
    prior_widths: tuple[float, ...] = (0.3, 0.6, 1.2)
    """Widths of the reward's kernels, in what counts as one (``modules.motion_units``)."""
    prior_sharpness: float = 30.0
    """How sharply the nearest of the clips' windows count before the others."""
    prior_windows: int = 1400
    """Windows of the clips that are kept, drawn evenly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "frames", "prior_windows")
        _positive(self, "prior_sharpness")
        if not self.prior_widths or min(self.prior_widths) <= 0:
            raise MimicError(
                f"prior_widths must be one or more positive numbers, got {self.prior_widths}"
            )


CHANGED = ("model_fit_steps", "exploration")
"""Numbers of the world model that are others with a motion prior."""

UPRIGHT: Mapping[str, Any] = {
    "terminations.fallen.parameters.height": 0.8,
    "terminations.fallen.parameters.tilt": 0.87,
}
"""Limits of falls in training, tighter than a task's own: what cannot be saved any more teaches
nothing, and a limit that is near has a slope."""


def presets_of(kind: type[WorldModelPriorConfig], **numbers: Any) -> Mapping[str, Preset]:
    """The world model's presets, with the prior's numbers.

    Args:
        numbers: of the CPU's preset, beside the world model's own there.
    """

    def of(preset: Preset, **further: Any) -> Preset:
        names = [each.name for each in fields(WorldModelConfig) if each.name not in CHANGED]
        plain = {name: getattr(preset.algorithm, name) for name in names}
        task = {**preset.task, **UPRIGHT}
        return replace(preset, algorithm=kind(**{**plain, **further}), task=task)

    return {"cpu": of(PRESETS["cpu"], **numbers), "gpu": of(PRESETS["gpu"])}


AMP_PRESETS = presets_of(WorldModelAMPConfig, **SMALL)
ADD_PRESETS = presets_of(WorldModelADDConfig, **SMALL)
SMP_PRESETS = presets_of(WorldModelSMPConfig)
