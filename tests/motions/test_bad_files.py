"""Every unusable file gives one clear line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from motions import read_human_motion
from tests.motions.refusals import refusal

MakeBvh = Callable[..., Path]


def _edit(path: Path, change: Callable[[list[str]], list[str]]) -> Path:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    return path


def _frame_line(path: Path, frame: int) -> int:
    lines = path.read_text().splitlines()
    return next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1 + frame


def test_missing_empty_directory_binary(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.bvh")
    (tmp_path / "empty.bvh").write_text(" \n")
    assert "file is empty" in refusal(tmp_path / "empty.bvh")
    (tmp_path / "folder.bvh").mkdir()
    assert "not a directory" in refusal(tmp_path / "folder.bvh")
    (tmp_path / "binary.bvh").write_bytes(b"\x00\x01\x02 HIERARCHY")
    assert "binary" in refusal(tmp_path / "binary.bvh")
    (tmp_path / "text.bvh").write_text("dear diary\n")
    text = refusal(tmp_path / "text.bvh")
    assert "text.bvh:1: a BVH file begins with HIERARCHY (found 'dear diary')" in text


def test_unknown_extension_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "clip.doc").write_bytes(b"moov")
    assert re.search(
        r"found extension \.doc, expected \.amc, .*\.bvh", refusal(tmp_path / "clip.doc")
    )
    (tmp_path / "notes.txt").write_text("nothing")
    assert "holds no motion" in refusal(tmp_path / "notes.txt")


def test_truncated_bvh(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    short = _edit(path, lambda lines: lines[:-10])
    assert "found 30 complete frames, expected 40 as declared" in refusal(short)
    # Broken off in the middle of a line, as an interrupted download is.
    path = make_bvh()
    path.write_text(path.read_text()[:-400])
    assert re.search(r"truncated \(found 3\d complete frames, expected 40", refusal(path))
    path = make_bvh()
    _edit(path, lambda lines: lines[:30])
    assert "no MOTION section" in refusal(path)


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_not_finite_names_frame_and_channel(make_bvh: MakeBvh, bad: str) -> None:
    path = make_bvh()
    line = _frame_line(path, 7)

    def spoil(lines: list[str]) -> list[str]:
        words = lines[line].split()
        words[3 + 3 * 2 + 2] = bad  # root: 6 channels, then LeftUpLeg, then LeftLeg
        return [*lines[:line], " ".join(words), *lines[line + 1 :]]

    text = refusal(_edit(path, spoil))
    assert f"clip.bvh:{line + 1}:" in text
    assert f"found {bad} in frame 7, channel LeftLeg xrotation" in text


def test_wrong_channel_count_names_the_line(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    line = _frame_line(path, 7)
    _edit(path, lambda ls: [*ls[:line], ls[line] + " 1.0", *ls[line + 1 :]])
    text = refusal(path)
    assert f"clip.bvh:{line + 1}: wrong number of channel values in frame 7" in text
    assert "found 67, expected 66" in text
    _edit(path, lambda ls: [*ls[:line], "one" + ls[line][8:-4], *ls[line + 1 :]])
    assert f"clip.bvh:{line + 1}: a number is expected (found 'one')" in refusal(path)


def test_frame_rate_zero(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    line = _frame_line(path, 0) - 1
    _edit(path, lambda ls: [*ls[:line], "Frame Time: 0", *ls[line + 1 :]])
    assert "frame time must be positive (found 0 s)" in refusal(path)
    assert read_human_motion(path, fps=25).fps == 25
    assert "found 0" in refusal(path, fps=0)
    assert "found nan" in refusal(path, fps=float("nan"))


def test_one_frame_clip(make_bvh: MakeBvh) -> None:
    assert "at least two frames (found 1)" in refusal(make_bvh(frames=1))
    assert "at least two frames (found 0)" in refusal(make_bvh(frames=0))
    assert "after 40 were dropped" in refusal(make_bvh(), drop_first=40)


def test_duplicate_joint_names(make_bvh: MakeBvh) -> None:
    assert "found twice: LeftLeg" in refusal(make_bvh(rename={"RightLeg": "LeftLeg"}))


def test_unknown_skeleton_lists_its_joints(make_bvh: MakeBvh) -> None:
    path = make_bvh(rename={n: f"x{i}" for i, n in enumerate(("LeftLeg", "LeftFoot"))})
    text = refusal(path)
    assert "unknown skeleton, no joint is known for left_knee, left_ankle" in text
    assert "21 joints: Hips, LeftUpLeg, x0" in text
    assert "--skeleton-map left_knee=NAME" in text


def test_dog_named_like_a_person_is_refused(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    path.write_text(path.read_text().replace("OFFSET 0.000000 -42.0", "OFFSET 0.000000 -12.0"))
    assert "does not look like a person: left hip-knee is 43 long and knee-ankle 12" in refusal(
        path
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("JOINT Spine\n{", "JOINT Spine\n", r"bvh:\d+: a brace is expected after Spine"),
        ("CHANNELS 3 ", "CHANNELS 4 ", "CHANNELS must say how many names follow"),
        ("Yrotation", "Wrotation", "unknown channel .found Wrotation"),
        ("Frames: 40", "Frames: many", "a number of frames is expected"),
        ("Frames: 40\n", "", "no line 'Frames: N'"),
        ("MOTION", "JOINT", "a JOINT must stand inside another"),
        ("JOINT Spine\n", "ROOT Spine\n", "one ROOT is expected"),
    ],
)
def test_broken_hierarchy(make_bvh: MakeBvh, old: str, new: str, says: str) -> None:
    path = make_bvh()
    path.write_text(path.read_text().replace(old, new))
    assert re.search(says, refusal(path))


def test_braces_may_end_a_line(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    path.write_text(path.read_text().replace("\n{", " {"))
    assert len(read_human_motion(path).joint_names) == 21


def test_options_out_of_range(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    assert "unit must be positive" in refusal(path, unit=-1.0)
    assert "expected x, -y, y, z" in refusal(path, up="w")
    assert "cannot be negative" in refusal(path, drop_first=-1)


def test_deepmimic_that_is_no_motion(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text('{"Frames": [[0.1, 0.2]')
    assert "clip.json:1: not valid JSON" in refusal(path)
    path.write_text('{"Loop": "wrap"}')
    assert "list 'Frames'" in refusal(path)
    path.write_text('{"Frames": []}')
    assert "'Frames' is empty" in refusal(path)
