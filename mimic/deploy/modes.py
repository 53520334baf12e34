"""The modes of a deployed robot and which may follow which."""

from __future__ import annotations

from enum import IntEnum


class Mode(IntEnum):
    """What is being done with the robot."""

    DISCONNECTED = 0
    """Nothing was heard of it yet; nothing is sent."""
    PASSIVE = 1
    """Its motors damp and do nothing else."""
    STAND = 2
    """It goes from the pose it was found in to the standing pose, and holds that."""
    READY = 3
    """It goes to the clip's first frame, and holds that."""
    TRACK = 4
    """The policy tracks the clip."""
    HOLD = 5
    """The clip has ended: its last frame is held."""
    DAMPING = 6
    """Stopped: the motors damp until the operator resets."""


FOLLOWERS: dict[Mode, frozenset[Mode]] = {
    Mode.DISCONNECTED: frozenset({Mode.PASSIVE}),
    Mode.PASSIVE: frozenset({Mode.STAND}),
    Mode.STAND: frozenset({Mode.READY, Mode.PASSIVE}),
    Mode.READY: frozenset({Mode.TRACK, Mode.STAND, Mode.PASSIVE}),
    Mode.TRACK: frozenset({Mode.HOLD}),
    Mode.HOLD: frozenset({Mode.TRACK}),
    Mode.DAMPING: frozenset(),
}
"""What may follow each mode, besides `Mode.DAMPING`, which may follow every one."""
ACTIVE = frozenset({Mode.STAND, Mode.READY, Mode.TRACK, Mode.HOLD})
"""Modes in which the motors have stiffness."""


class ModeMachine:
    """The mode, and since when. Damping is left by `reset` alone."""

    def __init__(self) -> None:
        self.mode = Mode.DISCONNECTED
        self.since = 0.0

    def go(self, target: Mode, now: float) -> bool:
        """Change the mode at ``now`` s where that may be; whether it is ``target`` from now on."""
        if target == self.mode:
            return True
        if target != Mode.DAMPING and target not in FOLLOWERS[self.mode]:
            return False
        self.mode, self.since = target, now
        return True

    def reset(self, now: float) -> bool:
        """From damping to passive; False in every other mode."""
        if self.mode != Mode.DAMPING:
            return False
        self.mode, self.since = Mode.PASSIVE, now
        return True
