"""How near a robot's motion is to clips that it does not track: the distance to the nearest window.

A window is ten control steps of ``mimic.envs.features.motion_frame`` (height, tilt, velocities,
joints, key bodies; neither place nor heading), what AMP's discriminator sees. Each feature is
divided by its standard deviation over all frames of the clips, no less than ``LEAST_SPREAD`` of its
unit. The distance of two windows is the root of the mean square of the differences of all their
numbers: 1 means that they differ by as much as the clips' own frames vary. Of every control step
that ends a whole window the smallest distance to any window of any clip counts; the gait distance
is the mean over these. Nothing in it is learnt, so that methods with and without a discriminator
compare (AMP against PPO with a velocity reward alone).
"""

from __future__ import annotations

from typing import Any

import torch

from mimic.envs.commands.motion_set import MotionSet
from mimic.envs.features import BodyState, motion_frame
from mimic.envs.mdp.motion_frames import robot_of
from mimic.envs.motion_library import MotionLibrary

FRAMES = 10
"""Control steps of a window."""
LEAST_SPREAD = 0.05
"""rad, m, m/s, rad/s or none: features that hardly vary in the clips are not weighed more."""
CHUNK = 4096
"""Windows of clips that are compared at once."""
GAIT = "gait/distance"
"""Name of the figure."""


def spread_of(library: MotionLibrary) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [F, D] of all frames of the clips, and the spread [D] of each."""
    rows = torch.arange(len(library.joint_pos), device=library.start.device)
    features = torch.cat(
        [motion_frame(BodyState.of_frames(library, some)) for some in rows.split(CHUNK)]
    )
    return features, features.std(0, correction=0).clamp_min(LEAST_SPREAD)


class NearestWindow:
    """The windows of clips, and how near others are to the nearest of them.

    A clip shorter than a window has none.

    Attributes:
        windows: [W, 10 D] in units of the features' spread. spread: [D].
    """

    def __init__(self, library: MotionLibrary, frames: int = FRAMES) -> None:
        self.frames = frames
        features, self.spread = spread_of(library)
        scaled = features / self.spread
        self.windows = torch.cat(
            [
                scaled[start : start + length].unfold(0, frames, 1).transpose(1, 2).flatten(1)
                for start, length in zip(
                    library.start.tolist(), library.length.tolist(), strict=True
                )
                if length >= frames
            ]
            or [scaled.new_zeros(0, frames * features.shape[1])]
        )

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """[N] distance of windows [N, 10, D] of unscaled features to the nearest one."""
        seen = (windows / self.spread).flatten(1)
        best = torch.full((len(seen),), torch.inf, device=seen.device)
        nearest = torch.zeros(len(seen), dtype=torch.long, device=seen.device)
        for first in range(0, len(self.windows), CHUNK):
            found, row = torch.cdist(seen, self.windows[first : first + CHUNK]).min(-1)
            nearest = torch.where(found < best, first + row, nearest)
            best = torch.minimum(found, best)
        # Distances by products of matrices are rounded; that to the nearest is computed again.
        return (seen - self.windows[nearest]).square().mean(-1).sqrt()


def style_clips(env: Any) -> MotionLibrary | None:
    """The clips that an environment's robots shall move like but do not track; None: none."""
    for command in env.commands.values():
        if isinstance(command, MotionSet) and command.library is not None:
            return command.library
    return None


class GaitMeter:
    """The gait distance of the first episode of each of the first ``count`` environments.

    Attributes:
        total: [E] sum of the distances. steps: [E] control steps that they are of.
    """

    def __init__(self, env: Any, nearest: NearestWindow, count: int) -> None:
        self.env, self.nearest, self.count = env, nearest, count
        self.total = torch.zeros(count, dtype=torch.float64)
        self.steps = torch.zeros(count, dtype=torch.long)
        self._past: list[torch.Tensor] = []
        self._see()

    def _see(self) -> None:
        self._past.append(motion_frame(robot_of(self.env))[: self.count])
        del self._past[: -self.nearest.frames]

    def add(self, running: torch.Tensor) -> None:
        """Count a control step of the environments [E] bool whose episode still goes on."""
        self._see()
        if len(self._past) < self.nearest.frames or not running.any():
            return
        ids = running.nonzero().squeeze(-1)
        windows = torch.stack(self._past, 1)[ids.to(self._past[0].device)]
        self.total[ids] += self.nearest(windows).cpu().double()
        self.steps += running
