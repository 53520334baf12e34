"""Calibration of a live stream, by the code that calibrates clips."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from mimic_base.vectors import Array
from motions import HumanMotion
from retarget.person.body_constants import BodyConstants, body_constants, constants_in_parts
from retarget.streaming.settings import StreamSettings
from retarget.streaming.skeleton import Skeleton

MOST_FRAMES = 64
"""Most frames that a calibration looks at, evenly spread over what was seen: it must be quick."""


class Calibrator:
    """Knows the person's constants as well as what was seen allows.

    The first frame gives a first idea of them. When `calibration_seconds` of frames have been
    seen, and before that at a quarter and a half of it, they are derived afresh, a part of the
    work in each of the following frames, and blended in.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        fps: float,
        settings: StreamSettings,
        calibration: HumanMotion | None,
    ) -> None:
        self.skeleton, self.fps, self.settings = skeleton, fps, settings
        self.body: BodyConstants | None = None
        self.goal: BodyConstants | None = None
        """What `body` is on its way to; the same object once it is there."""
        self._parts: Generator[None, None, BodyConstants] | None = None
        self._seen: list[tuple[Array, Array | None]] = []
        self._blend = 0.0
        self._start: BodyConstants | None = None
        last = max(2, round(settings.calibration_seconds * fps))
        self._moments = sorted({max(2, last // 4), max(2, last // 2), last})
        if calibration is not None:
            self.body = self.goal = body_constants(calibration)
            self._moments = []

    @property
    def done(self) -> bool:
        """Whether the constants are final."""
        return not self._moments and self._parts is None and self.body is self.goal

    def update(self, pos: Array, quat: Array | None, *, usable: bool) -> BodyConstants:
        """The constants to use for this frame, [J, 3] and [J, 4]; only `usable` ones teach."""
        if self.body is None:
            both = np.stack([pos, pos]), None if quat is None else np.stack([quat, quat])
            self.body = self.goal = body_constants(self.skeleton.clip(*both, self.fps))
        if self._parts is not None:
            self._advance()
        if self._moments and usable:
            self._seen.append((pos, quat))
            if len(self._seen) >= self._moments[0]:
                # An earlier calibration that is still under way is overtaken.
                self._moments.pop(0)
                self._parts = constants_in_parts(self._clip())
        if self._start is not None and self.goal is not None:
            self._blend = min(1.0, self._blend + 1.0 / (self.settings.blend_seconds * self.fps))
            if self._blend >= 1.0:
                self.body, self._start = self.goal, None
            else:
                self.body = blended(self._start, self.goal, self._blend)
        return self.body

    def _clip(self) -> HumanMotion:
        every = max(1, -(-len(self._seen) // MOST_FRAMES))
        chosen = self._seen[::every]
        pos = np.stack([p for p, _ in chosen])
        quats = [q for _, q in chosen if q is not None]
        clip = self.skeleton.clip(pos, np.stack(quats) if quats else None, self.fps / every)
        if not self._moments:
            self._seen.clear()
        return clip

    def _advance(self) -> None:
        assert self._parts is not None
        try:
            next(self._parts)
        except StopIteration as done:
            self._parts = None
            self._start, self.goal, self._blend = self.body, done.value, 0.0


class CausalFill:
    """Carries flexion axes over straight stretches from the past alone.

    The clip's own way is `retarget.person.flexion.Fill`.
    """

    def __init__(self, fps: float, seconds: float = 1.0) -> None:
        self._keep = float(np.exp(-1.0 / (seconds * fps)))
        self._known: dict[str, tuple[Array, float]] = {}

    def __call__(self, first: str, circle: Array, weight: Array) -> Array:
        """One frame: circle [1, 2], weight [1]."""
        w = float(weight[0])
        total, count = self._known.get(first, (np.zeros(2), 0.0))
        total, count = self._keep * total + w * circle[0], self._keep * count + w
        self._known[first] = total, count
        # Nothing known means no twist against the reference.
        known = count / (count + 0.05)
        carried = known * total / max(count, 1e-9) + (1.0 - known) * np.array([1.0, 0.0])
        return (w * circle[0] + (1.0 - w) * carried)[None]


def blended(a: BodyConstants, b: BodyConstants, share: float) -> BodyConstants:
    """Constants between `a` (share 0) and `b` (share 1); what cannot be mixed is `b`'s."""
    return _mix(a, b, share)


def _mix(a: Any, b: Any, share: float) -> Any:
    if is_dataclass(b) and not isinstance(b, type):
        mixed = {f.name: _mix(getattr(a, f.name), getattr(b, f.name), share) for f in fields(b)}
        return replace(b, **mixed)
    if isinstance(b, dict):
        return {key: _mix(a.get(key), value, share) for key, value in b.items()}
    if isinstance(b, tuple):
        return tuple(_mix(x, y, share) for x, y in zip(a, b, strict=True))
    if isinstance(b, np.ndarray) and isinstance(a, np.ndarray):
        # Unit vectors: opposite ones have no middle.
        between = (1.0 - share) * a + share * b
        size = float(np.linalg.norm(between))
        return between / size if size > 0.1 else b
    if isinstance(b, float) and isinstance(a, float):
        return (1.0 - share) * a + share * b
    return b
