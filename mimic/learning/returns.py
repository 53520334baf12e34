"""Returns of rollouts that may end early: pure functions of [H, B] tensors, time first."""

from __future__ import annotations

import torch


def discounted_return(
    rewards: torch.Tensor,
    alive: torch.Tensor,
    value: torch.Tensor,
    length: torch.Tensor,
    gamma: float,
) -> torch.Tensor:
    """[B] what rollouts are worth from their first state on.

    ``sum_{t < h} gamma^t s_t r_t + gamma^h s_{h-1} V`` with ``s_t = prod_{k <= t} alive_k``.

    Args:
        rewards, alive: [H, B] of the states that the steps lead to; ``alive`` in [0, 1].
        value: [B] V, of the state after the last of ``length`` steps. length: [B] h, at least 1.
    """
    total = torch.zeros_like(value)
    survived: torch.Tensor | float = 1.0
    factor = 1.0
    last: torch.Tensor | float = 0.0
    for t in range(len(rewards)):
        on = t < length
        survived = survived * torch.where(on, alive[t], torch.ones_like(value))
        total = total + torch.where(on, factor * survived * rewards[t], torch.zeros_like(value))
        factor *= gamma
        last = torch.where(length == t + 1, torch.full_like(value, factor), last)
    return total + last * survived * value


def lambda_returns(
    rewards: torch.Tensor,
    alive: torch.Tensor,
    values: torch.Tensor,
    length: torch.Tensor,
    gamma: float,
    lam: float,
) -> torch.Tensor:
    """[H, B] TD(lambda) targets of the values of the states that the steps start from.

    ``R_t = alive_t (r_t + gamma ((1 - lam) V_{t+1} + lam R_{t+1}))`` for t < h, ``R_h = V_h``.

    Args:
        rewards, alive: [H, B] as above. values: [H + 1, B]. length: [B] h; from there on the
            targets are the values themselves.
    """
    after = values[-1]
    found = []
    for t in reversed(range(len(rewards))):
        ahead = (1.0 - lam) * values[t + 1] + lam * after
        after = torch.where(t < length, alive[t] * (rewards[t] + gamma * ahead), values[t])
        found.append(after)
    return torch.stack(found[::-1])


def replay_returns(
    rewards: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
    values: torch.Tensor,
    gamma: float,
    lam: float,
) -> torch.Tensor:
    """[T, N] TD(lambda) targets of states that environments lived through, one after the other.

    ``R_t = r_t + gamma (1 - terminated_t) ((1 - lam) V_{t+1} + lam R_{t+1})``, and ``R_t = V_t``
    for the newest state and for one whose episode was cut off: what followed is not known.

    Args:
        rewards, terminated, truncated: [T, N] of the steps, the oldest first. values: [T, N] V of
            the states they start from.
    """
    after = values[-1]
    found = [after]
    for t in reversed(range(len(rewards) - 1)):
        ahead = (1.0 - lam) * values[t + 1] + lam * after
        after = rewards[t] + gamma * (~terminated[t]).float() * ahead
        after = torch.where(truncated[t], values[t], after)
        found.append(after)
    return torch.stack(found[::-1])
