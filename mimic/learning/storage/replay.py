"""Replay of real transitions, for algorithms that learn a model of the robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mimic.envs.imagination import StateRows


@dataclass(frozen=True)
class Earlier:
    """What was before some steps, and what was drawn for their robots."""

    states: torch.Tensor
    """[B, H, S] of the H steps before, newest first; the oldest that is known stands for those
    before it."""
    actions: torch.Tensor
    """[B, H, A]"""
    fresh: torch.Tensor
    """[B] bool: nothing is known of the episode before."""
    context: torch.Tensor
    """[B, c]"""

    def again(self, rows: torch.Tensor) -> Earlier:
        """Of some rows."""
        return Earlier(self.states[rows], self.actions[rows], self.fresh[rows], self.context[rows])


@dataclass(frozen=True)
class Transitions:
    """Single transitions [B, ...]."""

    rows: StateRows
    actions: torch.Tensor
    """[B, A]"""
    change: torch.Tensor
    """[B, C] what the state did; see ``Dynamics.change``."""
    earlier: Earlier | None = None
    """Where history or context is kept."""


@dataclass(frozen=True)
class Windows:
    """Stretches of at most H consecutive transitions of one episode each, time first."""

    rows: StateRows
    """[B, ...] their first states."""
    previous_actions: torch.Tensor
    """[B, A] before the first action; zero where an episode begins."""
    actions: torch.Tensor
    """[H, B, A]"""
    noise: torch.Tensor
    """[H, B, A] the part of the actions that was exploration."""
    states: torch.Tensor
    """[H, B, S] states that the actions were taken in."""
    change: torch.Tensor
    """[H, B, C]"""
    default_joint_pos: torch.Tensor
    """[B, J] rad"""
    seen: torch.Tensor
    """[B, m] what the policy remembered of its observations when it chose the first action."""
    length: torch.Tensor
    """[B] transitions that there really are, at least one."""
    earlier: Earlier | None = None
    """Before the first steps, where history or context is kept."""
    judged: torch.Tensor | None = None
    """[B, w] what a judge of motion remembered of the first states, where it is kept."""

    def filled_up(self, count: int) -> Windows:
        """The same with some of them again, so that there are ``count``."""
        have = len(self.length)
        if have in (0, count):
            return self
        again = torch.arange(count, device=self.length.device) % have

        def rows(values: torch.Tensor) -> torch.Tensor:
            return values[again]

        def columns(values: torch.Tensor) -> torch.Tensor:
            return values[:, again]

        r = self.rows
        return Windows(
            rows=StateRows(rows(r.state), rows(r.default_joint_pos), rows(r.moment)),
            previous_actions=rows(self.previous_actions),
            actions=columns(self.actions),
            noise=columns(self.noise),
            states=columns(self.states),
            change=columns(self.change),
            default_joint_pos=rows(self.default_joint_pos),
            seen=rows(self.seen),
            length=rows(self.length),
            earlier=None if self.earlier is None else self.earlier.again(again),
            judged=None if self.judged is None else rows(self.judged),
        )


class Replay:
    """A ring of the last control steps of N environments.

    Args:
        capacity: control steps kept. sizes: widths of the stored fields; see ``FIELDS``;
            ``context`` may be left out.
        history: steps before that are handed out with each transition.
        judged: width of ``Windows.judged``, and of how many of the last control steps it is kept.
    """

    FIELDS = ("state", "default_joint_pos", "moment", "actions", "noise", "change", "seen")
    CONTEXT = "context"

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        sizes: Mapping[str, int],
        device: torch.device | str,
        history: int = 0,
        judged: tuple[int, int] = (0, 0),
    ) -> None:
        self.capacity, self.num_envs, self.history = capacity, num_envs, history
        shape = (capacity, num_envs)
        kept = [*self.FIELDS, *([self.CONTEXT] if self.CONTEXT in sizes else [])]
        self.fields = {name: torch.zeros(*shape, sizes[name], device=device) for name in kept}
        self.age = torch.zeros(shape, dtype=torch.int32, device=device)
        """[T, N] control steps since the episode began."""
        self.whole = torch.zeros(shape, dtype=torch.bool, device=device)
        """[T, N] whether the transition's end is known: nothing has blown up."""
        self.pure = torch.zeros(shape, dtype=torch.bool, device=device)
        """[T, N] whether besides the action alone has led to it: no push."""
        # Windows of motion are wide, and stretches begin in the last steps only.
        width, last = judged
        self.judged = torch.zeros(last, num_envs, width, device=device) if width else None
        self.steps = 0
        """Control steps seen since the beginning."""

    @property
    def filled(self) -> int:
        """Control steps in memory."""
        return min(self.steps, self.capacity)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        kept = [*self.fields.values(), self.age, self.whole, self.pure]
        kept += [] if self.judged is None else [self.judged]
        return sum(each.numel() * each.element_size() for each in kept)

    def add(
        self,
        values: Mapping[str, torch.Tensor],
        age: torch.Tensor,
        whole: torch.Tensor,
        pure: torch.Tensor,
        judged: torch.Tensor | None = None,
    ) -> None:
        """Keep a control step: every field [N, ...], the oldest step being forgotten."""
        place = self.steps % self.capacity
        for name, field in self.fields.items():
            field[place] = values[name]
        if self.judged is not None and judged is not None:
            self.judged[self.steps % len(self.judged)] = judged
        self.age[place], self.whole[place], self.pure[place] = age.int(), whole, pure & whole
        self.steps += 1

    def transitions(self, count: int, recent: int) -> Transitions:
        """Draw transitions to fit a model to, half of them from the last ``recent`` steps."""
        device = self.age.device
        ago = torch.randint(self.filled, (count,), device=device)
        ago[: count // 2] = torch.randint(min(recent, self.filled), (count // 2,), device=device)
        step = (self.steps - 1 - ago) % self.capacity
        env = torch.randint(self.num_envs, (count,), device=device)
        fine = self.pure[step, env]
        step, env = step[fine], env[fine]
        part = {name: field[step, env] for name, field in self.fields.items()}
        rows = StateRows(part["state"], part["default_joint_pos"], part["moment"])
        earlier = self._earlier(self.steps - 1 - ago[fine], env)
        return Transitions(rows, part["actions"], part["change"], earlier)

    def windows(self, count: int, horizon: int, recent: int, *, fresh: int = 0) -> Windows:
        """Draw stretches that begin in the last ``recent`` steps.

        A stretch that an episode's end would cut short begins as much earlier, if the episode is
        long enough.

        Args:
            fresh: 0, or the number of newest steps inside of which the stretches must begin;
                they are not moved then.
        """
        device = self.age.device
        oldest = self.steps - self.filled + 1
        lowest = max(oldest, self.steps - (fresh or recent + horizon))
        drawn = 2 * count
        step = torch.randint(lowest, self.steps, (drawn,), device=device)
        env = torch.randint(self.num_envs, (drawn,), device=device)
        length = self._length(step, env, horizon)
        if not fresh:
            age = self.age[step % self.capacity, env].long()
            earlier = torch.minimum(torch.minimum(horizon - length, age), step - oldest)
            step = torch.where(length > 0, step - earlier, step)
            length = self._length(step, env, horizon)
        kept = (length > 0).nonzero().squeeze(-1)[:count]
        step, env, length = step[kept], env[kept], length[kept]
        return self._gather(step, env, length, horizon)

    def _length(self, step: torch.Tensor, env: torch.Tensor, horizon: int) -> torch.Tensor:
        """[B] whole transitions of one episode from ``step`` on, at most ``horizon``."""
        ahead = torch.arange(horizon, device=step.device)
        steps = step[:, None] + ahead
        places = steps % self.capacity
        age = self.age[places, env[:, None]]
        on = (age == age[:, :1] + ahead) & self.whole[places, env[:, None]] & (steps < self.steps)
        return on.int().cumprod(1).sum(1)

    def _gather(
        self, step: torch.Tensor, env: torch.Tensor, length: torch.Tensor, horizon: int
    ) -> Windows:
        places = (step + torch.arange(horizon, device=step.device)[:, None]) % self.capacity
        first, before = places[0], (step - 1) % self.capacity
        f = self.fields
        began = self.age[first, env] == 0
        previous = torch.where(began[:, None], torch.zeros(1, device=step.device),
                               f["actions"][before, env])  # fmt: skip
        default = f["default_joint_pos"][first, env]
        return Windows(
            rows=StateRows(f["state"][first, env], default, f["moment"][first, env]),
            previous_actions=previous,
            actions=f["actions"][places, env],
            noise=f["noise"][places, env],
            states=f["state"][places, env],
            change=f["change"][places, env],
            default_joint_pos=default,
            seen=f["seen"][first, env],
            length=length,
            earlier=self._earlier(step, env),
            judged=None if self.judged is None else self.judged[step % len(self.judged), env],
        )

    def _earlier(self, step: torch.Tensor, env: torch.Tensor) -> Earlier | None:
        """Before the steps ``step`` [B] (counted from the beginning) of environments [B]."""
        if not self.history and self.CONTEXT not in self.fields:
            return None
        device, oldest = step.device, self.steps - self.filled
        there = step % self.capacity
        known = torch.minimum(self.age[there, env].long(), step - oldest)
        back = torch.arange(1, self.history + 1, device=device)
        places = (step[:, None] - torch.minimum(back, known[:, None])) % self.capacity
        context = self.fields.get(self.CONTEXT)
        return Earlier(
            states=self.fields["state"][places, env[:, None]],
            actions=self.fields["actions"][places, env[:, None]],
            fresh=known == 0,
            context=step.new_zeros(len(step), 0).float() if context is None
            else context[there, env],
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """What is in memory, oldest first; what is empty takes no room."""
        order = torch.arange(self.steps - self.filled, self.steps, device=self.age.device)
        places = order % self.capacity
        return {
            "steps": self.steps,
            "fields": {name: field[places] for name, field in self.fields.items()},
            "age": self.age[places],
            "whole": self.whole[places],
            "pure": self.pure[places],
            # A ring whose place follows from the number of steps.
            **({} if self.judged is None else {"judged": self.judged}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``; of another number of environments nothing is taken over."""
        kept = state["age"]
        if kept.shape[1] != self.num_envs:
            return
        self.steps = int(state["steps"])
        count = min(len(kept), self.capacity)
        places = torch.arange(self.steps - count, self.steps, device=kept.device) % self.capacity
        for name, field in self.fields.items():
            field[places] = state["fields"][name][len(kept) - count :]
        if self.judged is not None and "judged" in state:
            self.judged.copy_(state["judged"])
        for name in ("age", "whole", "pure"):
            getattr(self, name)[places] = state[name][len(kept) - count :]
