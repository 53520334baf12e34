"""The unknowns of a clip, and ways between frame rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimic_base.rotations import matrix_to_quat, quat_continuous
from mimic_base.vectors import Array
from retarget.solvers.tree import rotation_matrix, rotation_vector


@dataclass(frozen=True)
class ClipState:
    """A clip's unknowns: root position [3, T] m, root axes [3, 3, T], joints [J, T] rad."""

    root: Array
    mat: Array
    joints: Array

    @property
    def frames(self) -> int:
        return self.root.shape[1]

    def at(self, frames: Array | slice) -> ClipState:
        """Some of the frames."""
        return ClipState(self.root[:, frames], self.mat[..., frames], self.joints[:, frames])

    def put(self, frames: Array, other: ClipState) -> None:
        """Replace some of the frames."""
        self.root[:, frames], self.mat[..., frames] = other.root, other.mat
        self.joints[:, frames] = other.joints

    def qpos(self) -> Array:
        """[T, 7 + J]"""
        quat = quat_continuous(matrix_to_quat(np.moveaxis(self.mat, -1, 0)))
        return np.concatenate([self.root.T, quat, self.joints.T], axis=1)


def key_frames(count: int, fps: float, hz: float) -> Array:
    """Indices of frames at about `hz`, the last one among them; all of them for a short clip."""
    stride = max(1, int(fps / hz))
    if count < 3 * stride:
        return np.arange(count)
    # Evenly spread, so that the last frame is a key frame too.
    return np.unique(np.round(np.linspace(0, count - 1, (count - 1) // stride + 1)).astype(int))


def between(state: ClipState, keys: Array, count: int) -> ClipState:
    """The clip of `count` frames through solved key frames: joints linear, root turned evenly."""
    if len(keys) == count:
        return state
    frame = np.arange(count)
    low = np.clip(np.searchsorted(keys, frame, side="right") - 1, 0, len(keys) - 2)
    share = (frame - keys[low]) / (keys[low + 1] - keys[low])

    def mix(values: Array) -> Array:
        return values[:, low] + share * (values[:, low + 1] - values[:, low])

    before, after = state.mat[..., low], state.mat[..., low + 1]
    turn = rotation_vector(np.einsum("ijt,kjt->ikt", after, before))
    mat = np.einsum("ijt,jkt->ikt", rotation_matrix(share * turn), before)
    return ClipState(mix(state.root), mat, mix(state.joints))
