"""An algorithm of a stranger: random search over a linear policy (Mania et al. 2018)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What may be chosen."""

    steps: int = 8
    """Control steps between two updates."""
    spread: float = 0.05
    """Standard deviation of the tried weights."""
    rate: float = 0.5
    """Share of the way to the mean of the better half that is gone."""


class RandomSearch:
    """Every environment tries weights of its own; the better half draws the policy to itself."""

    Config = Numbers

    def __init__(self, sizes, num_envs, numbers, device):
        self.numbers, self.steps = numbers, numbers.steps
        self.net = nn.Linear(*sizes, bias=False).to(device)
        nn.init.zeros_(self.net.weight)
        self.tried = torch.zeros(num_envs, *self.net.weight.shape, device=device)
        self.score = torch.zeros(num_envs, device=device)
        self._try()

    def _try(self):
        self.tried = self.net.weight + self.numbers.spread * torch.randn_like(self.tried)
        self.score = torch.zeros_like(self.score)

    @classmethod
    def build(cls, spec, config, device, ranks):
        return cls((spec.sizes["actor"], spec.num_actions), spec.num_envs, config, device)

    def act(self, obs):
        return torch.einsum("nao,no->na", self.tried, obs["actor"])

    def observe(self, transition):
        self.score += transition.rewards

    def update(self):
        best = self.score.topk(max(1, len(self.score) // 2)).indices
        with torch.no_grad():
            self.net.weight.lerp_(self.tried[best].mean(0), self.numbers.rate)
        figures = {"search/best": float(self.score.max()), "search/mean": float(self.score.mean())}
        self._try()
        return figures

    def policy(self):
        return copy.deepcopy(self.net).cpu()

    def state_dict(self):
        return {"net": self.net.state_dict()}

    def load_state_dict(self, state):
        self.net.load_state_dict(state["net"])
        if len(self.score):
            self._try()
