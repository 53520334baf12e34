"""FastSAC (Seo et al. 2025, arXiv 2512.01996; in holosoma): soft actor-critic for humanoids.

FastTD3's setting (``mimic.learning.algorithms.fast_td3``) with soft actor-critic (Haarnoja et al.
2018, arXiv 1812.05905) in it. The policy is a squashed Gaussian, ``a = skip + reach tanh(u)`` with
``u ~ N(mu(s), sigma(s))``, whose density is that of ``tanh(u)``:

    ``log pi(a | s) = log N(u) - sum log(1 - tanh(u)^2)``

* critics: cross-entropy of ``Z_i(s, a)`` and the projection of
  ``r + gamma^n (Z'(s', a') - alpha log pi(a' | s'))``, Z' the mixture of the target critics';
* actor: ``max E [mean_i E[Z_i(s, a)] - alpha log pi(a | s)]``;
* temperature: ``min_alpha E [-log(alpha) (log pi + H)]`` with the wanted entropy H.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDict
from torch.nn import functional

from mimic.learning.algorithms.fast_td3 import FastTD3
from mimic.learning.descent import gradient_step
from mimic.learning.off_policy_config import FastSACConfig
from mimic.learning.storage.experience import Steps

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class FastSAC(FastTD3):
    """FastTD3 whose actor is stochastic and whose temperature is learnt."""

    Config = FastSACConfig
    SPREAD = True

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        c, device = self.config, self.memory.rewards.device
        start = torch.tensor(math.log(c.temperature), device=device)
        self.log_temperature = torch.nn.Parameter(start)
        self.temperature_optimizer = torch.optim.Adam(
            [self.log_temperature], c.temperature_learning_rate
        )

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Actions [N, A] drawn from the policy."""
        self._start(obs)
        return self._drawn(obs["actor"])[0]

    def _drawn(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions [B, A] and the logarithm of their density [B] in the squashed units."""
        mean, raw = self.actor.heads(obs)
        log_std = bounded(raw, *self.config.log_std)
        noise = torch.randn_like(mean)
        u = mean + log_std.exp() * noise
        actions = self.actor.skip(obs) + self.actor.reach * torch.tanh(u)
        return actions, squashed_log_prob(u, noise, log_std)

    def _target(self, batch: Steps) -> torch.Tensor:
        actions, log_prob = self._drawn(batch.next_obs["actor"])
        bonus = -self.log_temperature.exp() * log_prob
        return self._bootstrapped(batch, actions, batch.rewards + batch.discount * bonus)

    def _actor_step(self, batch: Steps) -> dict[str, float]:
        actions, log_prob = self._drawn(batch.obs["actor"])
        temperature = self.log_temperature.detach().exp()
        loss = self._improve((temperature * log_prob - self._worth(batch, actions)).mean())
        wanted = self.config.target_entropy * actions.shape[-1]
        gradient_step(
            -self.log_temperature * (log_prob.detach() + wanted).mean(),
            self.temperature_optimizer, [self.log_temperature], self.ranks, float("inf"),
            "temperature's loss",
        )  # fmt: skip
        return {
            "loss/actor": loss,
            "sac/entropy": -float(log_prob.detach().mean()),
            "sac/temperature": float(temperature),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "log_temperature": self.log_temperature.detach().clone(),
            "temperature_optimizer": self.temperature_optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])
        self.temperature_optimizer.load_state_dict(state["temperature_optimizer"])


def bounded(raw: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Any number smoothly within two bounds; 0 is their middle."""
    return low + 0.5 * (high - low) * (torch.tanh(raw) + 1.0)


def squashed_log_prob(u: torch.Tensor, noise: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """[B] logarithm of the density of ``tanh(u)``, ``u = mean + std * noise`` [B, A].

    ``log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u))``, which is exact far out too.
    """
    gaussian = -0.5 * noise.square() - log_std - HALF_LOG_TWO_PI
    squash = 2.0 * (math.log(2.0) - u - functional.softplus(-2.0 * u))
    return (gaussian - squash).sum(-1)
