"""Commands: what each environment is asked to do."""

from mimic.envs.commands.base import Command, CommandConfig, InitialState
from mimic.envs.commands.motion import MotionCommand, MotionCommandConfig, ResetNoise

__all__ = [
    "Command", "CommandConfig", "InitialState", "MotionCommand", "MotionCommandConfig",
    "ResetNoise",
]  # fmt: skip
