"""A small diffusion model of motion: what it takes for noise says how likely a window is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from rsl_rl.modules import EmpiricalNormalization
from torch import nn

TIME = 16
"""Numbers that tell the network the step of the diffusion."""


def signal_share(steps: int) -> torch.Tensor:
    """[K] ``alpha_bar`` of the steps 1 to K of a diffusion, along the squared cosine of Nichol and
    Dhariwal (arXiv 2102.09672): the share of a sample's variance that is still signal."""
    at = (torch.arange(1, steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    shares = torch.cos(at * math.pi / 2).square() / start
    return shares.clamp(1e-4, 1.0 - 1e-4).float()


class MotionDiffusion(nn.Module):
    """Predicts the noise in ``x_k = sqrt(a_k) x + sqrt(1 - a_k) eps`` from x_k and k.

    ``x`` are windows [B, D], normalised by the mean and standard deviation of the clips.
    """

    share: torch.Tensor

    def __init__(self, size: int, hidden: Sequence[int], steps: int) -> None:
        super().__init__()
        self.normalizer: Any = EmpiricalNormalization(size)
        self.normalizer.eval()
        self.register_buffer("share", signal_share(steps))
        widths = [size + TIME, *hidden]
        layers: list[nn.Module] = []
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], size))

    def forward(self, noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """The noise [B, D] in windows [B, D] at steps [B], counted from 0."""
        rates = torch.pi * 2.0 ** torch.arange(TIME // 2, device=noisy.device)
        angle = (step[:, None] + 1.0) / len(self.share) * rates
        told = torch.cat([torch.sin(angle), torch.cos(angle)], -1)
        return self.network(torch.cat([noisy, told], -1))

    def learn_scale(self, x: torch.Tensor) -> None:
        """Take windows [B, D] into the mean and standard deviation."""
        self.normalizer.train()
        self.normalizer.update(x)
        self.normalizer.eval()

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """``E |eps - eps_hat|^2 / D`` of windows [B, D] at steps drawn evenly."""
        step = torch.randint(len(self.share), (len(x),), device=x.device)
        return denoising_error(self, self.normalizer(x), step, self.share).mean()

    def errors(self, x: torch.Tensor, steps: Sequence[int]) -> torch.Tensor:
        """[B, S] errors of windows [B, D] at the steps ``steps``, counted from 1."""
        seen = self.normalizer(x)
        found = []
        for each in steps:
            at = torch.full((len(x),), each - 1, device=x.device)
            found.append(denoising_error(self, seen, at, self.share))
        return torch.stack(found, -1)


def denoising_error(
    predict: Any, x: torch.Tensor, step: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """``|eps - predict(sqrt(a_k) x + sqrt(1 - a_k) eps, k)|^2 / D`` [B], with drawn noise eps.

    Args:
        x: [B, D]. step: [B] counted from 0. share: [K] a.
    """
    noise = torch.randn_like(x)
    signal = share[step][:, None]
    noisy = signal.sqrt() * x + (1.0 - signal).sqrt() * noise
    return (noise - predict(noisy, step)).square().mean(-1)
