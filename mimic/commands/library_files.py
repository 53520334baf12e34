"""What an evaluation of a library leaves in its folder: JSON, a page, videos of the worst clips."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic.evaluation.library import LibraryResult
from mimic.evaluation.measures import heading
from mimic_base.errors import UserError
from mimic_base.files import atomic_write_text
from mimic_base.text import file_name

if TYPE_CHECKING:
    from mimic.policy.observations import Reference

JSON_FILE, PAGE, VIDEOS = "evaluation.json", "index.html", "videos"
VIDEO_SIZE = (640, 360)
LONGEST_VIDEO_S = 20.0


def write_library(
    result: LibraryResult, folder: Path, videos: Sequence[dict[str, Any]] = ()
) -> None:
    """Write ``evaluation.json`` and ``index.html``; for the videos see ``worst_videos``."""
    from mimic.viewer.library_report import render_library

    data = result.to_dict()
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / JSON_FILE, json.dumps(data, indent=1, allow_nan=False) + "\n")
    headings = {name: heading(name) for name in result.protocol.errors}
    atomic_write_text(folder / PAGE, render_library(data, headings, videos))


def worst_videos(
    result: LibraryResult, folder: Path, count: int, said: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Play the worst clips once and write ``videos/NAME.mp4``; ``name``, ``outcome``, ``content``.

    Args:
        said: is told where there is no video, and why.
    """
    from mimic.viewer.rollout import roll_out
    from mimic.viewer.sources import find_playable
    from mimic.viewer.video import write_rollouts

    videos = []
    for row in result.clips[:count]:
        path = folder / VIDEOS / f"{file_name(row.summary.name)}.mp4"
        try:
            which: Any = row.file  # a path, of one clip of a pack too
            playable = find_playable(Path(result.policy), [which])
            [clip] = playable.clips
            rollout = roll_out(
                playable.player, _beginning(clip.reference, result.control_dt), playable.robot,
                clip=row.summary.name, scene=clip.scene,
            )  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            write_rollouts(path, playable.robot, [rollout], size=VIDEO_SIZE)
        except UserError as error:
            said(f"no video of {row.summary.name}: {error}")
            continue
        videos.append(
            {"name": row.summary.name, "outcome": rollout.summary(), "content": path.read_bytes()}
        )
    return videos


def _beginning(reference: Reference, control_dt: float) -> Reference:
    """The first seconds of a long reference."""
    most = round(LONGEST_VIDEO_S / control_dt)
    fields: dict[str, Any] = reference.frame_fields()
    return type(reference)(**{name: values[:most] for name, values in fields.items()})
