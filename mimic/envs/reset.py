"""Reference-state initialisation: start on the reference, with noise (BeyondMimic's ranges)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mimic_base.rotations_torch import quat_from_euler_xyz, quat_inv_rotate, quat_mul

if TYPE_CHECKING:
    from mimic.envs.env import TrackingEnv

Range3 = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class ResetNoise:
    """Half widths of the uniform noise on a start state."""

    position: Range3 = (0.05, 0.05, 0.01)
    """m"""
    roll_pitch_yaw: Range3 = (0.1, 0.1, 0.2)
    """rad"""
    lin_vel: Range3 = (0.5, 0.5, 0.2)
    """m/s, world axes"""
    ang_vel: Range3 = (0.52, 0.52, 0.78)
    """rad/s, world axes"""
    joint_pos: float = 0.1
    """rad, then clipped to the soft limits"""

    @classmethod
    def none(cls) -> ResetNoise:
        zero = (0.0, 0.0, 0.0)
        return cls(position=zero, roll_pitch_yaw=zero, lin_vel=zero, ang_vel=zero, joint_pos=0.0)


def reference_state(
    env: TrackingEnv, row: torch.Tensor, noise: ResetNoise
) -> tuple[torch.Tensor, torch.Tensor]:
    """qpos [n, 7 + J] and qvel [n, 6 + J] of library rows ``row`` [n], plus noise.

    The noise is ``noise`` times ``env.randomisation``.
    """
    library = env.motion
    count = len(row)

    def symmetric(half_width: Range3) -> torch.Tensor:
        span = env.randomisation * torch.tensor(half_width, device=env.device)
        return env.uniform((count, 3), -1.0, 1.0) * span

    pos = library.body_pos_w[row, 0] + symmetric(noise.position)
    turn = quat_from_euler_xyz(symmetric(noise.roll_pitch_yaw))
    quat = quat_mul(turn, library.body_quat_w[row, 0])
    lin_vel = library.body_lin_vel_w[row, 0] + symmetric(noise.lin_vel)
    ang_vel_w = library.body_ang_vel_w[row, 0] + symmetric(noise.ang_vel)
    joint_pos = library.joint_pos[row]
    width = env.randomisation * noise.joint_pos
    if width > 0:
        joint_pos = joint_pos + env.uniform(tuple(joint_pos.shape), -width, width)
        joint_pos = torch.minimum(torch.maximum(joint_pos, env.soft_lower), env.soft_upper)
    qpos = torch.cat([pos, quat, joint_pos], -1)
    qvel = torch.cat([lin_vel, quat_inv_rotate(quat, ang_vel_w), library.joint_vel[row]], -1)
    return qpos, qvel
