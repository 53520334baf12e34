"""Commands: what each environment is asked to do."""

from mimic.envs.commands.base import Command, CommandConfig, InitialState, PolicyAssets
from mimic.envs.commands.interface import Interface, InterfaceCommand, InterfaceCommandConfig
from mimic.envs.commands.motion import MotionCommand, MotionCommandConfig, ResetNoise

__all__ = [
    "Command", "CommandConfig", "InitialState", "Interface", "InterfaceCommand",
    "InterfaceCommandConfig", "MotionCommand", "MotionCommandConfig", "PolicyAssets", "ResetNoise",
]  # fmt: skip
