"""What imagined steps are worth: the task's reward, or also how the robot moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from tensordict import TensorDict

from mimic.envs.spec import ObservationEntry
from mimic.learning.imagined_rollouts import Remembering


class Payment:
    """The task's reward alone.

    Attributes:
        group: observation group that a judge of motion looks at; None: there is none.
        width: columns that are replayed of what it remembers.
        figures: names of what it tells besides.
    """

    group: str | None = None
    width = 0
    figures: Sequence[str] = ()

    def remembered(self, obs: TensorDict) -> torch.Tensor | None:
        """[N, width] what a judge remembers of the states that were observed."""
        return None

    def __call__(
        self,
        task: torch.Tensor,
        seen: torch.Tensor | None,
        remembered: torch.Tensor | None,
        change: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """What steps are worth, [H, B], and figures [H, B] of it.

        Args:
            task: [H, B] the task's reward, 1 at most. seen: [H, B, d] the judge's observations of
                the states that steps led to, without memory. remembered: [B, width] of the state
                that they began in.
        """
        return task, {}


class MotionPayment(Payment):
    """``w_task r_task + w_style r_style``, the second of windows of motion.

    The frames of a window that lie before a rollout's start are those that were really seen.

    Args:
        entries: terms of the group. reward: windows [n, D] -> [n], differentiable.
    """

    figures = ("style",)

    def __init__(
        self, group: str, entries: Sequence[ObservationEntry], control_dt: float,
        reward: Callable[[torch.Tensor], torch.Tensor], task_weight: float, style_weight: float,
        action_rate: float = 0.0,
    ) -> None:  # fmt: skip
        self.group = group
        self.memory = Remembering(entries, control_dt)
        self.width = len(self.memory.columns)
        self.reward = reward
        self.task_weight, self.style_weight = task_weight, style_weight
        self.action_rate = action_rate

    def remembered(self, obs: TensorDict) -> torch.Tensor | None:
        return self.memory.remember(obs[self.group]) if self.width else None

    def windows(self, seen: torch.Tensor, remembered: torch.Tensor | None) -> torch.Tensor:
        """[H, B, D] the group as a robot would show it that has moved like that."""
        if not self.width:
            return seen
        assert remembered is not None
        shown = []
        for values in seen:
            window = self.memory.show(values, remembered, first=False)
            remembered = self.memory.remember(window)
            shown.append(window)
        return torch.stack(shown)

    def __call__(
        self,
        task: torch.Tensor,
        seen: torch.Tensor | None,
        remembered: torch.Tensor | None,
        change: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        assert seen is not None
        windows = self.windows(seen, remembered)
        style = self.reward(windows.flatten(0, 1)).view(task.shape)
        paid = self.task_weight * task + self.style_weight * style
        if change is not None and self.action_rate:
            paid = paid - self.action_rate * change
        return paid, {"style": style.detach()}
