"""What is tracked and what comes after it: clips in a row, queued, switched, repeated, held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimic.deploy import clips as moves
from mimic.deploy.rest import Rest
from mimic.policy.observations import Reference

Array = NDArray[np.float64]


class Playlist:
    """The reference of a deployment, which changes as it goes.

    At first all clips are played one after the other, ``loop`` times. `switch` goes to a clip at
    once, `queue` after what is played; `looping` turns repeating on and off. What is left in the
    end is a pose in which the robot can stay.

    Attributes:
        reference: what is tracked. frame: of it, the one that the robot should be in.
        played: how often something came to its end. looping: whether what is played now is played
            again and again.
        current: number of the clip that is played, from 1; 0: all of them in a row.
    """

    def __init__(
        self,
        clips: Sequence[Reference],
        *,
        body: int,
        blend: int,
        settle: int,
        control_dt: float,
        loop: int = 1,
        library: Sequence[Reference] = (),
        rest: Rest | None = None,
    ) -> None:
        """Make a playlist.

        Args:
            clips: played in a row. library: further ones, numbered after them.
            body: whose place and heading clips share where they meet.
            blend: frames from one clip to another. settle: frames to the pose that is held.
            loop: how often the row is played; 0: for ever.
            rest: where the robot can stay; None: the last frame is held, whatever it is.
        """
        self._body, self._blend, self._settle, self._dt = body, blend, settle, control_dt
        self._whole = moves.in_a_row(clips, body, blend, control_dt)
        self.clips = [*clips, *library]
        self._ends = np.cumsum([clip.num_frames for clip in clips])[:-1]
        self._loop, self._rest = loop, rest
        self.reference, self.frame, self.played = self._whole, 0, 0
        self._queue: list[int] = []
        self._again = self._whole
        self.current, self.looping = 0, loop == 0

    @property
    def shared(self) -> tuple[object, ...]:
        """What never changes."""
        return (self._whole, self.reference, self._again, *self.clips, self._rest)

    @property
    def queued(self) -> tuple[int, ...]:
        """Numbers of the clips to come, from 1."""
        return tuple(self._queue)

    @property
    def playing(self) -> tuple[int, int, int]:
        """Number of the clip that is played, from 1, the frame of it, and how many it has."""
        number = self._part
        clip = self.clips[number - 1]
        into = self.frame - (self.reference.num_frames - clip.num_frames)
        if not self.current:
            into = self.frame - (self.reference.num_frames - self._whole.num_frames)
            into -= int(self._ends[number - 2]) if number > 1 else 0
        return number, min(max(into, 0), clip.num_frames - 1), clip.num_frames

    @property
    def ended(self) -> bool:
        """Whether the last frame is reached."""
        return self.frame >= self.reference.num_frames - 1

    def listen(self) -> None:
        """Once in each control step of tracking; clips hear nothing."""

    def place(self, pos_w: Array | None, quat_w: Array) -> None:
        """Put the row where the body is, [3] m, and towards where it looks, [4]."""
        self.reference = moves.moved_to(self._whole, self._body, pos_w, quat_w)

    def start(self) -> None:
        """Begin the row."""
        self.frame, self.played, self._queue = 0, 0, []
        self._again, self.current, self.looping = self._whole, 0, self._loop == 0

    def advance(self) -> None:
        """On to the next frame."""
        self.frame = min(self.frame + 1, self.reference.num_frames - 1)

    def has(self, number: int) -> bool:
        """Whether there is a clip of this number, from 1."""
        return 1 <= number <= len(self.clips)

    def switch(self, number: int) -> None:
        """Go over to a clip (its number from 1; 0: the row from its beginning) at once, blending.

        While it is blended, what was played goes on.
        """
        chosen = self._whole if number == 0 else self.clips[number - 1]
        self.reference = moves.crossed(
            self.reference, self.frame, chosen, self._body, self._blend, self._dt
        )
        self.frame, self.played = 0, 0
        self._again, self.current = chosen, number
        if number:
            self.looping = False

    def queue(self, number: int) -> None:
        """Play a clip after what is played, and after what is queued already."""
        self._queue.append(number)

    def next(self) -> None:
        """Go over to what is queued, else to the clip after this one, the first after the last."""
        number = self._queue.pop(0) if self._queue else self._part % len(self.clips) + 1
        self.switch(number)

    def follow(self) -> bool:
        """At the end: go on to what comes after it; False where nothing does."""
        self.played += 1
        if self._queue:
            self.switch(self._queue.pop(0))
            return True
        if not (self.looping or (self.current == 0 and self.played < self._loop)):
            return False
        last = self.reference
        self.reference = moves.joined(
            moves.held(last, last.num_frames - 1, 2), self._again, self._body, self._blend, self._dt
        )
        self.frame = 2
        return True

    def settle(self) -> None:
        """From the present frame into a pose in which the robot can stay, and stay there."""
        self._queue = []
        now, rest = self.reference, self._rest
        stays = rest is None or rest.may_stay(now, self.frame)
        if rest is None or (stays and self.ended):
            self.reference, self.frame = moves.held(now, self.frame, 2), 0
            return
        pose = moves.held(rest.pose, 0, self._settle + 2)
        self.reference = moves.crossed(
            now, self.frame, pose, self._body, self._settle, self._dt, meet=self._settle // 2
        )
        self.frame = 0

    @property
    def _part(self) -> int:
        """Number of the clip that is played, within the row too."""
        if self.current:
            return self.current
        # What comes before the row is what it was blended from.
        into = self.frame - (self.reference.num_frames - self._whole.num_frames)
        return int(np.searchsorted(self._ends, into, "right")) + 1
