"""What a model of the robot is told besides the present state: its past, and what was drawn.

A step of a robot depends on more than its state: on friction and masses that were drawn for it, on
what its contacts were a step before. A model with a *history* sees its own inputs of the last steps
too, and may find these out; one with a *context* is told (``mimic.envs.context``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Past:
    """Of N robots at one moment."""

    inputs: torch.Tensor
    """[N, H, D] the network's inputs of the last H steps, newest first."""
    fresh: torch.Tensor
    """[N] bool: nothing is known of the steps before; the present inputs stand for them."""
    context: torch.Tensor
    """[N, C] what was drawn for the robot."""

    def extra(self, now: torch.Tensor) -> torch.Tensor:
        """[N, H D + C] what the network sees beside its present inputs [N, D]."""
        past = torch.where(self.fresh[:, None, None], now[:, None], self.inputs)
        return torch.cat([past.flatten(1), self.context], -1)

    def after(self, now: torch.Tensor) -> Past:
        """The past a step later, the inputs [N, D] having been those of the step."""
        steps = self.inputs.shape[1]
        if not steps:
            return self
        past = torch.where(self.fresh[:, None, None], now[:, None], self.inputs)
        return Past(
            inputs=torch.cat([now[:, None], past[:, : steps - 1]], 1),
            fresh=torch.zeros_like(self.fresh),
            context=self.context,
        )

    def along(self, inputs: torch.Tensor) -> torch.Tensor:
        """[K, N, H D + C] what the network sees beside its inputs [K, N, D] of K steps in a row."""
        past, found = self, []
        for now in inputs:
            found.append(past.extra(now))
            past = past.after(now)
        return torch.stack(found)


class Following:
    """A model that is called once a control step, in order, and remembers.

    Args:
        model: a ``Dynamics`` or ``FrozenDynamics``. past: where it begins; None where the model
            has none. member: of an ensemble, that predicts alone.
    """

    def __init__(self, model: Any, past: Past | None, member: int | None = None) -> None:
        self._model, self.past = model, past
        self._only = {} if member is None else {"member": member}

    def __call__(
        self, state: torch.Tensor, targets: torch.Tensor, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """As ``Dynamics.forward``."""
        extra = None
        if self.past is not None:
            now = self._model.inputs(state, targets)
            extra = self.past.extra(now)
            self.past = self.past.after(now)
        return self._model(state, targets, residual, extra, **self._only)

    def forget(self, rows: torch.Tensor) -> None:
        """The robots ``rows`` [n] are put elsewhere: what was before them is no past of theirs."""
        if self.past is None:
            return
        fresh = self.past.fresh.clone()
        fresh[rows] = True
        self.past = Past(inputs=self.past.inputs, fresh=fresh, context=self.past.context)
