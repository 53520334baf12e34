"""Clips that nothing tracks: where episodes begin, and what a motion prior learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from mimic.envs.commands.base import Command, InitialState
from mimic.envs.commands.motion import TakesMotions, clip_before
from mimic.envs.features import BodyState
from mimic.envs.motion_library import MotionLibrary

if TYPE_CHECKING:
    from mimic.envs.environment import Environment


@dataclass(frozen=True, kw_only=True)
class MotionSetConfig(TakesMotions):
    """Clips as style: episodes begin at their frames, and nothing asks to follow them."""

    start: Literal["clip", "default"] = "clip"
    """Begin episodes at frames of the clips, drawn evenly (reference state initialisation), or in
    the robot's default pose."""
    optional: bool = False
    """Whether the task can be played without clips; episodes then begin in the default pose."""

    def build(self, env: Environment) -> MotionSet:
        given = self.motions or not self.optional
        return MotionSet(self, env, self.library(env) if given else None)


class MotionSet(Command):
    """See ``MotionSetConfig``.

    Attributes:
        library: the clips; None where there are none.
        clip, frame: [N] where each environment's episode has begun.
    """

    shared_tensors: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, config: MotionSetConfig, env: Environment, library: MotionLibrary | None
    ) -> None:
        super().__init__(env)
        self.config = config
        self.library = library
        self.clip = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        self.frame = torch.zeros_like(self.clip)

    def resample(self, env_ids: torch.Tensor) -> None:
        if self.library is None:
            return
        length, weight = self.library.length, self.library.weight
        shares = length.float() if weight is None else length.float() * weight.to(length.device)
        clip = torch.multinomial(
            shares, len(env_ids), replacement=True, generator=self.env.generator
        )
        share = self.env.uniform((len(env_ids),), 0.0, 1.0)
        self.clip[env_ids] = clip
        self.frame[env_ids] = (share * length[clip]).long().clamp_max(length[clip] - 1)

    @property
    def _on_clips(self) -> bool:
        return self.library is not None and self.config.start == "clip"

    def initial_state(self, env_ids: torch.Tensor, *, noise: bool = True) -> InitialState | None:
        if not self._on_clips:
            return None
        assert self.library is not None
        row = self.library.start[self.clip[env_ids]] + self.frame[env_ids]
        state = BodyState.of_frames(self.library, row)
        return InitialState(
            root_pos_w=state.root_pos_w,
            root_quat_w=state.root_quat_w,
            joint_pos=state.joint_pos,
            root_lin_vel_w=state.root_lin_vel_w,
            root_ang_vel_b=state.root_ang_vel_b,
            joint_vel=state.joint_vel,
        )

    def frames_before(self, env_ids: torch.Tensor, count: int) -> BodyState | None:
        if not self._on_clips:
            return None
        assert self.library is not None
        return clip_before(self.library, self.clip[env_ids], self.frame[env_ids], count)

    def update(self, env_ids: torch.Tensor | None = None) -> None:
        """Nothing of it depends on the state."""

    # imagination: nothing of it changes, and nothing reads it --------------------------------

    @property
    def moment(self) -> torch.Tensor:
        """[N, 0]"""
        return torch.zeros(self.env.num_envs, 0, device=self.env.device)

    def later(self, moment: torch.Tensor) -> torch.Tensor:
        return moment

    def steps_left(self, moment: torch.Tensor) -> torch.Tensor:
        return torch.full((len(moment),), 1 << 30, device=moment.device)

    def imagined(self, moment: torch.Tensor, robot: Any) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        library = self.library
        found: Mapping[str, Any] = {}
        if library is not None:
            found = {"style": list(library.names), "hashes": list(library.hashes)}
        return {**super().describe(), **found}
