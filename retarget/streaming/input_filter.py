"""The door through which frames come in: checked, filled in where they are missing, smoothed."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mimic_base.rotations import quat_conj, quat_exp, quat_log, quat_mul
from mimic_base.vectors import Array
from retarget.streaming.settings import StreamSettings
from retarget.streaming.skeleton import HumanFrame, Skeleton

Status = Literal["ok", "jump", "extrapolated", "held", "waiting"]
"""What became of a frame: used; used, but it jumps; missing, and the movement went on; missing for
so long that the last pose is held; missing before any frame has come."""

FARTHEST = 1e5
"""m; no person is so far from the origin."""
SHORTEST_LEG = 0.01
"""m; joints that lie in one place were not seen, and give no direction."""


class InputFilter:
    """Turns what comes from the source into one usable frame per step."""

    def __init__(self, skeleton: Skeleton, fps: float, settings: StreamSettings) -> None:
        self.skeleton, self.fps, self.settings = skeleton, fps, settings
        self.missing = 0
        """Frames in a row that were missing."""
        self._hips = [skeleton.roles["left_hip"], skeleton.roles["right_hip"]]
        self._knees = [skeleton.roles["left_knee"], skeleton.roles["right_knee"]]
        self._ankles = [skeleton.roles["left_ankle"], skeleton.roles["right_ankle"]]
        self._pos: Array | None = None
        self._quat: Array | None = None
        self._older: tuple[Array, Array | None] | None = None
        """The frame before, where the way from it is a movement."""
        self._velocity = np.zeros(0)
        self._spin = np.zeros(0)

    def take(self, frame: HumanFrame | None) -> tuple[Array, Array | None, Status] | None:
        """The frame to use, [J, 3] and [J, 4], and its status; None before the first frame.

        Raises `InputError` for a frame of another skeleton; the state stays as it was.
        """
        read = None if frame is None else self._read(frame)
        if read is None:
            return self._fill_in()
        pos, quat = read
        before, turned, gap = self._pos, self._quat, self.missing
        self.missing = 0
        if before is None:
            self._pos, self._quat = pos, quat
            return pos, quat, "ok"
        if quat is not None and turned is not None:
            # A quaternion and its negative are the same turn.
            quat = np.where((quat * turned).sum(-1, keepdims=True) < 0, -quat, quat)
        step = np.linalg.norm((pos - before)[self._hips].mean(axis=0)) * self.fps
        jump = bool(step > self.settings.jump_speed)
        if not jump and self.settings.source_hz is not None:
            pos, quat = self._smooth(pos, quat)
        # The way from a pose that was made up, or from another place, is no movement.
        self._older = None if jump or gap else (before, turned)
        self._pos, self._quat = pos, quat
        return pos, quat, "jump" if jump else "ok"

    def _read(self, frame: HumanFrame) -> tuple[Array, Array | None] | None:
        """The frame's numbers; None where they are of no use."""
        self.skeleton.check(frame)
        # A copy: live sources fill one buffer again and again, and frames are kept.
        pos = np.array(frame.pos_w, dtype=np.float64)
        # Compared this way round, nan is refused as well. Trackers begin with zeros.
        if not (np.abs(pos).max() < FARTHEST and self._leg_lengths(pos).min() > SHORTEST_LEG):
            return None
        if not self.skeleton.rotations:
            return pos, None
        quat = np.asarray(frame.quat_w, dtype=np.float64)
        size = np.sqrt((quat * quat).sum(axis=1))
        if not np.isfinite(size).all() or size.min() < 0.1:
            return None
        return pos, quat / size[:, None]

    def _leg_lengths(self, pos: Array) -> Array:
        """Lengths [2] m of both legs."""
        knees = pos[self._knees]
        parts = np.stack([pos[self._hips] - knees, pos[self._ankles] - knees])
        return np.sqrt((parts * parts).sum(axis=-1)).sum(axis=0)

    def _measure(self) -> None:
        """Speeds per frame of the last movement seen."""
        assert self._pos is not None
        self._velocity, self._spin = np.zeros((2, *self._pos.shape))
        if self._older is not None:
            pos, quat = self._older
            self._velocity = self._pos - pos
            if self._quat is not None and quat is not None:
                self._spin = quat_log(quat_mul(self._quat, quat_conj(quat)))

    def _fill_in(self) -> tuple[Array, Array | None, Status] | None:
        pos, quat = self._pos, self._quat
        if pos is None:
            return None
        if not self.missing:
            self._measure()
        self.missing += 1
        if self.missing > self.settings.hold_seconds * self.fps:
            return pos, quat, "held"
        fade = np.exp(-1.0 / (self.settings.coast_seconds * self.fps))
        self._velocity, self._spin = fade * self._velocity, fade * self._spin
        pos = pos + self._velocity
        if quat is not None:
            quat = quat_mul(quat_exp(self._spin), quat)
        self._pos, self._quat = pos, quat
        return pos, quat, "extrapolated"

    def _smooth(self, pos: Array, quat: Array | None) -> tuple[Array, Array | None]:
        s, before, turned = self.settings, self._pos, self._quat
        assert before is not None and s.source_hz is not None
        speed = np.linalg.norm(pos - before, axis=1, keepdims=True) * self.fps
        cutoff: Array = s.source_hz + s.source_beta * speed
        share = 1.0 / (1.0 + self.fps / (2.0 * np.pi * cutoff))
        pos = before + share * (pos - before)
        if quat is not None and turned is not None:
            quat = turned + share * (quat - turned)
            quat = quat / np.sqrt((quat * quat).sum(axis=1, keepdims=True))
        return pos, quat
