"""Clips that are not what their name, their axes or their size say."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from motions import read_human_motion
from motions.human.readers import is_human_clip
from motions.human.skeletons.layouts import BY_NAME
from tests.motions.people import walk
from tests.motions.refusals import refusal

MakeBvh = Callable[..., Path]


@pytest.mark.parametrize(
    "suffix", [".npz", ".npy", ".pkl", ".pt", ".c3d", ".fbx", ".amc", ".json", ""]
)
def test_content_decides(make_bvh: MakeBvh, suffix: str) -> None:
    path = make_bvh()
    named = path.rename(path.with_name(f"clip{suffix}"))
    assert read_human_motion(named).report["format"] == "bvh"
    if suffix:
        assert is_human_clip(named)


@pytest.mark.parametrize("suffix", [".bvh", ".c3d", ".txt", ".json", ".csv"])
def test_content_decides_for_arrays_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, walk(BY_NAME["lafan22"]))
    motion = read_human_motion(path.rename(tmp_path / f"clip{suffix}"), fps=30)
    assert motion.report["layout"] == "lafan22"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(make_bvh: MakeBvh, encoding: str) -> None:
    path = make_bvh()
    path.write_text(path.read_text(), encoding=encoding)
    assert read_human_motion(path).num_frames == 40


@pytest.mark.parametrize("name", ["robot.csv", "robot.txt", "robot"])
@pytest.mark.parametrize("heading", ["", "x,y,z,qx,qy,qz,qw,left_hip\n"])
def test_a_robots_table_is_sent_to_convert(tmp_path: Path, name: str, heading: str) -> None:
    path = tmp_path / name
    path.write_text(heading + "\n".join([",".join(["0.25"] * 36)] * 5))
    text = refusal(path)
    assert "table of numbers" in text and "mimic motions convert" in text


def _x_up(path: Path) -> Path:
    """The clip in a world turned about z by a quarter: what was up (y) is x."""
    from scipy.spatial.transform import Rotation

    quarter = Rotation.from_euler("z", -90, degrees=True)
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    for i in range(first, len(lines)):
        values = np.array(lines[i].split(), float)
        values[:3] = quarter.apply(values[:3])
        turned = quarter * Rotation.from_euler("ZYX", values[3:6], degrees=True)
        values[3:6] = turned.as_euler("ZYX", degrees=True)
        lines[i] = " ".join(f"{v:.6f}" for v in values)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_x_up_is_seen_and_said(make_bvh: MakeBvh) -> None:
    plain = read_human_motion(make_bvh())
    path = _x_up(make_bvh("turned.bvh"))
    motion = read_human_motion(path)
    assert motion.report["up"] == "x"
    assert "x is taken for up" in " ".join(motion.report["warnings"])
    np.testing.assert_allclose(motion.pos_w[..., 2], plain.pos_w[..., 2], atol=1e-5)
    steps = [
        np.linalg.norm(np.diff(m.role("pelvis")[:, :2], axis=0), axis=1) for m in (motion, plain)
    ]
    np.testing.assert_allclose(*steps, atol=1e-5)
    # A turn, not a mirror: joint frames still carry the bones, left is still left.
    assert motion.quat_w is not None and motion.report["handedness"] > 0.9
    assert {r: motion.joint_names[j] for r, j in motion.roles.items()} == {
        r: plain.joint_names[j] for r, j in plain.roles.items()
    }
    again = read_human_motion(path, up="x")
    assert not again.report["warnings"]
    np.testing.assert_array_equal(again.pos_w, motion.pos_w)


def test_a_size_that_nobody_has_is_refused(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    text = refusal(path, unit=1000.0)
    assert re.search(r"found 1\.7\de\+05 m tall with --unit 1000", text)
    assert "leave out --unit (0.01, cm, fits)" in text
    assert "0.0017" in refusal(path, unit=1e-5)
    assert "both set the person's size" in refusal(path, unit=0.01, height=1.7)


def test_height_sets_the_size_of_any_clip(make_bvh: MakeBvh) -> None:
    motion = read_human_motion(make_bvh(), height=1.5)
    assert motion.report["height_m"] == 1.5 and motion.height == pytest.approx(1.5, abs=1e-3)
    assert motion.report["unit_name"] == "1.5 m tall as given"


def test_joints_at_one_point(make_bvh: MakeBvh, tmp_path: Path) -> None:
    path = make_bvh()
    lines = path.read_text().replace("CHANNELS 3 ", "CHANNELS 6 Xposition Yposition Zposition ")
    head, _, motion = lines.partition("Frame Time")
    rows = motion.splitlines()
    zeros = " ".join(["0"] * (6 * 21))
    path.write_text(head + "\n".join(["Frame Time" + rows[0], *[zeros] * (len(rows) - 1)]))
    assert "all channel values are zero" in refusal(path)
    array = tmp_path / "empty.npy"
    np.save(array, np.zeros((0, 22, 3)))
    assert "the array is empty (found shape [0, 22, 3])" in refusal(array, fps=30)


def test_a_joint_that_cannot_be_told_from_its_parent(make_bvh: MakeBvh) -> None:
    path = make_bvh()
    path.write_text(
        path.read_text().replace("JOINT LeftHand\n{\nOFFSET 25.0", "JOINT LeftHand\n{\nOFFSET 0.0")
    )
    assert "found LeftHand stands where LeftForeArm does; 21 joints" in refusal(path)


def test_y_down_is_seen_and_said(tmp_path: Path) -> None:
    path, camera = tmp_path / "clip.npy", tmp_path / "camera.npy"
    pos = walk(BY_NAME["lafan22"])
    np.save(path, pos)
    np.save(camera, pos * np.array([1.0, -1.0, -1.0]))
    plain, motion = read_human_motion(path, fps=30), read_human_motion(camera, fps=30)
    assert motion.report["up"] == "-y"
    assert "y points down" in " ".join(motion.report["warnings"])
    np.testing.assert_allclose(motion.pos_w, plain.pos_w, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.transpose(0, 2, 1), "last two axes are the wrong way round"),
        (lambda p: p[:30].repeat(2, axis=0).transpose(1, 0, 2), "first two axes are the wrong way"),
        (lambda p: p.reshape(len(p), -1), "x y z of 22 joints, reshape it"),
        (lambda p: p[None], "take the first of the first axis"),
        (lambda p: p[..., :2], r"found shape \[40, 22, 2\]"),
    ],
)
def test_arrays_the_wrong_way_round(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    path = tmp_path / "clip.npy"
    np.save(path, change(walk(BY_NAME["lafan22"])))
    assert re.search(says, refusal(path, fps=30))


def test_an_array_that_lies_about_its_size(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 22, 3)}
    )
    path = tmp_path / "clip.npy"
    path.write_bytes(head.getvalue() + bytes(100))
    assert "not a readable NumPy array" in refusal(path, fps=30)


def test_parents_that_are_no_numbers(tmp_path: Path) -> None:
    pos = walk(BY_NAME["lafan22"])
    path = tmp_path / "clip.npz"
    names = [f"j{i}" for i in range(22)]
    np.savez(path, joint_positions=pos, joint_names=names, parents=np.full(22, np.nan))
    assert "every number of parents must be finite" in refusal(path, fps=30)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100000, "nesting of this JSON is above the limit 'depth'"),
        ('{"Frames":' + "[" * 100000, "nesting of this JSON is above the limit 'depth'"),
        (json.dumps({"Frames": [[[1.0]] * 44] * 3}), "something else than numbers"),
        (json.dumps({"Frames": [[10**400] * 44] * 3}), "something else than numbers"),
    ],
)
def test_json_that_is_no_motion(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "clip.json"
    path.write_text(text)
    assert says in refusal(path)
