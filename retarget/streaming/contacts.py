"""Contacts and the ground as they can be known without the future."""

from __future__ import annotations

import numpy as np

from mimic_base.vectors import Array
from retarget.feet.contacts import SLOW, ContactSettings, densest_level
from retarget.streaming.settings import StreamSettings


class GroundTracker:
    """Height of the floor from the soles that have stood, most recent ones first."""

    def __init__(self, fps: float, leg_length: float, settings: StreamSettings) -> None:
        self.leg_length = leg_length
        self._step = settings.ground_speed / fps
        self._every = max(1, round(0.2 * fps))
        self._heights = np.empty(max(8, round(settings.ground_seconds * fps)))
        self._count = 0
        self._since = 0
        self._goal: float | None = None
        self.height = 0.0

    def start(self, height: float) -> None:
        """Take `height` m for the floor until soles have shown better."""
        self.height = height

    def update(self, lower: Array, slow: Array) -> float:
        """`lower` [2] m of each foot's lower sole point, `slow` [2] whether it rests."""
        for height in lower[slow]:
            self._heights[self._count % len(self._heights)] = height
            self._count += 1
        self._since += 1
        if self._since >= self._every and self._count >= 4:
            self._since = 0
            seen = np.sort(self._heights[: min(self._count, len(self._heights))])
            self._goal = densest_level(seen, self.leg_length)
        if self._goal is not None:
            self.height += float(np.clip(self._goal - self.height, -self._step, self._step))
        return self.height


class ContactTracker:
    """Contacts of ball and heel of both feet by speed and height, with hysteresis."""

    def __init__(self, fps: float, leg_length: float, settings: StreamSettings) -> None:
        self.fps, self.leg_length = fps, leg_length
        self.limits: ContactSettings = settings.contacts
        self.ground = GroundTracker(fps, leg_length, settings)
        self._rise = 1.0 / max(1.0, settings.rise_seconds * fps)
        self._fall = 1.0 / max(1.0, settings.fall_seconds * fps)
        self._before: Array | None = None
        self.standing = np.zeros(2, bool)
        """[2] any part of the left, right foot stands."""
        self.confidence = np.zeros(2)
        """[2] 0..1, the same without steps."""
        self._points = np.zeros((2, 2), bool)

    def update(self, ball: Array, heel: Array) -> None:
        """Look at the next frame's sole points, [2, 3] m each (left, right)."""
        points = np.stack([ball, heel])
        s, pace = self.limits, np.sqrt(self.leg_length)
        first = self._before is None
        before = points if self._before is None else self._before
        speed = np.linalg.norm(points - before, axis=-1) * self.fps / pace
        self._before = points
        lower = points[..., 2].min(axis=0)
        if first:
            self.ground.start(float(lower.min()))
        part = points[..., 2].argmin(axis=0)
        slow = speed[part, [0, 1]] < SLOW
        near = lower < self.ground.height + s.leave_height * self.leg_length
        ground = self.ground.update(lower, slow & near & (not first))
        height = (points[..., 2] - ground) / self.leg_length
        enter = (speed < s.enter_speed) & (height < s.enter_height)
        stay = (speed < s.leave_speed) & (height < s.leave_height)
        self._points = enter | (self._points & stay)
        self.standing = self._points.any(axis=0)
        if first:
            self.confidence = self.standing.astype(float)
        change = np.where(self.standing, self._rise, -self._fall)
        self.confidence = np.clip(self.confidence + change, 0.0, 1.0)
