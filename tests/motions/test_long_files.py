"""Text files of any length are read some lines at a time: the same clip, the same refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from motions import read_human_motion
from motions.human import demo
from motions.human.readers import bvh
from motions.human.readers.bvh import read_channels


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A demo clip of 60 frames as BVH."""
    head, _, rest = demo.write("squat", tmp_path / "squat.bvh").read_text().partition("MOTION")
    lines = rest.splitlines()
    lines[1] = "Frames: 60"
    return "\n".join([f"{head}MOTION", *lines[1:63]]) + "\n"


def written(folder: Path, text: str, name: str = "clip.bvh") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("lines", [1, 7, 59, 60, 61])
def test_lines_may_be_read_in_any_number(
    text: str, tmp_path: Path, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, text)
    whole = np.array([line.split() for line in text.splitlines()[-60:]], float)
    monkeypatch.setattr(bvh, "_LINES", lines)
    # Line by line is not how odd files are read: it must do alone.
    monkeypatch.setattr(bvh, "_parse_motion", None)
    np.testing.assert_array_equal(read_channels(path), whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("Frames:", "frames:").replace("Frame Time:", "FRAME TIME:"),
        lambda text: text.replace("Frames: 60", "  Frames:\t60 "),
        lambda text: text.replace("MOTION", "MOTION ", 1),
    ],
)  # fmt: skip
def test_the_same_clip_however_its_lines_end(change, text: str, tmp_path: Path) -> None:
    expected = read_human_motion(written(tmp_path, text))
    found = read_human_motion(written(tmp_path, change(text)))
    np.testing.assert_array_equal(found.pos_w, expected.pos_w)
    assert found.fps == expected.fps


def test_what_is_wrong_far_down_is_told_by_its_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bvh, "_LINES", 8)
    lines = text.splitlines()
    first = len(lines) - 60
    cases = {
        "nan": f"{first + 41}: every channel value must be finite",
        "x1": f"{first + 41}: a number is expected",
        "": f"{first + 41}: wrong number of channel values in frame 40",
    }
    for word, message in cases.items():
        words = lines[first + 40].split()
        changed = [*lines[: first + 40], " ".join([*words[:-1], word]), *lines[first + 41 :]]
        with pytest.raises(InputError, match=message):
            read_human_motion(written(tmp_path, "\n".join(changed)))
    with pytest.raises(InputError, match="the file is truncated"):
        read_human_motion(written(tmp_path, "\n".join(lines[:-3])))
    more = read_human_motion(written(tmp_path, "\n".join([*lines, *lines[-2:]])))
    assert "62 frames found, 60 declared" in more.report["warnings"][0]


def test_frames_that_are_only_declared_take_no_memory(text: str, tmp_path: Path) -> None:
    lying = text.replace("Frames: 60", "Frames: 999999999")
    with pytest.raises(InputError, match="truncated|--limit frames"):
        read_human_motion(written(tmp_path, lying))


def test_more_frames_than_the_limit_are_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMIC_LIMITS", "frames=59")
    with pytest.raises(InputError, match="frames=60"):
        read_human_motion(written(tmp_path, text))
