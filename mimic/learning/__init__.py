"""Training: PPO from rsl_rl, a runner that can be killed and resumed, presets."""

from mimic.learning.config import PRESETS, TrainConfig
from mimic.learning.loading import load_policy
from mimic.learning.runner import Runner

__all__ = ["PRESETS", "Runner", "TrainConfig", "load_policy"]
