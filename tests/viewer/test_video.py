"""Videos are whole files that a player can read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest

import robots
from mimic.policy.player import PolicyPlayer
from mimic.viewer import video
from mimic.viewer.rollout import Rollout, roll_out
from mimic.viewer.stick import StickPainter
from mimic.viewer.video import jpeg, rollout_frames, write_picture, write_video
from mimic_base.errors import InputError, MimicError
from robots import Robot
from tests.conftest import SmallDisk
from tests.viewer.support import swaying_motion, write_policy


def frames(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """A bright bar that moves to the right."""
    images = np.zeros((count, height, width, 3), np.uint8)
    for k in range(count):
        images[k, :, 4 * k : 4 * k + 8] = 255
    return list(images)


def read_back(path: Path) -> tuple[dict, list[np.ndarray]]:
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return meta, [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader]


def test_a_video_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.mp4"
    assert write_video(path, frames(10), 12.5) == 10
    meta, images = read_back(path)
    assert meta["codec"] == "h264" and meta["pix_fmt"].startswith("yuv420p")
    assert meta["fps"] == pytest.approx(12.5)
    assert len(images) == 10
    assert images[7][20, 32].min() > 200 and images[7][20, 4].max() < 60
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("name", "size", "fps", "message"),
    [
        ("out.avi", (64, 48), 25, "must end in"),
        ("out", (64, 48), 25, "must end in"),
        ("out.mp4", (63, 48), 25, "must be even"),
        ("out.mp4", (64, 8), 25, "from 16 to"),
        ("out.mp4", (64, 48), 0, "1 to 240 frames per second"),
    ],
)
def test_an_impossible_video_leaves_nothing(tmp_path, name, size, fps, message) -> None:
    with pytest.raises(MimicError, match=message):
        write_video(tmp_path / name, frames(2, *size), fps)
    assert list(tmp_path.iterdir()) == []


def test_no_frames_or_a_broken_source_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="nothing to show"):
        write_video(tmp_path / "a.mp4", [], 25)

    def broken():
        yield frames(1)[0]
        raise RuntimeError("the painter failed")

    with pytest.raises(RuntimeError, match="the painter failed"):
        write_video(tmp_path / "b.mp4", broken(), 25)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_is_a_users_error(tmp_path: Path, monkeypatch) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\nhead -c 9 >/dev/null\necho 'No space left' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(script))
    with pytest.raises(MimicError, match="out.mp4: the video encoder failed: No space left"):
        write_video(tmp_path / "out" / "out.mp4", frames(50, 640, 480), 25)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture(scope="module")
def rollout(tmp_path_factory) -> Rollout:
    robot = robots.load("unitree_g1")
    motion = swaying_motion(robot, frames=16)
    player = PolicyPlayer(write_policy(tmp_path_factory.mktemp("p") / "policy.onnx", motion))
    return roll_out(player, player.reference(motion), robot, clip="sway")


def test_rollout_frames_keep_real_time(rollout: Rollout) -> None:
    with StickPainter(robots.load("unitree_g1"), 160, 90) as painter:
        images = list(rollout_frames(painter, rollout, fps=25.0))
    assert len(images) == int(rollout.duration * 25) + 1
    assert images[0].shape == (90, 160, 3)


def test_pictures_are_written(tmp_path: Path) -> None:
    image = frames(1)[0]
    write_picture(tmp_path / "a.png", image)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert jpeg(image).startswith(b"\xff\xd8")


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.png"])
def test_a_full_disk_is_told_and_nothing_stays(name: str, small_disk: SmallDisk) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 128, 128, 3)).astype(np.uint8)
    out = small_disk.be(16 << 10)

    def write() -> None:
        if name == "out.png":
            write_picture(out / name, noise[0])
        else:
            write_video(out / name, iter(noise), 25)

    with pytest.raises(InputError, match=f"{name}: cannot write: the disk is full"):
        write()
    assert list(out.iterdir()) == []
    small_disk.be(8 << 20)
    write()
    assert (out / name).stat().st_size > 16 << 10


def test_what_draws_ends_with_the_video(
    tmp_path: Path, tiny: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A painter that outlives its display ends the program with a complaint."""
    closed: list[bool] = []

    @contextmanager
    def painter(*_: object) -> Iterator[None]:
        try:
            yield
        finally:
            closed.append(True)

    def full(path: Path, frames: Iterator[object], fps: float) -> int:
        next(frames)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video, "open_painter", painter)
    monkeypatch.setattr(video, "rollout_frames", lambda *_, **__: iter([0, 1]))
    monkeypatch.setattr(video, "write_video", full)
    with pytest.raises(OSError, match="No space") as caught:
        video.write_rollouts(tmp_path / "out.mp4", tiny, [SimpleNamespace(scene=None)])  # type: ignore[list-item]
    assert closed and caught.value.errno == errno.ENOSPC
