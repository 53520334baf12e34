"""Text files of any length are read some lines at a time: the same clip, the same refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from motions import read_human_motion
from motions.human import demo
from motions.human.readers import amc, bvh
from motions.human.readers.bvh import read_channels
from motions.robot.formats import content


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


# -- ASF/AMC and tables ---------------------------------------------------------------------------


def amc_pair(folder: Path, frames: int = 40) -> list[str]:
    """A skeleton beside the lines of a clip of it, six lines a frame."""
    bones = ("lfemur", "ltibia", "rfemur", "rtibia")
    data = "".join(
        f"  begin\n id {k} \n name {name}\n direction 0 -1 0\n length 7\n axis 0 0 0 XYZ\n"
        "  dof rx ry rz\n  end\n"
        for k, name in enumerate(bones)
    )
    (folder / "01.asf").write_text(
        ":units\n mass 1\n length 0.45\n angle deg\n:root\n order TX TY TZ RX RY RZ\n"
        " axis XYZ\n position 0 0 0\n orientation 0 0 0\n:bonedata\n" + data + ":hierarchy\n"
        " begin\n root lfemur rfemur\n lfemur ltibia\n rfemur rtibia\n end\n"
    )
    rng = np.random.default_rng(0)
    lines = ["#!a comment", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        values = [("root", rng.normal(size=6)), *((name, rng.normal(size=3)) for name in bones)]
        lines.append(f"{frame + 1}")
        lines += [" ".join([name, *(f"{v:.5f}" for v in row)]) for name, row in values]
    return lines


@pytest.mark.parametrize("together", [1, 7, 39, 40])
def test_frames_of_an_amc_are_read_some_at_a_time(
    together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "\n".join(amc_pair(tmp_path)), "01_01.amc")
    monkeypatch.setattr(amc, "_parse_plain", lambda *_: None)
    whole = amc.read_amc(path)
    monkeypatch.undo()
    monkeypatch.setattr(amc, "_TOGETHER", together)
    # The text as a whole is not needed.
    monkeypatch.setattr(amc, "read_text", None)
    for text in ("\n".join(amc_pair(tmp_path)), "\r\n".join(amc_pair(tmp_path)) + "\r\n"):
        found = amc.read_amc(written(tmp_path, text, "01_01.amc"))
        np.testing.assert_array_equal(found.pos, whole.pos)
        np.testing.assert_array_equal(found.quat, whole.quat)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (-1, None, "frame 39 is incomplete"),
        (-1, "rtibia 1 2", "wrong number of values for rtibia in frame 39"),
        (-1, "rtibia 1 2 nan", "every value must be finite"),
        (-1, "rtibia 1 2 x", "a number is expected"),
        (-2, "rfoot 1 2 3", "a frame number or a bone of the skeleton is expected"),
    ],
)
def test_what_is_wrong_with_an_amc_is_told_as_before(
    line: int, text: str | None, message: str, tmp_path: Path
) -> None:
    lines = amc_pair(tmp_path)
    lines[line : len(lines) + line + 1] = [] if text is None else [text]
    with pytest.raises(InputError, match=message):
        amc.read_amc(written(tmp_path, "\n".join(lines), "01_01.amc"))


def test_an_amc_of_another_make_is_the_same_clip(tmp_path: Path) -> None:
    lines = amc_pair(tmp_path)
    expected = amc.read_amc(written(tmp_path, "\n".join(lines), "01_01.amc"))
    swapped = [*lines[:10], lines[11], lines[10], *lines[12:]]
    for odd in ("\n\n".join(lines), "\n".join([*lines[:30], "# a comment", *lines[30:]]),
                "\ufeff" + "\n".join(lines), "\n".join(swapped)):  # fmt: skip
        found = amc.read_amc(written(tmp_path, odd, "01_01.amc"))
        np.testing.assert_array_equal(found.pos, expected.pos)


@pytest.mark.parametrize("lines", [1, 4, 5, 100])
@pytest.mark.parametrize("sep", [",", " ", ", ", "\t"])
def test_rows_of_a_table_are_read_some_at_a_time(
    lines: int, sep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_LINES", lines)
    table = np.random.default_rng(0).normal(size=(9, 8)).round(4)
    rows = [sep.join(map(str, row)) for row in table]
    for end in ("\n", "\r\n", "\n\n"):
        path = written(tmp_path, end.join(rows), "clip.csv")
        np.testing.assert_array_equal(content.read_table(path), table)
    for bad, message in (
        ("1,2,3", "line 7 is shorter or longer"), ("x", "line 7 holds something that is no number"),
        (rows[6].replace(sep, ";"), "separate the columns by commas"),
        (rows[6] + sep + "1", "found 9 columns, expected 8"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            content.read_table(
                written(tmp_path, "\n".join([*rows[:6], bad, *rows[7:]]), "clip.csv")
            )
    with pytest.raises(InputError, match="take a header line out"):
        content.read_table(written(tmp_path, "\n".join(["x,y", *rows]), "clip.csv"))


def test_a_table_above_a_limit_is_told_with_a_value_that_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_LINES", 2)
    path = written(tmp_path, (",".join("12345678") + "\n") * 9, "clip.csv")
    monkeypatch.setenv("MIMIC_LIMITS", "frames=3")
    with pytest.raises(InputError, match="found 9, .*--limit frames=9"):
        content.read_table(path)
    monkeypatch.setenv("MIMIC_LIMITS", "text=10")
    with pytest.raises(InputError, match="length of a line is above the limit 'text'"):
        content.read_table(path)
