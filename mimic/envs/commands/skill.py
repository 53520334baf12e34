"""The skill command: a latent vector on the unit sphere, drawn anew at intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mimic.envs.commands.base import Command, CommandConfig
from mimic_base.errors import MimicError

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True, kw_only=True)
class SkillCommandConfig(CommandConfig):
    """A latent skill (ASE, arXiv 2205.01906): nothing says beforehand what it means."""

    size: int = 64
    """Numbers of a skill."""
    interval_s: tuple[float, float] = (0.0, 5.0)
    """Shortest and longest time that a skill stays, s."""

    def __post_init__(self) -> None:
        least, most = self.interval_s
        if self.size < 2 or not 0 <= least <= most < math.inf:
            raise MimicError(
                "a skill has a size of at least 2 and an interval of two times, the smaller "
                f"first, got {self.size} and {self.interval_s}"
            )

    def build(self, env: Environment) -> SkillCommand:
        return SkillCommand(self, env)


class SkillCommand(Command):
    """See ``SkillCommandConfig``.

    Attributes:
        z: [N, k] of length one, drawn evenly from the sphere.
    """

    def __init__(self, config: SkillCommandConfig, env: Environment) -> None:
        super().__init__(env)
        self.config = config
        self.z = torch.zeros(env.num_envs, config.size, device=env.device)
        self.z[:, 0] = 1.0
        self._left_s = torch.zeros(env.num_envs, device=env.device)
        self._held = False

    def hold(self, z: torch.Tensor) -> None:
        """Command these skills [N, k] from now on, whatever time passes."""
        self.z = torch.nn.functional.normalize(z, dim=-1)
        self._held = True

    def resample(self, env_ids: torch.Tensor) -> None:
        if self._held or len(env_ids) == 0:
            return
        shape = (len(env_ids), self.config.size)
        drawn = torch.randn(shape, generator=self.env.generator, device=self.env.device)
        # New tensors: what was observed before keeps what it was.
        z, left = self.z.clone(), self._left_s.clone()
        z[env_ids] = torch.nn.functional.normalize(drawn, dim=-1)
        left[env_ids] = self.env.uniform((len(env_ids),), *self.config.interval_s)
        self.z, self._left_s = z, left

    def advance(self) -> None:
        self._left_s = self._left_s - self.env.control_dt
        self.resample((self._left_s <= 0.0).nonzero().squeeze(-1))

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        """Nothing of it depends on the state."""

    def describe(self) -> dict[str, Any]:
        size = self.config.size
        return {
            **super().describe(),
            "inputs": {"z": f"[{size}] of length one: which skill"},
            "size": size,
        }
