"""Video files: a person's landmarks are estimated, then fitted as those of a file are."""

from __future__ import annotations

from pathlib import Path

from motions.human.readers.landmarks import read_landmarks
from motions.human.readers.raw import RawClip, ReadOptions
from motions.human.readers.reader import Reader


def read_video(path: Path, options: ReadOptions) -> RawClip:
    """A clip of the largest person in a video, see `motions.human.video.estimate`."""
    from motions.human.video.estimate import estimate

    return read_landmarks(path, estimate(path), options)


def _is_clip(_: Path) -> bool:
    """Videos in a folder are mostly those of results: one is read when it is named."""
    return False


READER = Reader(
    name="video",
    extensions=(".mp4", ".mov", ".avi", ".mkv", ".webm"),
    read=read_video,
    is_clip=_is_clip,
)
