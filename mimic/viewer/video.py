"""Writing what was drawn: H.264 video and PNG pictures."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import groupby
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mimic.viewer.camera import View, heading, smooth_path
from mimic.viewer.painter import Painter, Pose, open_painter
from mimic.viewer.rollout import Rollout
from mimic_base.errors import MimicError
from mimic_base.files import atomic_path
from mimic_base.terrain import TerrainSurface
from robots import Robot

Array = NDArray[Any]
SIZE = (960, 540)
FPS = 25.0
MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
SUFFIXES = tuple(MUXERS)
MAX_WIDTH, MAX_HEIGHT = 3840, 2160


def write_video(path: Path | str, frames: Iterable[NDArray[np.uint8]], fps: float) -> int:
    """Encode RGB frames [height, width, 3] (even sizes) as H.264; returns how many.

    The file appears when it is complete.

    Raises:
        MimicError: no frames, an impossible size, or an encoder that cannot write.
    """
    path, count = Path(path), 0
    with atomic_path(path) as temporary, ExitStack() as stack:
        encoder = None
        for frame in frames:
            if encoder is None:
                height, width = frame.shape[:2]
                check_video(path, (width, height), fps)
                form = MUXERS[path.suffix.lower()]
                encoder = stack.enter_context(_encoder(temporary, form, width, height, fps))
                stdin = encoder.stdin
                assert stdin is not None
            try:
                stdin.write(np.ascontiguousarray(frame).data)
            except BrokenPipeError:
                break
            count += 1
        if encoder is None:
            raise MimicError(f"{path}: there is nothing to show, no video is written")
        _, complaints = encoder.communicate()
        if encoder.returncode != 0:
            raise _encoder_error(path, complaints.decode(errors="replace").strip().splitlines())
    return count


def _encoder(path: Path, form: str, width: int, height: int, fps: float) -> subprocess.Popen[bytes]:
    """ffmpeg, waiting for raw frames on its standard input."""
    return subprocess.Popen(
        [
            imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}",
            "-i", "-", "-an", "-c:v", "libx264", "-crf", "20", "-preset", "medium",
            # yuv420p and faststart: browsers play it, and while it loads.
            "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", form, str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def _encoder_error(path: Path, complaints: list[str]) -> Exception:
    """What the encoder's last words mean: a place that cannot be written, as other files tell it,
    or the words themselves."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        if any(os.strerror(number) in line for line in complaints):
            return OSError(number, os.strerror(number))
    last = complaints[-1] if complaints else "no reason given"
    return MimicError(f"{path}: the video encoder failed: {last}")


def check_video(path: Path, size: tuple[int, int], fps: float) -> None:
    """Refuse a name, size or rate that no video can have, before anything is computed."""
    if path.suffix.lower() not in SUFFIXES:
        raise MimicError(
            f"{path}: a video's name must end in {' or '.join(SUFFIXES)} (found '{path.suffix}')"
        )
    width, height = size
    if min(size) < 16 or width % 2 or height % 2 or width > MAX_WIDTH or height > MAX_HEIGHT:
        raise MimicError(
            f"{path}: width and height of a video must be even, from 16 to {MAX_WIDTH} x "
            f"{MAX_HEIGHT} pixels (found {width} x {height})"
        )
    if not 1 <= fps <= 240:
        raise MimicError(f"{path}: a video has 1 to 240 frames per second (found {fps:g})")


def check_picture(path: Path) -> None:
    """Refuse a picture's name that says another format."""
    if path.suffix.lower() != ".png":
        raise MimicError(f"{path}: a picture's name must end in .png (found '{path.suffix}')")


def write_picture(path: Path | str, image: NDArray[np.uint8]) -> None:
    """Write an RGB picture [height, width, 3] as PNG."""
    with atomic_path(path) as temporary:
        imsave(temporary, image, format="png")


def rollout_frames(
    painter: Painter, rollout: Rollout, *, fps: float = FPS, view: View | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Draw a rollout with its reference as a ghost, at ``fps`` frames of video per second."""
    view = view or View()
    path = camera_path(rollout, view.lookat[2])
    towards = heading(rollout.reference.root_quat_w[0]) + view.azimuth
    last = len(rollout.states) - 1
    count = int(last * rollout.control_dt * fps) + 1
    for frame in range(count):
        at = min(round(frame / fps / rollout.control_dt), last)
        looking = View(
            lookat=(path[at, 0], path[at, 1], path[at, 2]),
            distance=view.distance,
            azimuth=towards,
            elevation=view.elevation,
            fovy=view.fovy,
            reach=view.reach,
        )
        poses = [Pose(rollout.drawn(at)), Pose(rollout.drawn(at, reference=True), ghost=True)]
        yield painter.draw(
            poses,
            looking,
            title=f"{rollout.clip}   {at * rollout.control_dt:.1f} s",
            caption=f"key-body error {1e3 * rollout.key_body_error[at]:.0f} mm   (blue: reference)",
        )


def camera_path(rollout: Rollout, height: float) -> Array:
    """What the camera looks at, [T, 3] m: the base's smooth path, `height` over its ground."""
    path = smooth_path(rollout.states.root_pos_w, 1.0 / rollout.control_dt)
    path[:, 2] = height
    if rollout.scene is not None:
        surface = TerrainSurface(rollout.scene.terrain.parts())
        ground = surface.height(path[:, 0], path[:, 1])
        path[:, 2] += gaussian_filter1d(ground, 0.5 / rollout.control_dt, mode="nearest")
    return path


def write_rollouts(
    path: Path | str,
    robot: Robot,
    rollouts: Iterable[Rollout],
    *,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
) -> int:
    """Write rollouts one after the other as one video; returns the number of frames."""
    check_video(Path(path), size, fps)
    view = View.of_height(robot.default_root_height)

    def frames() -> Generator[NDArray[np.uint8], None, None]:
        for scene, same in groupby(rollouts, key=lambda rollout: rollout.scene):
            with open_painter(robot, *size, scene) as painter:
                for rollout in same:
                    yield from rollout_frames(painter, rollout, fps=fps, view=view)

    # Closed here, should the disk be full: a painter must go before the program's end.
    with closing(frames()) as drawn:
        return write_video(path, drawn, fps)


def jpeg(image: NDArray[np.uint8], quality: int = 88) -> bytes:
    """Encode an RGB picture [height, width, 3] for a web page."""
    buffer = io.BytesIO()
    imsave(buffer, image, format="jpg", pil_kwargs={"quality": quality, "optimize": True})
    return buffer.getvalue()
