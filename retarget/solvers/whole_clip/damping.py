"""What a step of the solver teaches the next one: how far to trust it, and where to go on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array
from mimic_base.windows import spread
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.state import ClipState

FIXED = 2
"""Frames on either side of an unsettled stretch that take part without moving: accelerations
reach two frames far."""
WORTH_IT = 0.6
"""Share of unsettled frames above which the whole clip is solved again."""
STILL = 1e9
"""Damping of a frame that takes part without moving."""


@dataclass
class Trust:
    """How far the linearisation is trusted, from step to step.

    Attributes:
        damping: [T] of each frame (Levenberg-Marquardt): a frame whose steps are too long to be
            true takes shorter ones in the directions that little is known of.
        held: [J, T] hinges that were stopped at a limit. The next step counts on their staying
            there, or the rest of the body would be moved for what they cannot do.
        last: [T, 6 + J] the frames' last steps.
    """

    damping: Array
    held: Array
    last: Array

    @classmethod
    def fresh(cls, state: ClipState, damping: float) -> Trust:
        joints, frames = state.joints.shape
        held, last = np.zeros((joints, frames), bool), np.zeros((frames, 6 + joints))
        return cls(np.full(frames, damping), held, last)

    def adapt(self, frames: Array, step: Array, settings: ClipSettings) -> None:
        """Raise or lower the damping of `frames` by their wanted steps [K, n].

        It is raised where a step is too long, and where it takes back the one before: two
        contacts take turns there, and only shorter steps find the place between them.
        """
        before = self.last[frames]
        back = (step * before).sum(1) < -0.3 * (before * before).sum(1)
        long = np.abs(step[:, 3:]).max(axis=1) > settings.max_step
        doubt = spread(long | back, 2)
        damping = self.damping[frames] * np.where(doubt, 4.0, 0.5)
        self.damping[frames] = np.clip(damping, settings.damping, settings.most_damping)
        self.last[frames] = step

    def hold(self, frames: Array, wanted: Array, got: Array, step: Array) -> None:
        """Hold the hinges [J, K] that a limit stopped; let go of those that a step draws inside."""
        stopped, held = wanted != got, self.held[:, frames]
        inward = held & ~stopped & (np.abs(step) > 1e-5)
        self.held[:, frames] = (held | stopped) & ~inward


@dataclass(frozen=True)
class Stretch:
    """Frames that one step is about: indices [K] into the clip, and which of them may move."""

    frames: Array
    free: Array

    @classmethod
    def whole(cls, count: int) -> Stretch:
        return cls(np.arange(count), np.ones(count, bool))

    @classmethod
    def around(cls, unsettled: Array, reach: int) -> Stretch:
        """Unsettled frames [T] bool, their neighbours within `reach`, and a still border.

        Several stretches stand side by side as if they were one: what would couple one with the
        next are still frames on both sides.
        """
        free = spread(unsettled, max(1, reach))
        if free.mean() > WORTH_IT:
            return cls.whole(len(unsettled))
        frames = np.flatnonzero(spread(free, FIXED))
        return cls(frames, free[frames])
