"""Where in a clip the viewer is: a clock that runs, stops, jumps and repeats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Playback:
    """A position in a clip of `frames` frames at `fps`; not bound to any clock of its own."""

    frames: int
    fps: float
    playing: bool = True
    speed: float = 1.0
    position: float = 0.0
    """Frames from the start, with its fraction."""

    @property
    def frame(self) -> int:
        return min(int(self.position), self.frames - 1)

    @property
    def time(self) -> float:
        """s of the frame that is shown."""
        return self.frame / self.fps

    def advance(self, seconds: float) -> int:
        """Let `seconds` pass; at the end the clip begins again. Returns the frame."""
        if self.playing:
            self.position = (self.position + seconds * self.fps * self.speed) % self.frames
        return self.frame

    def jump(self, frame: int) -> None:
        """Go to a frame, the nearest there is, and stay there."""
        self.position = float(min(max(frame, 0), self.frames - 1))
        self.playing = False

    def step(self, frames: int) -> None:
        """Go on (or back) by whole frames, and stay there; past an end lies the other one."""
        self.jump((self.frame + frames) % self.frames)
