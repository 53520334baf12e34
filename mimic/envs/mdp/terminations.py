"""Termination terms of whole-body tracking (BeyondMimic)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.features import tilt_difference
from mimic_base.rotations_torch import gravity_z

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def time_out(env: Environment) -> torch.Tensor:
    return env.episode_length_buf >= env.max_episode_length


def clip_end(env: Environment, command: str = "motion") -> torch.Tensor:
    """The command has come to its end: a truncation, since nothing went wrong."""
    return env.commands[command].finished


def anchor_height(env: Environment, threshold: float, command: str = "motion") -> torch.Tensor:
    c = motion_command(env, command)
    return (c.anchor_pos_w[:, 2] - c.robot_anchor_pos_w[:, 2]).abs() > threshold


def anchor_drift(env: Environment, threshold: float, command: str = "motion") -> torch.Tensor:
    """Horizontal distance between reference and robot anchor beyond ``threshold``, m."""
    c = motion_command(env, command)
    off = c.anchor_pos_w[:, :2] - c.robot_anchor_pos_w[:, :2]
    return off.square().sum(-1) > threshold**2


def anchor_tilt(env: Environment, threshold: float, command: str = "motion") -> torch.Tensor:
    """Difference of the projected gravity's z component between reference and robot anchor."""
    c = motion_command(env, command)
    return (gravity_z(c.anchor_quat_w) - gravity_z(c.robot_anchor_quat_w)).abs() > threshold


def end_effector_height(
    env: Environment, threshold: float, command: str = "motion"
) -> torch.Tensor:
    c = motion_command(env, command)
    error = (c.body_pos_relative_w[..., 2] - c.robot_body_pos_w[..., 2]).abs()
    return error.index_select(1, c.end_effectors).amax(-1) > threshold


def root_height(env: Environment, threshold: float, command: str = "motion") -> torch.Tensor:
    """Floating base height off the reference (SuperMimic, appendix F)."""
    c = motion_command(env, command)
    return (c.body_pos_w[:, 0, 2] - c.robot_body_pos_w[:, 0, 2]).abs() > threshold


def root_tilt(env: Environment, threshold: float, command: str = "motion") -> torch.Tensor:
    """Length of the difference of projected gravity between reference and robot base."""
    c = motion_command(env, command)
    return tilt_difference(c.body_quat_w[:, 0], c.robot_body_quat_w[:, 0]) > threshold
