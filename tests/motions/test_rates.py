"""Frame rates: one plausible range for every door, and what a slip looks like."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mimic_base.resample import (
    GREATEST_FPS,
    LEAST_FPS,
    check_fps,
    frames_between,
    resample_positions,
)
from motions import InputError, read_human_motion
from motions.__main__ import main as motions_main

MakeBvh = Callable[..., Path]


def _frame_time(path: Path, text: str) -> Path:
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Frame Time"))
    lines[at] = text
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("fps", [LEAST_FPS, 29.97, 240.0, 1 / 0.001, GREATEST_FPS])
def test_rates_of_recordings_pass(fps: float) -> None:
    assert check_fps(fps) == fps


@pytest.mark.parametrize("fps", [0.0, -30.0, 0.999, 1000.1, 1e9, float("nan"), float("inf")])
def test_other_rates_are_refused(fps: float) -> None:
    with pytest.raises(InputError, match="clip: the frame rate must be 1 to 1000 frames per sec"):
        check_fps(fps, "clip")
    with pytest.raises(InputError, match="1 to 1000"):
        resample_positions(100, 30.0, fps)


def test_seconds_for_frames_are_recognised() -> None:
    with pytest.raises(InputError, match=r"0\.04 s is a frame's duration: did you mean 25\?"):
        check_fps(0.04)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Frame Time: 0.000001", r"found 1e-06 s, which is 1e\+06 frames per second"),
        ("Frame Time: 30", r"looks like a rate: --source-fps 30, or write 0\.033333"),
        ("Frame Time: 1e9", "must be 0.001 to 1 s"),
        ("Frame Time: -0.03", "the frame time must be positive"),
        ("Frame Time: inf", "the frame time must be positive .found inf s"),
        ("", "MOTION has no line 'Frame Time: S'"),
    ],
)
def test_bvh_frame_times_that_nobody_means(make_bvh: MakeBvh, line: str, says: str) -> None:
    path = _frame_time(make_bvh(), line)
    began = time.perf_counter()
    with pytest.raises(InputError, match=says) as caught:
        read_human_motion(path)
    assert str(path) in str(caught.value)
    assert time.perf_counter() - began < 5.0
    assert read_human_motion(path, fps=30).fps == 30  # the line's own remedy


def test_option_is_named(make_bvh: MakeBvh) -> None:
    with pytest.raises(InputError, match="--source-fps: the frame rate must be 1 to 1000"):
        read_human_motion(make_bvh(), fps=1e9)


def test_deepmimic_frame_that_lasts_for_hours(tmp_path: Path) -> None:
    row = [0.033, 0, 0.9, 0, 1, 0, 0, 0, *[1, 0, 0, 0] * 2, *[0] * 28]
    for start in (16, 21, 25, 30, 35, 39):  # the quaternions of the limbs
        row[start] = 1
    rows = [list(row) for _ in range(6)]
    rows[2][0] = 1e9
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"Frames": rows}))
    with pytest.raises(InputError, match=r"lasts too long \(found 1e\+09 s in frame 2"):
        read_human_motion(path)
    path.write_text(json.dumps({"Frames": [[30.0, *r[1:]] for r in rows]}))
    with pytest.raises(InputError, match="looks like a rate"):
        read_human_motion(path)


@pytest.mark.parametrize("option", ["--source-fps", "--out-fps"])
def test_conversion_asks_no_absurd_rate(option: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{option}: the frame rate must be 1 to 1000"):
        motions_main(["convert", "clip.csv", "--out", str(tmp_path), option, "1e9"])


def test_times_become_frames() -> None:
    # 60 frames at 30 fps: the last lies at 1.967 s, and 60 / 30 = 2 s means it too.
    assert frames_between(60, 30.0, 0.0, None, "c") == (0, 60)
    assert frames_between(60, 30.0, 0.5, 1.0, "c") == (15, 31)
    for end in (59 / 30, 2.0, 2.01):
        assert frames_between(60, 30.0, 1.0, end, "c") == (30, 60)
    for start, end in ((0.0, 2.1), (1.0, 1.0), (-0.1, 1.0), (1.97, None), (np.nan, 1.0)):
        with pytest.raises(InputError, match="c: --start and --end must lie inside"):
            frames_between(60, 30.0, start, end, "c")
