"""From step to step of the solver: Levenberg-Marquardt damping, active bounds, active frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimic_base.vectors import Array
from mimic_base.windows import spread
from retarget.solvers.whole_clip.settings import ClipSettings
from retarget.solvers.whole_clip.state import ClipState

Windows = Sequence[slice]
"""Stretches of the active frames that are worked on one after the other."""

BORDER = 2
"""Frames on either side of the active ones that take part without moving: accelerations couple
frames up to two apart."""
WHOLE_SHARE = 0.6
"""Share of unsettled frames above which the whole clip is solved again."""
UNMOVED = 1e9
"""Damping of a frame that takes part without moving."""


@dataclass
class Damping:
    """Levenberg-Marquardt damping per frame, and the joint limits that are active.

    Attributes:
        value: [T] added to the diagonal of each frame's normal equations. A frame whose steps are
            longer than the linearisation holds takes shorter ones in the directions that its rows
            determine badly.
        held: [J, T] joints that a limit stopped (active bounds). The next step is solved with their
            angles nearly fixed, or the rest of the body would be moved for what they cannot do.
        last: [T, 6 + J] the frames' last steps, in the precision in which they were found.
    """

    value: Array
    held: Array
    last: Array

    @classmethod
    def fresh(
        cls, state: ClipState, damping: float, precision: type[np.floating] = np.float64
    ) -> Damping:
        joints, frames = state.joints.shape
        held, last = np.zeros((joints, frames), bool), np.zeros((frames, 6 + joints), precision)
        return cls(np.full(frames, damping), held, last)

    def adapt(
        self, frames: Array, step: Array, settings: ClipSettings, windows: Windows | None = None
    ) -> None:
        """Raise or lower the damping of `frames` by their wanted steps [K, n], in `windows`.

        It is raised fourfold where a step is longer than `max_step` rad, and where it takes back
        the one before (two contacts are active in turn there, and only shorter steps find the
        place between them); else it is halved, within its bounds.
        """
        back = np.empty(len(frames), bool)
        for window in windows or [slice(0, len(frames))]:
            before, now = self.last[frames[window]].astype(float), step[window].astype(float)
            back[window] = (now * before).sum(1) < -0.3 * (before * before).sum(1)
            self.last[frames[window]] = step[window]
        long = np.abs(step[:, 3:]).max(axis=1) > settings.max_step
        doubt = spread(long | back, 2)
        damping = self.value[frames] * np.where(doubt, 4.0, 0.5)
        self.value[frames] = np.clip(damping, settings.damping, settings.most_damping)

    def hold(self, frames: Array, wanted: Array, got: Array, step: Array) -> None:
        """Make bounds of joints [J, K] active where a limit stopped a step; free those that a step
        draws inside."""
        stopped, held = wanted != got, self.held[:, frames]
        inward = held & ~stopped & (np.abs(step) > 1e-5)
        self.held[:, frames] = (held | stopped) & ~inward


@dataclass(frozen=True)
class ActiveFrames:
    """Frames that one step is about: indices [K] into the clip, and which of them may move."""

    frames: Array
    free: Array

    @classmethod
    def whole(cls, count: int) -> ActiveFrames:
        return cls(np.arange(count), np.ones(count, bool))

    @classmethod
    def around(cls, unsettled: Array, reach: int) -> ActiveFrames:
        """Unsettled frames [T] bool, their neighbours within `reach`, and a still border.

        Separate windows stand side by side in one system: what would couple one with the next are
        frames that do not move on both sides.
        """
        free = spread(unsettled, max(1, reach))
        if free.mean() > WHOLE_SHARE:
            return cls.whole(len(unsettled))
        frames = np.flatnonzero(spread(free, BORDER))
        return cls(frames, free[frames])
