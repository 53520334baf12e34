"""Termination terms of whole-body tracking (BeyondMimic)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mimic_base.rotations_torch import gravity_z

if TYPE_CHECKING:
    from mimic.envs.env import TrackingEnv


def time_out(env: TrackingEnv) -> torch.Tensor:
    return env.episode_length_buf >= env.max_episode_length


def clip_end(env: TrackingEnv) -> torch.Tensor:
    """The reference has run out: a truncation, since nothing went wrong."""
    return env.command.finished


def anchor_height(env: TrackingEnv, threshold: float) -> torch.Tensor:
    c = env.command
    return (c.anchor_pos_w[:, 2] - c.robot_anchor_pos_w[:, 2]).abs() > threshold


def anchor_drift(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """Horizontal distance between reference and robot anchor beyond ``threshold``, m."""
    c = env.command
    off = c.anchor_pos_w[:, :2] - c.robot_anchor_pos_w[:, :2]
    return off.square().sum(-1) > threshold**2


def anchor_tilt(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """Difference of the projected gravity's z component between reference and robot anchor."""
    c = env.command
    return (gravity_z(c.anchor_quat_w) - gravity_z(c.robot_anchor_quat_w)).abs() > threshold


def end_effector_height(env: TrackingEnv, threshold: float) -> torch.Tensor:
    c = env.command
    error = (c.body_pos_relative_w[..., 2] - c.robot_body_pos_w[..., 2]).abs()
    return error.index_select(1, c.end_effectors).amax(-1) > threshold


def root_height(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """Floating base height off the reference (SuperMimic, appendix F)."""
    c = env.command
    return (c.body_pos_w[:, 0, 2] - c.robot_body_pos_w[:, 0, 2]).abs() > threshold


def root_tilt(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """Length of the difference of projected gravity between reference and robot base."""
    c = env.command
    difference = _gravity(c.body_quat_w[:, 0]) - _gravity(c.robot_body_quat_w[:, 0])
    return torch.linalg.vector_norm(difference, dim=-1) > threshold


def _gravity(quat: torch.Tensor) -> torch.Tensor:
    w, x, y, z = quat.unbind(-1)
    return torch.stack([-2 * (x * z - w * y), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1], -1)
