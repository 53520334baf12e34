"""Terms of tasks without a clip to track: a heading to go in, and falls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mimic.envs.observation import joined, observable, polar, rotations_of
from mimic_base.rotations_torch import gravity_z

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


# The third column, a speed, is the same in the mirror image, as a polar vector's z is.
@observable(mirror=polar())
def heading_command(env: Any, command: str = "heading") -> Any:
    """The commanded direction in the robot's heading frame and the commanded speed, [N, 3]."""
    c = env.commands[command]
    quat = env.state.robot.root_quat_w
    r = rotations_of(quat)
    direction = joined(c.direction_w, 0.0 * c.speed)
    return joined(r.quat_inv_rotate(r.yaw_quat(quat), direction)[..., :2], c.speed)


def heading_speed(
    env: Environment, scale: float, sideways: float = 0.1, command: str = "heading"
) -> torch.Tensor:
    """``exp(-scale ((v* - d* . v)^2 + sideways |v - (d* . v) d*|^2))``, 0 where it goes backwards.

    AMP's task reward (arXiv 2104.02180, equation 10), with the base's velocity v in place of the
    centre of mass's, and with the weight on velocity across the direction of the authors' later
    tasks. AMP's scale is 0.25 for speeds up to 5 m/s.
    """
    c: Any = env.commands[command]
    velocity = env.state.robot.root_lin_vel_w[:, :2]
    along = (velocity * c.direction_w).sum(-1)
    across = velocity - along[:, None] * c.direction_w
    error = (c.speed[:, 0] - along).square() + sideways * across.square().sum(-1)
    reward = torch.exp(-scale * error)
    # Backwards it pays nothing, but who climbs its gradient keeps the slope of the exponential.
    return torch.where(along > 0.0, reward, reward - reward.detach())


def fall(env: Environment, height: float = 0.6, tilt: float = 0.5) -> torch.Tensor:
    """[N] how far a robot has fallen: 0 upright at its height in the default pose, 1 where its
    base is at ``height`` times that or the cosine of its tilt is ``tilt``."""
    robot = env.state.robot
    usual = float(env.robot.default_root_height)
    low = (1.0 - robot.root_pos_w[:, 2] / usual) / (1.0 - height)
    tilted = (1.0 + gravity_z(robot.root_quat_w)) / (1.0 - tilt)
    return torch.maximum(low, tilted)


def fallen(env: Environment, height: float = 0.6, tilt: float = 0.5) -> torch.Tensor:
    """[N] bool: the base is below ``height`` times its height in the default pose, or the cosine of
    its tilt is below ``tilt``."""
    return fall(env, height, tilt) > 1.0


fallen.error = fall  # type: ignore[attr-defined]
