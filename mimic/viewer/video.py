"""Writing what was drawn: H.264 video and PNG pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic.errors import MimicError
from mimic.viewer.camera import View, heading, smooth_path
from mimic.viewer.painter import Painter, Pose, open_painter
from mimic.viewer.rollout import Rollout
from motions.files import atomic_path
from robots import Robot

Array = NDArray[Any]
SIZE = (960, 540)
FPS = 25.0
SUFFIXES = (".mp4", ".mov", ".mkv")


def write_video(path: Path | str, frames: Iterable[NDArray[np.uint8]], fps: float) -> int:
    """Encode RGB frames [height, width, 3] (even sizes) as H.264; returns how many.

    The file appears when it is complete.
    """
    import imageio_ffmpeg

    path = check_video_path(path)
    iterator = iter(frames)
    first = next(iterator)
    height, width = first.shape[:2]
    count = 0
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            # yuv420p and faststart: browsers play it while it loads.
            output_params=["-crf", "20", "-preset", "medium", "-movflags", "+faststart"],
        )
        writer.send(None)
        try:
            for frame in _chain(first, iterator):
                writer.send(np.ascontiguousarray(frame))
                count += 1
        finally:
            writer.close()
    return count


def check_video_path(path: Path | str) -> Path:
    """Refuse a name that no video can have, before anything is computed."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise MimicError(
            f"{path}: a video's name must end in {', '.join(SUFFIXES)} (found '{path.suffix}')"
        )
    return path


def write_picture(path: Path | str, image: NDArray[np.uint8]) -> None:
    """Write an RGB picture [height, width, 3] as PNG."""
    from matplotlib.image import imsave

    with atomic_path(path) as temporary:
        imsave(temporary, image, format="png")


def rollout_frames(
    painter: Painter, rollout: Rollout, *, fps: float = FPS, view: View | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Draw a rollout with its reference as a ghost, at ``fps`` frames of video per second."""
    view = view or View()
    path = smooth_path(rollout.qpos[:, :3], 1.0 / rollout.control_dt)
    towards = heading(rollout.reference_qpos[0, 3:7]) + view.azimuth
    last = len(rollout.qpos) - 1
    count = int(last * rollout.control_dt * fps) + 1
    for frame in range(count):
        at = min(round(frame / fps / rollout.control_dt), last)
        looking = View(
            lookat=(path[at, 0], path[at, 1], view.lookat[2]),
            distance=view.distance,
            azimuth=towards,
            elevation=view.elevation,
            fovy=view.fovy,
        )
        poses = [Pose(rollout.qpos[at]), Pose(rollout.reference_qpos[at], ghost=True)]
        yield painter.draw(
            poses,
            looking,
            title=f"{rollout.clip}   {at * rollout.control_dt:.1f} s",
            caption=f"key-body error {1e3 * rollout.key_body_error[at]:.0f} mm   (blue: reference)",
        )


def write_rollouts(
    path: Path | str,
    robot: Robot,
    rollouts: Iterable[Rollout],
    *,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
) -> int:
    """Write rollouts one after the other as one video; returns the number of frames."""
    check_video_path(path)
    with open_painter(robot, *size) as painter:
        frames = (f for rollout in rollouts for f in rollout_frames(painter, rollout, fps=fps))
        return write_video(path, frames, fps)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
