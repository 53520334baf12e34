"""Numbers of the students: algorithms that learn from a policy which sees more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mimic.learning.config import (
    PRESETS as PPO_PRESETS,
)
from mimic.learning.config import (
    ActorCriticConfig,
    LoopConfig,
    PPOConfig,
    Preset,
    _at_least_one,
    _in_unit_interval,
    _not_negative,
    _positive,
)
from mimic_base.errors import MimicError


@dataclass(frozen=True, kw_only=True)
class TaughtConfig:
    """Whom a student learns from."""

    teacher: tuple[Path, ...] = ()
    """Run directories or checkpoints of the teachers, of any algorithm (--teacher). A run keeps
    them in its checkpoints, so that it can be resumed without their files."""
    teacher_choice: Literal["clip", "environment"] = "clip"
    """Which of several teachers an environment asks: the first that was trained on the clip it is
    in (clips that none knows are dealt out in turn), or always the same, dealt out in turn."""

    def __post_init__(self) -> None:
        # What is written into a run must be found from anywhere.
        object.__setattr__(self, "teacher", tuple(each.absolute() for each in self.teacher))


@dataclass(frozen=True, kw_only=True)
class DaggerConfig(TaughtConfig):
    """DAgger (Ross et al. 2011, arXiv 1011.0686): the student acts, the teacher labels the states
    it gets into, as in OmniH2O (arXiv 2406.08858)."""

    networks: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    """The student's actor; it has no critic."""
    steps: int = 24
    """Control steps of each environment in an iteration."""
    loss: Literal["mse", "norm", "huber", "kl"] = "mse"
    """Distance of the student's mean action from the teacher's: mean square, mean length (as
    OmniH2O's), Huber's, or the divergence of Gaussians of the teacher's standard deviation."""
    exploration: float = 0.1
    """Standard deviation of the noise on the student's actions: states around its own way are
    labelled too."""
    teacher_share: float = 0.0
    """Share of the environments, drawn at every step, that do what the teacher says at the start;
    0: the student acts alone."""
    teacher_hold: int = 0
    """Iterations that this share stays."""
    teacher_decay: int = 100
    """Iterations over which it then falls to 0."""
    remembered: int = 1
    """Newest iterations whose labelled states are learnt from (the data set that DAgger
    aggregates); 1: of the present iteration alone."""
    epochs: int = 2
    """Passes over as many states as an iteration has, drawn from all that is remembered."""
    minibatches: int = 4
    """Gradient steps in a pass."""
    learning_rate: float = 5e-4
    """Adam's."""
    learning_rate_end: float = 5e-5
    """What it falls to, along a cosine,"""
    learning_rate_iterations: int = 1000
    """over so many iterations."""
    max_grad_norm: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.0
    """Decay per iteration of an average of the weights, used for evaluation and export; 0 uses the
    weights themselves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(
            self, "steps", "epochs", "minibatches", "remembered", "learning_rate_iterations"
        )
        _positive(self, "learning_rate", "learning_rate_end", "max_grad_norm")
        _in_unit_interval(self, "teacher_share", "ema_decay")
        _not_negative(self, "exploration", "teacher_hold", "teacher_decay")


@dataclass(frozen=True, kw_only=True)
class PPOWithTeacherConfig(TaughtConfig, PPOConfig):
    """PPO that is pulled to its teacher: ``L_PPO + weight KL(student || teacher)``, as in TWIST
    (arXiv 2505.02833). The weight falls along a cosine from its initial value."""

    pull: float = 0.1
    """Weight of the divergence at the start."""
    pull_end: float = 0.01
    """Its weight at the end."""
    pull_iterations: int = 3000
    """Iterations over which it falls."""
    teacher_std: float = 0.0
    """Standard deviation of the teacher's actions; 0: the one it has learnt (0.3 where it is of an
    algorithm that does not say)."""

    def __post_init__(self) -> None:
        TaughtConfig.__post_init__(self)
        PPOConfig.__post_init__(self)
        _at_least_one(self, "pull_iterations")
        _not_negative(self, "pull", "pull_end", "teacher_std")


@dataclass(frozen=True, kw_only=True)
class SupervisedThenRLConfig(TaughtConfig, PPOConfig):
    """First the teacher's actions are learnt, then reinforcement takes over, as in InterMimic
    (arXiv 2502.20390), whose numbers these are.

    In iteration i of the training, with ``share = 1 - (i - teacher_hold) / teacher_decay`` within
    0 and 1: every environment does what the teacher says with probability ``share``; the student
    learns the teacher's actions alone up to ``supervised``; the critic's loss then comes in over
    ``critic_warmup`` iterations; after those, once the critic explains enough of the returns, the
    surrogate loss comes in over ``reinforce`` iterations while the weight of the teacher's actions
    falls from 1 to ``imitation_end``.
    """

    teacher_hold: int = 500
    """Iterations in which the teacher always acts."""
    teacher_decay: int = 5000
    """Iterations over which it then hands over to the student."""
    supervised: int = 5000
    """Iterations in which nothing is learnt but the teacher's actions."""
    critic_warmup: int = 1000
    """Iterations over which the critic's loss then comes in."""
    explained_variance: float = 0.6
    """Share of the returns' variance that the critic must explain, on average over updates,"""
    explained_updates: int = 3
    """in so many updates one after the other, before the policy learns from rewards."""
    reinforce: int = 4000
    """Iterations over which the surrogate loss then comes in."""
    imitation_end: float = 0.1
    """Weight of the teacher's actions that stays in the end."""
    imitation_learning_rate: float = 5e-4
    """Adam's rate until the surrogate loss comes in; from then on PPO's own."""

    def __post_init__(self) -> None:
        TaughtConfig.__post_init__(self)
        PPOConfig.__post_init__(self)
        _positive(self, "imitation_learning_rate")
        _at_least_one(self, "explained_updates")
        _in_unit_interval(self, "imitation_end")
        _not_negative(
            self, "teacher_hold", "teacher_decay", "supervised", "critic_warmup", "reinforce"
        )
        if not self.explained_variance <= 1.0:
            raise MimicError(
                f"explained_variance must not be above 1, got {self.explained_variance}"
            )
        alone, learns = self.teacher_hold + self.teacher_decay, self.supervised + self.critic_warmup
        if alone > learns:
            raise MimicError(
                f"the teacher acts up to iteration teacher_hold + teacher_decay = {alone}, while "
                f"the student learns from rewards from supervised + critic_warmup = {learns} on; "
                "rewards of the teacher's actions are not the student's: make the first no larger"
            )


_CPU, _GPU = PPO_PRESETS["cpu"], PPO_PRESETS["gpu"]
_SMALL, _LARGE = _CPU.algorithm, _GPU.algorithm


def _ppo_numbers(config: PPOConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in PPOConfig.__dataclass_fields__}


DAGGER_PRESETS: Mapping[str, Preset] = {
    "cpu": replace(
        _CPU, algorithm=DaggerConfig(networks=_SMALL.networks), loop=LoopConfig(num_envs=256)
    ),
    "gpu": replace(_GPU, algorithm=DaggerConfig(networks=_LARGE.networks)),
}
PPO_WITH_TEACHER_PRESETS: Mapping[str, Preset] = {
    "cpu": replace(
        _CPU, algorithm=PPOWithTeacherConfig(**_ppo_numbers(_SMALL), pull_iterations=500)
    ),
    "gpu": replace(_GPU, algorithm=PPOWithTeacherConfig(**_ppo_numbers(_LARGE))),
}
SUPERVISED_THEN_RL_PRESETS: Mapping[str, Preset] = {
    # InterMimic's iterations divided by twenty.
    "cpu": replace(
        _CPU,
        algorithm=SupervisedThenRLConfig(
            **_ppo_numbers(_SMALL), teacher_hold=25, teacher_decay=250, supervised=250,
            critic_warmup=50, reinforce=200,
        ),
    ),
    "gpu": replace(_GPU, algorithm=SupervisedThenRLConfig(**_ppo_numbers(_LARGE))),
}  # fmt: skip
