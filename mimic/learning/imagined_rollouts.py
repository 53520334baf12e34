"""Rollouts of a policy in a learnt model, differentiable from their rewards to the policy.

The policy follows the gradient of the task's own reward through an unrolled model of the robot
(stochastic value gradients: Heess et al. 2015, arXiv 1510.09142; SuperMimic, arXiv 2610.28480).
With a residual the rollout is *corrected*: what the model was off by in a replayed step is added to
its prediction, so that an unchanged policy runs through exactly what really happened, and the model
supplies only what changes with the actions, and the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mimic.envs.imagination import Imagination, StateRows
from mimic.envs.memory import filter_gain
from mimic.envs.spec import ObservationEntry

Policy = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Rollouts:
    """H steps of B robots, time first; index t of rewards belongs to the state t + 1."""

    states: torch.Tensor
    """[H + 1, B, S]"""
    moments: torch.Tensor
    """[H + 1, B, m]"""
    observations: torch.Tensor
    """[H, B, d] the actor's, without noise and memory."""
    means: torch.Tensor
    """[H, B, A] actions without exploration."""
    actions: torch.Tensor
    """[H, B, A]"""
    rewards: torch.Tensor
    """[H, B] as the environment would give, before the control step is multiplied in."""
    margins: torch.Tensor
    """[H, B, K] distance of the failures' errors from their limits; see ``Imagination``."""
    judged: torch.Tensor | None = None
    """[H, B, d] what a judge of motion sees of the states, without memory."""


class Remembering:
    """What an observation group shows of its terms' past, as ``mimic.envs.memory`` does.

    Delays are not known here: who asks for them is refused.

    Args:
        entries: the group's terms in the order of their columns.

    Attributes:
        columns: columns of the group that remember something; they are replayed.
    """

    def __init__(self, entries: Sequence[ObservationEntry], control_dt: float) -> None:
        self._entries = [
            (entry.size, entry.width, filter_gain(entry.filter, control_dt)) for entry in entries
        ]
        self.columns: list[int] = []
        place = 0
        for size, width, gain in self._entries:
            if width > size or gain < 1.0:
                self.columns += range(place, place + width)
            place += width

    def show(self, values: torch.Tensor, remembered: torch.Tensor, *, first: bool) -> torch.Tensor:
        """The group [B, D] as the policy sees it.

        Args:
            values: [B, d] the terms' present values, noise included.
            remembered: [B, len(columns)] those columns of what was shown a step before; of now, if
                ``first``: values that were really seen.
        """
        if not self.columns:
            return values
        shown, place, kept = [], 0, 0
        for size, width, gain in self._entries:
            value = values[:, place : place + size]
            place += size
            if width > size or gain < 1.0:
                before = remembered[:, kept : kept + width]
                kept += width
                if first:
                    value = before
                else:
                    last = before[:, -size:]
                    newest = value if gain == 1.0 else last + gain * (value - last)
                    value = torch.cat([before[:, size:], newest], -1)
            shown.append(value)
        return torch.cat(shown, -1)

    def remember(self, shown: torch.Tensor) -> torch.Tensor:
        """[B, len(columns)] of what was shown [B, D]."""
        return shown[:, self.columns]


class GradientLimit:
    """Keeps the gradient of each robot's state at each step below a norm, and counts.

    Args:
        scale: [S] the units in which the gradient of a state is measured.
        limit: largest norm of the gradient of ``B`` times the mean objective.
    """

    def __init__(self, scale: torch.Tensor, limit: float) -> None:
        self.scale, self.limit = scale, limit
        self.norms: list[torch.Tensor] = []
        self.limited: list[torch.Tensor] = []

    def on(self, state: torch.Tensor) -> torch.Tensor:
        """The state [B, S], with its gradient limited."""
        return _Limited.apply(state, self) if state.requires_grad else state

    def figures(self) -> tuple[float, float, float]:
        """Mean and largest norm since the last call, and the share of limited gradients."""
        if not self.norms:
            return 0.0, 0.0, 0.0
        norms, limited = torch.stack(self.norms), torch.stack(self.limited)
        self.norms, self.limited = [], []
        return float(norms.mean()), float(norms.max()), float(limited.mean())


class _Limited(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, state: torch.Tensor, limit: GradientLimit) -> torch.Tensor:
        ctx.limit = limit
        return state.view_as(state)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        limit: GradientLimit = ctx.limit
        gradient = gradients[0]
        norm = torch.linalg.vector_norm(gradient * limit.scale, dim=-1) * len(gradient)
        factor = (limit.limit / norm.clamp_min(1e-12)).clamp(max=1.0)
        limit.norms.append(norm.mean())
        limit.limited.append((factor < 1).float().mean())
        return gradient * factor[:, None], None


def unroll(
    policy: Policy,
    dynamics: Callable[..., torch.Tensor],
    imagination: Imagination,
    start: StateRows,
    previous_actions: torch.Tensor,
    noise: torch.Tensor,
    *,
    residual: torch.Tensor | None = None,
    observation_noise: torch.Tensor | None = None,
    limit: GradientLimit | None = None,
    memory: Remembering | None = None,
    remembered: torch.Tensor | None = None,
    judged: str | None = None,
) -> Rollouts:
    """Follow a policy from replayed states through a model.

    Args:
        policy: observations [B, D] -> means of actions [B, A].
        dynamics: ``(state [B, S], targets [B, J], residual) -> state [B, S]``.
        previous_actions: [B, A]. noise: [H, B, A] added to the means.
        residual: [H, B, C] what the model was off by in the replayed steps.
        observation_noise: [d] half width of the noise on what the policy sees.
        limit: limits the gradient that goes back through a step.
        memory: what the policy sees of its observations' past, with what it had really seen of it
            at the start, ``remembered`` [B, m].
        judged: an observation group that is wanted of the states besides.

    Returns:
        Rewards punish changes of the means, not of the noise on them.
    """
    default = start.default_joint_pos
    state, moment, before = start.state, start.moment, previous_actions
    states, moments, observations, means, actions = [state], [moment], [], [], []
    for t in range(len(noise)):
        env = imagination.environment(StateRows(state, default, moment), before, before)
        seen = imagination.observations(env, "actor")
        observations.append(seen.detach())
        if observation_noise is not None:
            seen = seen + observation_noise * (2.0 * torch.rand_like(seen) - 1.0)
        if memory is not None and memory.columns:
            assert remembered is not None
            seen = memory.show(seen, remembered, first=t == 0)
            remembered = memory.remember(seen)
        mean = policy(seen)
        action = mean + noise[t]
        targets = imagination.targets(action, default)
        state = dynamics(state, targets, None if residual is None else residual[t])
        if limit is not None:
            state = limit.on(state)
        moment, before = imagination.later(moment), action
        states.append(state)
        moments.append(moment)
        means.append(mean)
        actions.append(action)
    all_states, all_moments = torch.stack(states), torch.stack(moments)
    all_means = torch.stack(means)
    earlier = torch.cat([previous_actions[None], all_means[:-1]])
    rewards, margins, shown = judge(
        imagination, all_states[1:], all_moments[1:], default, all_means, earlier, judged
    )
    return Rollouts(
        all_states, all_moments, torch.stack(observations), all_means, torch.stack(actions),
        rewards, margins, shown,
    )  # fmt: skip


def judge(
    imagination: Imagination,
    states: torch.Tensor,
    moments: torch.Tensor,
    default: torch.Tensor,
    actions: torch.Tensor,
    previous_actions: torch.Tensor,
    group: str | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Rewards [H, B], margins [H, B, K] and an observation group [H, B, d] of states [H, B, S].

    Args:
        moments: [H, B, m]. default: [B, J]. actions, previous_actions: [H, B, A].
    """
    steps, count = states.shape[:2]
    rows = StateRows(states.flatten(0, 1), default.repeat(steps, 1), moments.flatten(0, 1))
    env = imagination.environment(rows, actions.flatten(0, 1), previous_actions.flatten(0, 1))
    rewards, margins = imagination.rewards(env), imagination.margins(env)
    shown = None
    if group is not None:
        shown = imagination.observations(env, group).view(steps, count, -1)
    return rewards.view(steps, count), margins.view(steps, count, -1), shown


def survival(margins: torch.Tensor, softness: float) -> torch.Tensor:
    """[...] chance in [0, 1] that no failure ends the episode, from margins [..., K].

    A soft threshold at the limit, ``prod_k sigmoid(margin_k / softness)``, so that the gradient
    is felt before a limit is reached.
    """
    return torch.sigmoid(margins / softness).prod(-1)
