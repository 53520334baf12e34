"""Velocities of floating bases along their own axes, from MuJoCo's, whose linear part is the
world's."""

from __future__ import annotations

import torch

from mimic_base.rotations_torch import quat_inv_rotate


def along_base(quat: torch.Tensor, qvel: torch.Tensor) -> torch.Tensor:
    """[N, 6 + J] linear (m/s) and angular velocity (rad/s) of the base along its axes, joints'.

    Args:
        quat: [N, 4] of the bases, wxyz. qvel: [N, 6 + J], MuJoCo's convention (see ``Engine``).
    """
    return torch.cat([quat_inv_rotate(quat, qvel[:, :3]), qvel[:, 3:]], -1)


def state_along_base(qpos: torch.Tensor, qvel: torch.Tensor) -> torch.Tensor:
    """[N, 13 + 2 J] positions [N, 7 + J] with the velocities of ``along_base`` behind them."""
    return torch.cat([qpos, along_base(qpos[:, 3:7], qvel)], -1)
