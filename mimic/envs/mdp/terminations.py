"""Termination terms of whole-body tracking (BeyondMimic).

Failures are limits on errors: each function gives the error, ``limit_on`` makes it a termination
with a ``threshold``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic.envs.commands.motion import motion_command
from mimic.envs.features import tilt_difference
from mimic.envs.terms import limit_on
from mimic_base.rotations_torch import gravity_z, quat_angle

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def time_out(env: Environment) -> torch.Tensor:
    return env.episode_length_buf >= env.max_episode_length


def clip_end(env: Environment, command: str = "motion") -> torch.Tensor:
    """The command has come to its end: a truncation, since nothing went wrong."""
    return env.commands[command].finished


@limit_on
def anchor_height(env: Environment, command: str = "motion") -> torch.Tensor:
    """Difference of height between reference and robot anchor, m."""
    c = motion_command(env, command)
    return (c.anchor_pos_w[:, 2] - c.robot_anchor_pos_w[:, 2]).abs()


@limit_on
def anchor_drift(env: Environment, command: str = "motion") -> torch.Tensor:
    """Horizontal distance between reference and robot anchor, m."""
    c = motion_command(env, command)
    off = c.anchor_pos_w[:, :2] - c.robot_anchor_pos_w[:, :2]
    return torch.linalg.vector_norm(off, dim=-1)


@limit_on
def anchor_tilt(env: Environment, command: str = "motion") -> torch.Tensor:
    """Difference of the projected gravity's z component between reference and robot anchor."""
    c = motion_command(env, command)
    return (gravity_z(c.anchor_quat_w) - gravity_z(c.robot_anchor_quat_w)).abs()


@limit_on
def end_effector_height(env: Environment, command: str = "motion") -> torch.Tensor:
    """Largest difference of an end effector's height from the reference at the robot, m."""
    c = motion_command(env, command)
    error = (c.body_pos_relative_w[..., 2] - c.robot_body_pos_w[..., 2]).abs()
    return error.index_select(1, c.end_effectors).amax(-1)


@limit_on
def root_height(env: Environment, command: str = "motion") -> torch.Tensor:
    """Floating base height off the reference, m (SuperMimic, appendix F)."""
    c = motion_command(env, command)
    return (c.body_pos_w[:, 0, 2] - c.robot_body_pos_w[:, 0, 2]).abs()


@limit_on
def root_tilt(env: Environment, command: str = "motion") -> torch.Tensor:
    """Length of the difference of projected gravity between reference and robot base."""
    c = motion_command(env, command)
    return tilt_difference(c.body_quat_w[:, 0], c.robot_body_quat_w[:, 0])


@limit_on
def anchor_orientation(env: Environment, command: str = "motion") -> torch.Tensor:
    """Angle between reference and robot anchor, rad (SONIC's evaluation)."""
    c = motion_command(env, command)
    return quat_angle(c.anchor_quat_w, c.robot_anchor_quat_w)


@limit_on
def mean_body_distance(env: Environment, command: str = "motion") -> torch.Tensor:
    """Mean distance of the key bodies from the reference's in the world, m (PHC)."""
    c = motion_command(env, command)
    return torch.linalg.vector_norm(c.body_pos_w - c.robot_body_pos_w, dim=-1).mean(-1)


@limit_on
def max_body_distance(env: Environment, command: str = "motion") -> torch.Tensor:
    """Largest distance of a key body from the reference's in the world, m (HoloMotion)."""
    c = motion_command(env, command)
    return torch.linalg.vector_norm(c.body_pos_w - c.robot_body_pos_w, dim=-1).amax(-1)
