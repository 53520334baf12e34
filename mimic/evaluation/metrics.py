"""Errors of a state against the reference of the same time, and their sums over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from mimic.evaluation.measures import DEFAULT_ERRORS, MEASURES, Trace, measure
from mimic.evaluation.pose_errors import mean_absolute, mean_distance

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

__all__ = ["UNITS", "EpisodeTally", "Sums", "Summary", "mean_absolute", "mean_distance",
           "state_errors"]  # fmt: skip

UNITS: Mapping[str, str] = {name: MEASURES[name].unit for name in DEFAULT_ERRORS}
"""The errors that protocols tell by default, and their units."""
AveragedOver = Literal["steps", "episodes"]


def state_errors(env: Environment) -> dict[str, torch.Tensor]:
    """The errors [N] that protocols tell by default, of the current states."""
    return measure(Trace(env), DEFAULT_ERRORS)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Figures of a set of episodes.

    Attributes:
        success: share of episodes without a failure.
        normalised_return: tracking reward of the steps before a failure, divided by the most that
            the whole clip can give; mean over episodes.
        errors: means over all steps before a failure, see ``mimic.evaluation.measures``; None
            where every episode failed at once.
        survived_s, survived_share: mean time before a failure, and its share of the planned time.
        failures: how often each failure came first.
        smoothness: means over episodes, see ``mimic.evaluation.smoothness``; where the protocol
            asks for them.
    """

    name: str
    episodes: int
    duration_s: float
    success: float
    normalised_return: float
    errors: Mapping[str, float | None]
    survived_s: float
    survived_share: float
    failures: Mapping[str, int]
    smoothness: Mapping[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "episodes": self.episodes,
            "duration_s": self.duration_s,
            "success": self.success,
            "normalised_return": self.normalised_return,
            **self.errors,
            "survived_s": self.survived_s,
            "survived_share": self.survived_share,
            "failures": dict(self.failures),
            **({"smoothness": dict(self.smoothness)} if self.smoothness else {}),
        }

    def sentence(self) -> str:
        """A judgement in words."""
        text = (
            f"{100 * self.success:.0f} % of {self.episodes} episodes finish, survive "
            f"{self.survived_s:.1f} of {self.duration_s:.1f} s"
        )
        anchor, world = (self.errors.get(name) for name in ("key_body_anchor_mm", "key_body_mm"))
        if anchor is None or world is None:
            return text
        return f"{text}, key bodies off by {world:.0f} mm, seen from the anchor by {anchor:.0f} mm"


@dataclass(kw_only=True)
class Sums:
    """Sums over some episodes, from which their figures follow; those of several sets add up.

    Attributes:
        errors: by name the sum and the number of what was summed: steps, or episodes where each
            episode's own mean counts.
        smoothness: by name the sum over episodes, and their number.
    """

    episodes: int = 0
    planned_steps: int = 0
    steps: int = 0
    successes: int = 0
    returns: float = 0.0
    survived_shares: float = 0.0
    errors: dict[str, tuple[float, int]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    smoothness: dict[str, tuple[float, int]] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: Sequence[Sums]) -> Sums:
        """The sums over the episodes of all parts."""
        total = cls()
        for part in parts:
            for name in ("episodes", "planned_steps", "steps", "successes", "returns",
                         "survived_shares"):  # fmt: skip
                setattr(total, name, getattr(total, name) + getattr(part, name))
            for mine, theirs in ((total.errors, part.errors), (total.smoothness, part.smoothness)):
                for name, (value, count) in theirs.items():
                    before = mine.get(name, (0.0, 0))
                    mine[name] = (before[0] + value, before[1] + count)
            for name, count in part.failures.items():
                total.failures[name] = total.failures.get(name, 0) + count
        return total

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sums:
        """What ``vars`` of one has become in JSON."""
        known = dict(values)
        for name in ("errors", "smoothness"):
            known[name] = {key: (float(a), int(b)) for key, (a, b) in values[name].items()}
        return cls(**known)

    def summary(self, name: str, control_dt: float) -> Summary:
        """The figures of these episodes."""

        def means(sums: Mapping[str, tuple[float, int]]) -> dict[str, float | None]:
            return {key: total / count if count else None for key, (total, count) in sums.items()}

        count = max(self.episodes, 1)
        return Summary(
            name=name,
            episodes=self.episodes,
            duration_s=self.planned_steps / count * control_dt,
            success=self.successes / count,
            normalised_return=self.returns / count,
            errors=means(self.errors),
            survived_s=self.steps / count * control_dt,
            survived_share=self.survived_shares / count,
            failures={reason: each for reason, each in self.failures.items() if each},
            smoothness=means(self.smoothness),
        )


class EpisodeTally:
    """Sums over episodes that end at different times; nothing counts after an episode's end.

    Attributes:
        steps: [E] judged steps, the step of a failure not among them.
        failed: [E] index into ``failure_names``, -1 for none.
        counts: [E] each, steps that the sum of each error is over.
        smoothness: [E] each, figures of whole episodes; NaN where an episode was too short.
    """

    def __init__(
        self,
        planned: torch.Tensor,
        failure_names: tuple[str, ...],
        errors: Sequence[str] = DEFAULT_ERRORS,
        *,
        whole: bool = False,
    ) -> None:
        """Args:
        planned: [E] steps of each episode when nothing fails.
        errors: names of the errors that are summed.
        whole: sum errors to the planned end, also after a failure; only the first of
            ``failure_names`` (a simulation that has blown up) ends them.
        """
        self.planned = planned
        self.failure_names = failure_names
        self.whole = whole
        count = len(planned)
        self.steps = torch.zeros(count, dtype=torch.long)
        self.failed = torch.full((count,), -1, dtype=torch.long)
        self.reward = torch.zeros(count, dtype=torch.float64)
        self.errors = {name: torch.zeros(count, dtype=torch.float64) for name in errors}
        self.counts = {name: torch.zeros(count, dtype=torch.long) for name in errors}
        self.smoothness: dict[str, torch.Tensor] = {}
        self._taken = torch.zeros(count, dtype=torch.long)
        self._broken = torch.zeros(count, dtype=torch.bool)

    @property
    def running(self) -> torch.Tensor:
        """[E] bool: neither failed nor at its end; with ``whole`` not at its end."""
        going = self._taken < self.planned
        return going & ~self._broken if self.whole else going & (self.failed < 0)

    @property
    def told(self) -> torch.Tensor:
        """[E] steps that errors are told of: judged ones, or with ``whole`` all."""
        return self._taken - self._broken.long() if self.whole else self.steps

    def add(
        self,
        reward: torch.Tensor,
        errors: Mapping[str, torch.Tensor],
        failures: Mapping[str, torch.Tensor],
    ) -> None:
        """Count one control step of every running episode.

        Args:
            reward: [E] tracking reward of the step over its maximum, 0..1.
            errors: [E] each; NaN is no error yet. failures: [E] bool each, the first that is true
                is the reason.
        """
        running = self.running
        for index, name in enumerate(self.failure_names):
            fresh = failures[name] & running & (self.failed < 0)
            self.failed = torch.where(fresh, index, self.failed)
        self._broken |= failures[self.failure_names[0]] & running
        judged = running & (self.failed < 0)
        self.steps += judged
        self._taken += running
        # where, not a product: a state that has blown up would turn the sums into NaN.
        zero = torch.zeros((), dtype=torch.float64)
        self.reward += torch.where(judged, reward.double(), zero)
        told = running & ~self._broken if self.whole else judged
        for name, total in self.errors.items():
            known = told & ~torch.isnan(errors[name])
            total += torch.where(known, errors[name].double(), zero)
            self.counts[name] += known

    @classmethod
    def join(cls, parts: Sequence[EpisodeTally]) -> EpisodeTally:
        """One tally of the episodes of several."""
        first = parts[0]
        planned = torch.cat([part.planned for part in parts])
        joined = cls(planned, first.failure_names, tuple(first.errors), whole=first.whole)
        for name in ("steps", "failed", "reward", "_taken", "_broken"):
            setattr(joined, name, torch.cat([getattr(part, name) for part in parts]))
        for name in ("errors", "counts", "smoothness"):
            values = {n: torch.cat([getattr(part, name)[n] for part in parts])
                      for n in getattr(first, name)}  # fmt: skip
            setattr(joined, name, values)
        return joined

    def sums(self, chosen: torch.Tensor, averaged_over: AveragedOver = "steps") -> Sums:
        """Sums over the episodes ``chosen`` [E] (bool).

        Args:
            averaged_over: whether a mean error is over all steps, or over the episodes' own means.
        """
        failed, steps, planned = self.failed[chosen], self.steps[chosen], self.planned[chosen]
        errors = {}
        for name, total in self.errors.items():
            total, count = total[chosen], self.counts[name][chosen]
            if averaged_over == "episodes":
                some = count > 0
                errors[name] = (float((total[some] / count[some]).sum()), int(some.sum()))
            else:
                errors[name] = (float(total.sum()), int(count.sum()))
        smoothness = {}
        for name, values in self.smoothness.items():
            known = values[chosen][~torch.isnan(values[chosen])]
            smoothness[name] = (float(known.double().sum()), len(known))
        return Sums(
            episodes=len(failed),
            planned_steps=int(planned.sum()),
            steps=int(steps.sum()),
            successes=int((failed < 0).sum()),
            returns=float((self.reward[chosen] / planned).sum()),
            survived_shares=float((steps / planned).double().sum()),
            errors=errors,
            failures={
                reason: int((failed == index).sum())
                for index, reason in enumerate(self.failure_names)
            },
            smoothness=smoothness,
        )

    def summary(
        self,
        name: str,
        chosen: torch.Tensor,
        control_dt: float,
        averaged_over: AveragedOver = "steps",
    ) -> Summary:
        """Figures of the episodes ``chosen`` [E] (bool)."""
        return self.sums(chosen, averaged_over).summary(name, control_dt)
