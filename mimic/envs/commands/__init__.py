"""Commands: what each environment is asked to do."""

from mimic.envs.commands.base import Command, CommandConfig, InitialState, PolicyAssets
from mimic.envs.commands.motion import MotionCommand, MotionCommandConfig, ResetNoise

__all__ = [
    "Command", "CommandConfig", "InitialState", "MotionCommand", "MotionCommandConfig",
    "PolicyAssets", "ResetNoise",
]  # fmt: skip
