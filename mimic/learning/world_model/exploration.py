"""The noise on the actions of a world-model trainer's environments."""

from __future__ import annotations

import math

import torch

CALM_ENVIRONMENTS = 0.2
"""Share of the environments whose exploration is a fifth of what they drew."""
PERSISTENCE = 0.8
"""Share of the correlated noise that stays from one control step to the next."""


class Exploration:
    """Noise of each environment's own width: white in every other one, correlated in the rest.

    Args:
        width: largest standard deviation.

    Attributes:
        spread: [N, 1] standard deviation of each environment.
        noise: [N, A] what was added last.
    """

    def __init__(self, num_envs: int, actions: int, width: float, device: torch.device) -> None:
        spread = torch.rand(num_envs, 1, device=device) * width
        spread[: int(CALM_ENVIRONMENTS * num_envs)] *= 0.2
        self.spread = spread
        self.white = (torch.arange(num_envs, device=device) % 2 == 0)[:, None]
        self.correlated = torch.zeros(num_envs, actions, device=device)
        self.noise = torch.zeros(num_envs, actions, device=device)

    def on(self, mean: torch.Tensor) -> torch.Tensor:
        """Actions [N, A] about ``mean``."""
        drawn = torch.randn_like(mean)
        fresh = math.sqrt(1.0 - PERSISTENCE**2)
        self.correlated = PERSISTENCE * self.correlated + fresh * drawn
        self.noise = self.spread * torch.where(self.white, drawn, self.correlated)
        return mean + self.noise

    def restart(self, dones: torch.Tensor) -> None:
        """Forget the past of the environments that begin anew, [N] bool."""
        self.correlated = self.correlated * ~dones[:, None]

    def restart_all(self) -> None:
        """Forget everybody's past."""
        self.correlated.zero_()
