"""Making a report's entries from motions and from a batch's records."""

from __future__ import annotations

from collections.abc import Sequence

from mimic_base.files import temporary_folder
from mimic_base.surface import Surface
from motions import HumanMotion, RobotMotion
from retarget.batch.record import Record
from retarget.page.curves import clip_curves, worst_moments
from retarget.page.page import ClipEntry
from retarget.page.picture import draw_clip
from retarget.page.table import detection_line
from robots.robot import Robot

EVEN_FRAMES = 4
"""Moments drawn besides the worst ones."""


def entry_of_clip(
    name: str,
    human: HumanMotion,
    motion: RobotMotion,
    robot: Robot,
    source_ground: Surface | None = None,
) -> ClipEntry:
    """The entry of a clip with curves, and pictures of its worst and of evenly spread moments.

    `source_ground` is what the person stood on, the floor without it.
    """
    curves = clip_curves(motion, robot, human.resample(motion.fps))
    moments = worst_moments(curves, robot.joint_names)
    last = motion.num_frames - 1
    spread = {round(last * k / (EVEN_FRAMES - 1)) for k in range(EVEN_FRAMES)}
    frames = sorted(spread | {moment.frame for moment in moments})
    with temporary_folder("mimic-picture") as folder:
        picture = folder / "clip.png"
        draw_clip(picture, human, motion, robot, frames=frames, source_ground=source_ground)
        data = picture.read_bytes()
    quality = motion.quality
    if curves.dynamics is not None:
        quality = {**quality, "dynamics": curves.dynamics.summary(robot.joint_names)}
    return ClipEntry(
        name=name,
        quality=quality,
        detected=detection_line(human),
        curves=curves,
        moments=moments,
        picture=data,
    )


def entries_of_records(records: Sequence[Record]) -> list[ClipEntry]:
    """Entries with figures only."""
    return [ClipEntry(name=r.name, quality=r.quality, error=r.error) for r in records]
