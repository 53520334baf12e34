"""Commands: what each environment is asked to do."""

from mimic.envs.commands.base import Command, CommandConfig, InitialState, PolicyAssets
from mimic.envs.commands.fallen import FallenStart, FallenStartConfig
from mimic.envs.commands.heading import HeadingCommand, HeadingCommandConfig
from mimic.envs.commands.interface import Interface, InterfaceCommand, InterfaceCommandConfig
from mimic.envs.commands.motion import (
    MotionCommand,
    MotionCommandConfig,
    ResetNoise,
    TakesMotions,
)
from mimic.envs.commands.motion_set import MotionSet, MotionSetConfig
from mimic.envs.commands.reach import ReachCommand, ReachCommandConfig
from mimic.envs.commands.skill import SkillCommand, SkillCommandConfig

__all__ = [
    "Command", "CommandConfig", "FallenStart", "FallenStartConfig", "HeadingCommand",
    "HeadingCommandConfig", "InitialState",
    "Interface", "InterfaceCommand", "InterfaceCommandConfig", "MotionCommand",
    "MotionCommandConfig", "MotionSet", "MotionSetConfig", "PolicyAssets", "ReachCommand",
    "ReachCommandConfig", "ResetNoise",
    "SkillCommand", "SkillCommandConfig", "TakesMotions",
]  # fmt: skip
