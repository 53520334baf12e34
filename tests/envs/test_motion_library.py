"""Clips on disk become tensors at the control rate, by name, or a one-line error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mimic.envs.motion_library import find_motion_files, load_library
from mimic_base.errors import MimicError, UserError
from motions import InputError, RobotMotion
from robots import Robot

FIELDS = ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w")


def one_line(error: BaseException, *parts: str) -> None:
    assert "\n" not in str(error)
    assert isinstance(error, UserError)
    for part in parts:
        assert part in str(error)


def test_key_bodies_and_joints_of_a_clip(g1: Robot, motion: RobotMotion) -> None:
    library = load_library([motion], g1, 50.0)
    assert library.num_clips == 1 and library.num_frames == motion.num_frames
    assert library.names == ("sway",) and library.source_fps == (50.0,)
    keys = [motion.body_names.index(name) for name in g1.key_bodies]
    np.testing.assert_allclose(library.joint_pos, motion.joint_pos, atol=1e-6)
    np.testing.assert_allclose(library.joint_vel, motion.joint_vel, atol=1e-5)
    for field in FIELDS[2:]:
        np.testing.assert_allclose(
            getattr(library, field), getattr(motion, field)[:, keys], atol=1e-5
        )
    assert library.joint_pos.dtype == torch.float32


def test_clips_lie_end_to_end(g1: Robot, motion: RobotMotion) -> None:
    clips = [motion, motion.crop(10, 40), motion.crop(0, 2)]
    library = load_library(clips, g1, 50.0)
    assert library.length.tolist() == [101, 30, 2]
    assert library.start.tolist() == [0, 101, 131]
    assert library.num_frames == 133
    np.testing.assert_allclose(library.joint_pos[101:131], motion.joint_pos[10:40], atol=1e-6)


def test_clips_are_resampled_to_the_control_rate(g1: Robot, make_motion) -> None:
    fine, coarse = make_motion(g1, fps=50.0), make_motion(g1, fps=25.0)
    library = load_library([coarse], g1, 50.0)
    assert library.fps == 50.0 and library.source_fps == (25.0,)
    assert library.num_frames == fine.num_frames
    np.testing.assert_allclose(library.joint_pos, fine.joint_pos, atol=2e-3)
    torch.testing.assert_close(library.body_quat_w.norm(dim=-1), torch.ones(101, 14))


def test_permuted_names_are_reordered(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    joints = tuple(reversed(motion.joint_names))
    bodies = (motion.body_names[0], *reversed(motion.body_names[1:]))
    permuted = motion.with_joint_order(joints).with_body_order(bodies)
    assert not np.allclose(permuted.joint_pos, motion.joint_pos)
    permuted.save(tmp_path / "permuted.npz")
    ours = load_library([tmp_path / "permuted.npz"], g1, 50.0)
    reference = load_library([motion], g1, 50.0)
    for field in FIELDS:
        torch.testing.assert_close(
            getattr(ours, field), getattr(reference, field), atol=1e-5, rtol=1e-5
        )


def test_hash_follows_the_content(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    motion.save(tmp_path / "a.npz")
    motion.save(tmp_path / "b.npz")
    motion.crop(0, 50).save(tmp_path / "c.npz")
    library = load_library([tmp_path / f"{n}.npz" for n in "abc"], g1, 50.0)
    assert library.hashes[0] == library.hashes[1] != library.hashes[2]


def test_folders_give_their_files_in_order(motion: RobotMotion, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        motion.save(tmp_path / f"{name}.npz")
    (tmp_path / "notes.txt").write_text("")
    files = find_motion_files([tmp_path, tmp_path / "b.npz"])
    assert [path.stem for path in files] == ["a", "b", "c", "b"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MimicError) as caught:
        find_motion_files([tmp_path / "absent.npz"])
    one_line(caught.value, "absent.npz", "does not exist", "python -m retarget")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(MimicError) as caught:
        find_motion_files([tmp_path])
    one_line(caught.value, str(tmp_path), "no .npz file")


def test_no_motion_at_all() -> None:
    with pytest.raises(MimicError) as caught:
        find_motion_files([])
    one_line(caught.value, "--motion")


def test_motion_of_another_robot(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    replace(motion, robot="unitree_h1").save(tmp_path / "other.npz")
    with pytest.raises(MimicError) as caught:
        load_library([tmp_path / "other.npz"], g1, 50.0)
    one_line(caught.value, "other.npz", "'unitree_h1'", "'unitree_g1'", "--robot unitree_g1")


def test_missing_body(g1: Robot, motion: RobotMotion, tmp_path: Path) -> None:
    kept = [name for name in motion.body_names if name != "torso_link"]
    motion.with_body_order(kept).save(tmp_path / "bodies.npz")
    with pytest.raises(MimicError) as caught:
        load_library([tmp_path / "bodies.npz"], g1, 50.0)
    one_line(caught.value, "bodies.npz", "torso_link")


@pytest.mark.parametrize("extra", [False, True])
def test_missing_or_foreign_joint(
    extra: bool, g1: Robot, motion: RobotMotion, tmp_path: Path
) -> None:
    columns = [*range(29), 0] if extra else list(range(28))
    cut = replace(
        motion,
        joint_names=(*motion.joint_names, "tail_joint") if extra else motion.joint_names[:-1],
        joint_pos=motion.joint_pos[:, columns],
        joint_vel=motion.joint_vel[:, columns],
    )
    cut.save(tmp_path / "joints.npz")
    with pytest.raises(MimicError) as caught:
        load_library([tmp_path / "joints.npz"], g1, 50.0)
    name = "tail_joint" if extra else motion.joint_names[-1]
    one_line(caught.value, name, "joints.npz", "--robot unitree_g1")


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_unreadable_file(content: bytes, g1: Robot, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises((MimicError, InputError)) as caught:
        load_library([tmp_path / "bad.npz"], g1, 50.0)
    one_line(caught.value, "bad.npz")
