"""Terms of getting up from the floor; ``command``: a ``mimic.envs.commands.fallen.FallenStart``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mimic.envs.commands.fallen import head_height
from mimic_base.rotations_torch import gravity_z

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


def _head(env: Any, command: str) -> torch.Tensor:
    """[N] height of the head over that of the default pose."""
    c, robot = env.commands[command], env.state.robot
    head = head_height(robot.body_pos_w[:, c.anchor], robot.body_quat_w[:, c.anchor])
    return head / c.standing_head


def head_raised(env: Environment, command: str = "motions") -> torch.Tensor:
    """Height of the head, from 0 on the floor to 1 at (or above) its height in the default
    pose, [N]."""
    return _head(env, command).clamp(0.0, 1.0)


def base_raised(env: Environment) -> torch.Tensor:
    """Height of the floating base, from 0 on the floor to 1 at (or above) its height in the default
    pose, [N]."""
    height = env.state.robot.root_pos_w[:, 2] / float(env.robot.default_root_height)
    return height.clamp(0.0, 1.0)


def upright(env: Environment) -> torch.Tensor:
    """``(1 + u . z) / 2`` [N] of the base's own vertical u: 0 upside down, 1 upright."""
    return 0.5 * (1.0 - gravity_z(env.state.robot.root_quat_w))


def is_up(
    env: Environment, height: float = 0.8, tilt: float = 0.8, command: str = "motions"
) -> torch.Tensor:
    """[N] bool: the head is above ``height`` times its height in the default pose, and the cosine
    of the base's tilt is above ``tilt``."""
    straight = -gravity_z(env.state.robot.root_quat_w) > tilt
    return (_head(env, command) > height) & straight


def still_down(
    env: Environment, height: float = 0.8, tilt: float = 0.8, command: str = "motions"
) -> torch.Tensor:
    """[N] bool: time is up and the robot is not; see ``is_up``."""
    late = env.episode_length_buf >= env.max_episode_length
    return late & ~is_up(env, height, tilt, command)
