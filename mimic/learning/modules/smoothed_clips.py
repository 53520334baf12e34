"""How near windows of motion are to clips: their density smoothed by noise, in closed form.

Of finitely many windows ``c_1 ... c_K`` the density smoothed by Gaussian noise and its score are
exact, and so is the best denoiser:

    p_s(x) = 1/K sum_k N(x; c_k, s^2),   grad log p_s(x) = (xhat_s(x) - x) / s^2,
    xhat_s(x) = sum_k softmax_k(-|x - c_k|^2 / (2 s^2)) c_k

A diffusion model is trained to approximate ``xhat`` (Vincent 2011; Karras et al. 2022,
arXiv 2206.00364, appendix B.3); for some minutes of motion nothing need be trained. The reward
climbs ``log p_s``, its slope being that of kernels with long tails:

    e(x) = (|x|^2 - max(softly)_k (2 x . c_k - |c_k|^2)) / D,   r(x) = mean_w 1 / (1 + e / w^2)

``e`` is the mean squared distance a column from the nearest windows, with ``s^2 = D / (2 sharp)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class SmoothedClips(nn.Module):
    """See the module.

    Args:
        size: D. widths: the kernels' ``w``. sharpness: of the soft maximum.

    Attributes:
        clips: [K, D] windows in units of what counts as one.
    """

    middle: torch.Tensor
    unit: torch.Tensor
    clips: torch.Tensor
    widths: torch.Tensor

    def __init__(self, size: int, widths: Sequence[float], sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.register_buffer("widths", torch.tensor(tuple(widths)), persistent=False)
        self.register_buffer("middle", torch.zeros(size))
        self.register_buffer("unit", torch.ones(size))
        self.register_buffer("clips", torch.zeros(1, size))

    @torch.no_grad()
    def learn(self, windows: torch.Tensor, unit: torch.Tensor) -> None:
        """Take the clips' windows [K, D], and what counts as one in each column, [D]."""
        self.middle.copy_(windows.mean(0))
        self.unit.copy_(unit)
        self.clips = ((windows - self.middle) / self.unit).contiguous()

    def distance(self, x: torch.Tensor) -> torch.Tensor:
        """[B] mean squared distance a column of windows [B, D] from the nearest of the clips."""
        seen = (x - self.middle) / self.unit
        size, sharp = x.shape[-1], self.sharpness
        # x . c - |c|^2 / 2; |x|^2 is the same for all clips.
        near = torch.addmm(-0.5 * self.clips.square().sum(-1), seen, self.clips.T)
        nearest = torch.logsumexp(near * (2.0 * sharp / size), -1) * (size / sharp)
        return ((seen.square().sum(-1) - nearest) / size).clamp_min(0.0)

    def reward(self, x: torch.Tensor) -> torch.Tensor:
        """[B] within (0, 1] of windows [B, D]."""
        return (1.0 / (1.0 + self.distance(x)[:, None] / self.widths.square())).mean(-1)

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        self.clips = state_dict["clips"].to(self.clips.device, copy=True)
        return super().load_state_dict(state_dict, strict, assign)
