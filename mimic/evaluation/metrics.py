"""Errors of a state against the reference of the same time, and their sums over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mimic.envs.commands.motion import motion_command

if TYPE_CHECKING:
    from mimic.envs.environment import Environment

UNITS: Mapping[str, str] = {
    "key_body_mm": "mm",
    "key_body_anchor_mm": "mm",
    "joint_rad": "rad",
    "joint_velocity_rad_s": "rad/s",
    "velocity_m_s": "m/s",
}
"""The errors and their units."""


def mean_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[N] mean over bodies of the distance between vectors [N, B, 3]."""
    return (a - b).square().sum(-1).sqrt().mean(-1)


def mean_absolute(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[N] mean over joints of the absolute difference of [N, J]."""
    return (a - b).abs().mean(-1)


def state_errors(env: Environment) -> dict[str, torch.Tensor]:
    """Errors [N] of the current states.

    Returns:
        ``key_body_mm``: key-body positions in the world. ``key_body_anchor_mm``: the same after
        moving the reference to the robot's anchor, its place on the floor and its heading, as the
        rewards do. ``joint_rad``, ``joint_velocity_rad_s``: mean over joints.
        ``velocity_m_s``: key-body velocities in the world.
    """
    c, robot = motion_command(env), env.state.robot
    return {
        "key_body_mm": 1e3 * mean_distance(c.robot_body_pos_w, c.body_pos_w),
        "key_body_anchor_mm": 1e3 * mean_distance(c.robot_body_pos_w, c.body_pos_relative_w),
        "joint_rad": mean_absolute(robot.joint_pos, c.joint_pos),
        "joint_velocity_rad_s": mean_absolute(robot.joint_vel, c.joint_vel),
        "velocity_m_s": mean_distance(c.robot_body_lin_vel_w, c.body_lin_vel_w),
    }


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Figures of a set of episodes.

    Attributes:
        success: share of episodes without a failure.
        normalised_return: tracking reward of the steps before a failure, divided by the most that
            the whole clip can give; mean over episodes.
        errors: means over all steps before a failure, see ``state_errors``; None where every
            episode failed at once.
        survived_s, survived_share: mean time before a failure, and its share of the planned time.
        failures: how often each failure came first.
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


class EpisodeTally:
    """Sums over episodes that end at different times; nothing counts after an episode's end.

    Attributes:
        steps: [E] judged steps, the step of a failure not among them.
        failed: [E] index into ``failure_names``, -1 for none.
    """

    def __init__(self, planned: torch.Tensor, failure_names: tuple[str, ...]) -> None:
        """``planned``: [E] steps of each episode when nothing fails."""
        self.planned = planned
        self.failure_names = failure_names
        count = len(planned)
        self.steps = torch.zeros(count, dtype=torch.long)
        self.failed = torch.full((count,), -1, dtype=torch.long)
        self.reward = torch.zeros(count, dtype=torch.float64)
        self.errors = {name: torch.zeros(count, dtype=torch.float64) for name in UNITS}

    @property
    def running(self) -> torch.Tensor:
        """[E] bool: neither failed nor at its end."""
        return (self.failed < 0) & (self.steps < self.planned)

    def add(
        self,
        reward: torch.Tensor,
        errors: Mapping[str, torch.Tensor],
        failures: Mapping[str, torch.Tensor],
    ) -> None:
        """Count one control step of every running episode.

        Args:
            reward: [E] tracking reward of the step over its maximum, 0..1.
            errors: [E] each. failures: [E] bool each, the first that is true is the reason.
        """
        running = self.running
        for index, name in enumerate(self.failure_names):
            fresh = failures[name] & running & (self.failed < 0)
            self.failed = torch.where(fresh, index, self.failed)
        judged = running & (self.failed < 0)
        self.steps += judged
        # where, not a product: a state that has blown up would turn the sums into NaN.
        zero = torch.zeros((), dtype=torch.float64)
        self.reward += torch.where(judged, reward.double(), zero)
        for name, total in self.errors.items():
            total += torch.where(judged, errors[name].double(), zero)

    @classmethod
    def join(cls, parts: Sequence[EpisodeTally]) -> EpisodeTally:
        """One tally of the episodes of several."""
        joined = cls(torch.cat([part.planned for part in parts]), parts[0].failure_names)
        joined.steps = torch.cat([part.steps for part in parts])
        joined.failed = torch.cat([part.failed for part in parts])
        joined.reward = torch.cat([part.reward for part in parts])
        joined.errors = {n: torch.cat([part.errors[n] for part in parts]) for n in UNITS}
        return joined

    def summary(self, name: str, chosen: torch.Tensor, control_dt: float) -> Summary:
        """Figures of the episodes ``chosen`` [E] (bool)."""
        failed, steps, planned = self.failed[chosen], self.steps[chosen], self.planned[chosen]
        judged = int(steps.sum())
        counts = {
            reason: int((failed == index).sum()) for index, reason in enumerate(self.failure_names)
        }
        return Summary(
            name=name,
            episodes=len(failed),
            duration_s=float(planned.double().mean()) * control_dt,
            success=float((failed < 0).double().mean()),
            normalised_return=float((self.reward[chosen] / planned).mean()),
            errors={
                key: float(total[chosen].sum()) / judged if judged else None
                for key, total in self.errors.items()
            },
            survived_s=float(steps.double().mean()) * control_dt,
            survived_share=float((steps / planned).double().mean()),
            failures={reason: count for reason, count in counts.items() if count},
        )
