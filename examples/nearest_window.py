"""A motion prior of one's own: a motion is worth how near it is to some window of the clips.

What ``18_motion_prior.py`` trains; by hand, from this folder:

    mimic train heading --motion CLIPS --algorithm nearest_window:NearestWindow
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mimic.envs.mdp.motion_frames import motion_frame
from mimic.envs.terms import ObservationTerm
from mimic.learning.motion_prior import MotionPriorPPO
from mimic.learning.prior_config import PriorConfig


@dataclass(frozen=True, kw_only=True)
class NearestWindowConfig(PriorConfig):
    """PPO's numbers, the two weights, and these."""

    frames: int = 3
    """Control steps of a window."""
    compared: int = 256
    """Windows of the clips that each step is compared with."""


class NearestWindow(MotionPriorPPO):
    """``r_style = exp(-min_c |x - c|^2 / D)`` over windows c of the clips."""

    Config = NearestWindowConfig
    config: NearestWindowConfig

    @classmethod
    def groups_of(
        cls, config: NearestWindowConfig, task: Any, robot: Any
    ) -> dict[str, Mapping[str, ObservationTerm]]:
        # The environment adds this group: the last windows of each robot.
        return {"style": {"frame": ObservationTerm(function=motion_frame, history=config.frames)}}

    def reward_of(self, windows: torch.Tensor) -> torch.Tensor:
        # The same group of the clips.
        clips = self.demonstrated(self.config.compared)
        scale = clips.std(0) + 0.1
        nearest = torch.cdist(windows / scale, clips / scale).amin(1)
        return torch.exp(-nearest.square() / windows.shape[1])
