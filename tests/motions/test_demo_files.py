from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.rotations import quat_conj, quat_log, quat_mul
from motions import InputError, read_human_motion
from motions.human import demo
from motions.human.writers import write_bvh


@pytest.mark.parametrize("name", demo.names())
def test_a_clip_survives_the_way_through_its_file(name: str, tmp_path: Path) -> None:
    made = demo.generate(name)
    read = read_human_motion(demo.write(name, tmp_path / f"{name}.bvh"))
    assert read.joint_names == made.joint_names
    assert read.parents == made.parents
    assert read.fps == pytest.approx(made.fps, rel=1e-4)
    assert dict(read.roles) == dict(made.roles)
    assert read.pos_w.shape == made.pos_w.shape
    np.testing.assert_allclose(read.pos_w, made.pos_w, atol=1e-6)
    assert made.quat_w is not None and read.quat_w is not None
    turned = quat_log(quat_mul(quat_conj(made.quat_w), read.quat_w))
    assert np.abs(turned).max() < 1e-5
    assert made.rest_pos is not None and read.rest_pos is not None
    np.testing.assert_allclose(read.rest_pos, made.rest_pos, atol=1e-6)


@pytest.mark.parametrize("order", ["XYZ", "ZYX", "YXZ"])
def test_any_channel_order_gives_the_same_motion(order: str, tmp_path: Path) -> None:
    made = demo.generate("wave").crop(0, 40)
    write_bvh(made, tmp_path / "wave.bvh", order=order)
    read = read_human_motion(tmp_path / "wave.bvh", drop_first=0)
    np.testing.assert_allclose(read.pos_w, made.pos_w, atol=1e-5)


def test_a_wrong_channel_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="XXZ"):
        write_bvh(demo.generate("wave"), tmp_path / "wave.bvh", order="XXZ")


def test_upright_joint_frames_are_written_as_they_stand(tmp_path: Path) -> None:
    """Frames that are the unit rotation in the z-up rest pose, not turned like a file's."""
    made = demo.generate("squat")
    assert made.quat_w is not None
    turn = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])
    upright = replace(made, quat_w=quat_mul(made.quat_w, quat_conj(turn)))
    write_bvh(upright, tmp_path / "squat.bvh")
    read = read_human_motion(tmp_path / "squat.bvh")
    np.testing.assert_allclose(read.pos_w, made.pos_w, atol=1e-6)
    assert made.rest_pos is not None and read.rest_pos is not None
    np.testing.assert_allclose(read.rest_pos, made.rest_pos, atol=1e-6)


def test_positions_alone_cannot_become_bvh(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="positions only"):
        write_bvh(replace(demo.generate("wave"), quat_w=None), tmp_path / "wave.bvh")
    assert not list(tmp_path.iterdir())


def test_a_bone_that_stretches_is_named(tmp_path: Path) -> None:
    made = demo.generate("wave")
    moved = made.pos_w.copy()
    moved[50:, made.joint_names.index("LeftHand"), 2] += 0.02
    with pytest.raises(InputError, match="LeftHand.*mm"):
        write_bvh(replace(made, pos_w=moved), tmp_path / "wave.bvh")


def test_all_clips_are_written_to_a_directory(tmp_path: Path) -> None:
    paths = demo.write_all(tmp_path / "clips")
    assert [path.stem for path in paths] == list(demo.names())
    assert all(path.read_text().startswith("HIERARCHY") for path in paths)


def test_the_module_writes_chosen_clips_and_refuses_others(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "motions.demo", "--out", str(tmp_path)]
    good = subprocess.run([*run, "squat"], capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["squat.bvh"]
    bad = subprocess.run([*run, "moonwalk"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert "moonwalk" in bad.stderr and "Traceback" not in bad.stderr
