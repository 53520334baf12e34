"""Which points of the robot were in the ground in which frame, from one step to the next."""

from __future__ import annotations

import numpy as np

from mimic_base.vectors import Array


class Marks:
    """A byte per frame and point [T, P], as `contact_kernels.ground` reads and renews them."""

    def __init__(self, frames: int, points: int) -> None:
        self.touching = np.zeros((frames, points), np.uint8)

    def take(self, frames: Array) -> tuple[Array, Array]:
        """Marks [., P] and the rows [K] in them of these frames of the clip; may be written to."""
        return self.touching, frames

    def keep(self, frames: Array) -> None:
        """Keep what was written into the marks of these frames, the last that were taken."""


class SparseMarks(Marks):
    """The same for a clip of any length: next to all marks are zero, and only the others are kept.

    A humanoid has ten to thirty thousand points, of which some dozen touch the ground as it walks.
    """

    def __init__(self, frames: int, points: int) -> None:
        super().__init__(0, points)
        self._kept: list[Array] = [np.empty(0, np.int32)] * frames
        """Of each frame the marked points, four times their number plus the mark."""

    def take(self, frames: Array) -> tuple[Array, Array]:
        if len(self.touching) < len(frames):
            self.touching = np.zeros((len(frames), self.touching.shape[1]), np.uint8)
        rows = np.arange(len(frames))
        for row, frame in zip(rows, frames.tolist(), strict=True):
            kept = self._kept[frame]
            self.touching[row, kept >> 2] = kept & 3
        return self.touching, rows

    def keep(self, frames: Array) -> None:
        marked = self.touching[: len(frames)]
        flat = marked.reshape(-1)
        # Eight bytes at a time: nearly all of them are zero.
        whole = len(flat) // 8 * 8
        words = np.flatnonzero(flat[:whole].view(np.uint64))
        near = (8 * words[:, None] + np.arange(8)).reshape(-1)
        near = np.concatenate([near, np.arange(whole, len(flat))])
        found = near[flat[near] != 0]
        row, point = np.divmod(found, marked.shape[1])
        kept = (4 * point + flat[found]).astype(np.int32)
        flat[found] = 0
        ends = np.searchsorted(row, np.arange(len(frames) + 1)).tolist()
        for k, frame in enumerate(frames.tolist()):
            # A copy: a view would keep the points of all these frames alive.
            self._kept[frame] = kept[ends[k] : ends[k + 1]].copy()
