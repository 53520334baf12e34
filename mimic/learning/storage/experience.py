"""A ring of what environments have lived through, for algorithms that learn from it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mimic.learning.algorithm import Transition


@dataclass(frozen=True)
class Steps:
    """Transitions of up to n control steps each, [B, ...]."""

    obs: dict[str, torch.Tensor]
    """Observations {group: [B, D]} the first actions were chosen by."""
    actions: torch.Tensor
    """[B, A] the first actions."""
    rewards: torch.Tensor
    """[B] ``sum_{k < h} gamma^k r_k`` over the h steps that there are."""
    discount: torch.Tensor
    """[B] of the state after them: ``gamma^h``, 0 where the episode ended by a failure."""
    next_obs: dict[str, torch.Tensor]
    """Observations {group: [B, D]} of that state; meaningless where the discount is 0."""
    weight: torch.Tensor
    """[B] 1, or 0 where the step cannot be learnt from: what followed it is not known."""


class Experience:
    """The last control steps of N environments, observations, actions and rewards as they were.

    What a step led to is what the next row of its environment shows. So nothing is kept twice,
    and two kinds of rows are no steps to learn from, though the states in them are known: the
    newest, and those whose episode was cut off (``truncated``), as what follows is another
    episode. After a failure nothing follows, and the row is complete in itself.

    Args:
        capacity: control steps kept. sizes: widths of the observation groups that are kept.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        sizes: Mapping[str, int],
        num_actions: int,
        device: torch.device | str,
    ) -> None:
        self.capacity, self.num_envs = capacity, num_envs
        shape = (capacity, num_envs)
        self.obs = {name: torch.zeros(*shape, size, device=device) for name, size in sizes.items()}
        self.actions = torch.zeros(*shape, num_actions, device=device)
        self.rewards = torch.zeros(shape, device=device)
        self.terminated = torch.zeros(shape, dtype=torch.bool, device=device)
        self.truncated = torch.zeros(shape, dtype=torch.bool, device=device)
        self.steps = 0
        """Control steps seen since the beginning."""

    @property
    def filled(self) -> int:
        """Control steps in memory."""
        return min(self.steps, self.capacity)

    @property
    def order(self) -> torch.Tensor:
        """[T] places of the rows in memory, the oldest first."""
        count = torch.arange(self.steps - self.filled, self.steps, device=self.rewards.device)
        return count % self.capacity

    def add(self, transition: Transition) -> None:
        """Keep a control step; the oldest is forgotten."""
        place = self.steps % self.capacity
        for name, field in self.obs.items():
            field[place] = transition.obs[name]
        self.actions[place] = transition.actions
        self.rewards[place] = transition.rewards
        self.terminated[place] = transition.terminated
        self.truncated[place] = transition.truncated
        self.steps += 1

    def complete(self) -> torch.Tensor:
        """[T, N] bool, the oldest first: what the step led to is known."""
        known = ~self.truncated[self.order]
        known[-1] = False
        return known

    def draw(self, count: int, n: int, gamma: float) -> Steps:
        """Draw transitions of ``n`` control steps, fewer where an episode or the memory ends.

        At least two steps must be in memory.
        """
        device = self.rewards.device
        oldest, newest = self.steps - self.filled, self.steps - 1
        start = torch.randint(oldest, newest, (count,), device=device)
        env = torch.randint(self.num_envs, (count,), device=device)
        place = start % self.capacity
        weight = (~self.truncated[place, env]).float()
        rewards = self.rewards[place, env]
        failed = self.terminated[place, env]
        goes_on = ~failed
        length = torch.ones_like(start)
        for k in range(1, n):
            at = (start + k) % self.capacity
            goes_on = goes_on & ~self.truncated[at, env] & (start + k < newest)
            rewards = rewards + gamma**k * goes_on * self.rewards[at, env]
            length = length + goes_on
            ended = goes_on & self.terminated[at, env]
            failed, goes_on = failed | ended, goes_on & ~ended
        after = (start + length) % self.capacity
        return Steps(
            obs={name: field[place, env] for name, field in self.obs.items()},
            actions=self.actions[place, env],
            rewards=rewards,
            discount=gamma ** length.float() * (~failed).float(),
            next_obs={name: field[after, env] for name, field in self.obs.items()},
            weight=weight,
        )

    def state_dict(self) -> dict[str, Any]:
        """What is in memory, the oldest first."""
        order = self.order
        return {
            "steps": self.steps,
            "obs": {name: field[order] for name, field in self.obs.items()},
            **{name: getattr(self, name)[order] for name in _REST},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``; of another number of environments nothing is taken over."""
        kept = state["rewards"]
        if kept.shape[1] != self.num_envs:
            return
        self.steps = int(state["steps"])
        count = min(len(kept), self.capacity)
        places = torch.arange(self.steps - count, self.steps) % self.capacity
        places = places.to(self.rewards.device)
        for name, field in self.obs.items():
            field[places] = state["obs"][name][len(kept) - count :].to(field.device)
        for name in _REST:
            field = getattr(self, name)
            field[places] = state[name][len(kept) - count :].to(field.device)


_REST = ("actions", "rewards", "terminated", "truncated")
