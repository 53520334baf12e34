"""Kernels of rewards that grow sharper as the error falls (KungfuBot, arXiv 2506.12851)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mimic.envs.terms import RewardTerm

LEAST = 0.1
"""Share of its configured width that a kernel keeps at least."""


class Sharpness:
    """The widths of adaptive kernels ``r = exp(-e / std^2)``.

    In every control step ``m <- (1 - a) m + a mean(e)`` and ``std <- min(std, sqrt(m))``, from
    ``m = std^2`` on. The error is taken from the reward itself, ``e = -std^2 log r``.

    Attributes:
        stds: by reward, tensors without dimension. errors: m, likewise.
    """

    def __init__(self, terms: Mapping[str, RewardTerm], device: torch.device) -> None:
        self._terms = {name: term for name, term in terms.items() if term.adaptive > 0}
        self._least = {n: LEAST * float(t.parameters["std"]) for n, t in self._terms.items()}
        self.stds = {
            name: torch.tensor(float(term.parameters["std"]), device=device)
            for name, term in self._terms.items()
        }
        self.errors = {name: std.square() for name, std in self.stds.items()}

    def see(self, weighted: Mapping[str, torch.Tensor]) -> None:
        """Take in the weighted rewards [N] of a control step."""
        for name, term in self._terms.items():
            std, value = self.stds[name], weighted[name] / term.weight
            error = -std.square() * torch.log(value.clamp_min(1e-9))
            error = torch.where(torch.isfinite(error), error, std.square()).mean()
            # In place: ranks average these very tensors.
            self.errors[name].lerp_(error, term.adaptive)
            best = self.errors[name].sqrt().clamp_min(self._least[name])
            self.stds[name].copy_(torch.minimum(std, best))

    def log(self) -> dict[str, torch.Tensor]:
        """The widths, for the log."""
        return {f"sharpness/{name}": std.clone() for name, std in self.stds.items()}

    def state_dict(self) -> dict[str, dict[str, torch.Tensor]]:
        """What a resumed run needs."""
        return {
            name: {"std": self.stds[name].clone(), "error": self.errors[name].clone()}
            for name in self._terms
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Go on from ``state_dict``; rewards that it does not know begin anew."""
        for name in self._terms:
            if name in state:
                self.stds[name].copy_(state[name]["std"])
                self.errors[name].copy_(state[name]["error"])
