"""The heading command: a direction and a speed to go at, drawn anew at intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mimic.envs.commands.base import Command, CommandConfig
from mimic_base.errors import MimicError
from mimic_base.rotations_torch import quat_rotate, yaw_quat

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True, kw_only=True)
class HeadingCommandConfig(CommandConfig):
    """A direction and a speed to go at (AMP, arXiv 2104.02180, "target heading")."""

    speed: tuple[float, float] = (0.4, 1.2)
    """Slowest and fastest speed, m/s: what the clips show. AMP's character goes at 1 to 5 m/s."""
    turn: float = math.pi
    """Largest angle between a new direction and the way the robot faces when it is drawn, rad."""
    interval_s: tuple[float, float] = (2.0, 6.0)
    """Shortest and longest time that a direction and a speed stay, s."""

    def __post_init__(self) -> None:
        for name in ("speed", "interval_s"):
            least, most = getattr(self, name)
            if not 0 <= least <= most < math.inf:
                raise MimicError(
                    f"{name} must be two numbers, the smaller first, none negative, got "
                    f"{(least, most)}"
                )
        if not 0 <= self.turn <= math.pi:
            raise MimicError(f"turn must lie in [0, pi], got {self.turn}")

    def build(self, env: Environment) -> HeadingCommand:
        return HeadingCommand(self, env)


HELD_S = 1e6
"""Seconds that a command stays which somebody holds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImaginedHeading:
    """A heading command as terms read it."""

    direction_w: torch.Tensor
    """[N, 2]"""
    speed: torch.Tensor
    """[N, 1] m/s"""


class HeadingCommand(Command):
    """See ``HeadingCommandConfig``.

    Attributes:
        direction_w: [N, 2] of length one, horizontal. speed: [N, 1] m/s.
    """

    def __init__(self, config: HeadingCommandConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        n, device = env.num_envs, env.device
        self.direction_w = torch.zeros(n, 2, device=device)
        self.direction_w[:, 0] = 1.0
        self.speed = torch.zeros(n, 1, device=device)
        self._left_s = torch.zeros(n, device=device)
        self._pending = torch.zeros(n, dtype=torch.bool, device=device)
        self._held = False

    def hold(self, direction_w: torch.Tensor, speed: torch.Tensor) -> None:
        """Command these from now on, whatever time passes: directions [N, 2], speeds [N, 1]."""
        self.direction_w = direction_w / direction_w.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        self.speed = speed
        self._held = True

    def resample(self, env_ids: torch.Tensor) -> None:
        # The restarted robot's heading is known once its state is set: see update.
        self._pending[env_ids] = True

    def advance(self) -> None:
        self._left_s -= self.env.control_dt
        self._pending |= self._left_s <= 0.0

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        ids = self._pending.nonzero().squeeze(-1)
        self._pending = torch.zeros_like(self._pending)
        if len(ids) == 0 or self._held:
            return
        c, env = self.config, self.env
        angle = env.uniform((len(ids),), -c.turn, c.turn)
        ahead = torch.stack([torch.cos(angle), torch.sin(angle), 0.0 * angle], -1)
        quat = env.state.robot.root_quat_w[ids]
        # New tensors: what was observed before keeps what it was.
        direction, speed, left = self.direction_w.clone(), self.speed.clone(), self._left_s.clone()
        direction[ids] = quat_rotate(yaw_quat(quat), ahead)[:, :2]
        speed[ids] = env.uniform((len(ids), 1), *c.speed)
        left[ids] = env.uniform((len(ids),), *c.interval_s)
        self.direction_w, self.speed, self._left_s = direction, speed, left

    # imagination ---------------------------------------------------------------------------

    @property
    def moment(self) -> torch.Tensor:
        """[N, 4] direction, speed, and the seconds until others are drawn."""
        left = torch.full_like(self._left_s, HELD_S) if self._held else self._left_s
        return torch.cat([self.direction_w, self.speed, left[:, None]], -1)

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        # What will be drawn is not known: the command stays. See steps_left.
        return torch.cat([moment[:, :3], moment[:, 3:] - self.env.control_dt], -1)

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        """[N] control steps until another command is drawn."""
        return torch.ceil(moment[:, 3] / self.env.control_dt - 1e-3).long().clamp_min(0)

    def imagined(self, moment: torch.Tensor, robot: Any) -> ImaginedHeading:
        return ImaginedHeading(direction_w=moment[:, :2], speed=moment[:, 2:3])

    def metrics(self) -> Mapping[str, torch.Tensor]:
        along = (self.env.state.robot.root_lin_vel_w[:, :2] * self.direction_w).sum(-1)
        return {
            "command/speed": self.speed[:, 0],
            "robot/speed_along": along,
            "error/speed": (along - self.speed[:, 0]).abs(),
        }

    def describe(self) -> dict[str, Any]:
        c = self.config
        return {
            **super().describe(),
            "inputs": {
                "direction_w": "[2] of length one: horizontal direction to go in, in the world",
                "speed": f"[1] m/s along it, trained for {c.speed[0]:g} to {c.speed[1]:g}",
            },
            "speed": list(c.speed),
        }
