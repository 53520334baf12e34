"""What the policy's loop tells the page in each control step: one row of fixed size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mimic.deploy.modes import Mode
from mimic.deploy.packing import TEXT, Rows
from mimic.deploy.pilot import Pilot
from mimic.deploy.timing import StageTimes

QUEUED = 8
"""Queued clips that are told; what is behind them is not."""
GHOST_MODES = (Mode.READY, Mode.TRACK, Mode.HOLD)
"""Modes in which the reference is where the robot is, or should be."""


@dataclass(frozen=True)
class SnapshotRows:
    """The layout of snapshots for a robot of so many joints and a loop of such stages."""

    joints: int
    stages: tuple[str, ...]

    @cached_property
    def layout(self) -> np.dtype:
        """``reference`` is the base's place (m), its orientation (wxyz) and the joints (rad, in
        the robot's order); ``last`` and ``most`` are s of each stage, in the last step and at
        most; ``report`` is what the guard told last (`mimic.deploy.packing.Rows.report`)."""
        stages = len(self.stages)
        return np.dtype(
            [
                ("mode", "u1"), ("in_mode", "<f8"), ("stop", f"S{TEXT}"),
                ("clip", "<i4"), ("frame", "<u4"), ("frames", "<u4"), ("looping", "u1"),
                ("queued", "<i4", QUEUED), ("ghost", "u1"), ("reference", "<f8", 7 + self.joints),
                ("up_b", "<f8", 3), ("steps", "<u4"), ("missed", "<u4"), ("overruns", "<u2"),
                ("last", "<f4", stages), ("most", "<f4", stages),
                ("report", Rows(self.joints).report),
            ]
        )  # fmt: skip

    def fill(
        self, row: Any, now: float, pilot: Pilot, up_b: Any, times: StageTimes, missed: int,
        overruns: int, report: Any,
    ) -> None:  # fmt: skip
        """Write a control step at ``now`` s into a row.

        Args:
            up_b: [3] against gravity in the reference's base, as the guard was told.
            missed: deadlines missed so far. overruns: of the last 50.
        """
        playlist, mode = pilot.playlist, pilot.mode
        row["mode"], row["in_mode"] = mode, now - pilot.machine.since
        row["stop"] = pilot.stop.encode()[:TEXT]
        row["clip"], row["frame"], row["frames"] = playlist.playing
        row["looping"] = playlist.looping
        queued = playlist.queued[:QUEUED]
        row["queued"] = 0
        row["queued"][: len(queued)] = queued
        row["ghost"] = mode in GHOST_MODES
        row["reference"] = pilot.reference_pose
        row["up_b"] = up_b
        row["steps"], row["missed"], row["overruns"] = times.steps, missed, overruns
        row["last"], row["most"] = times.last, times.most
        row["report"] = report
