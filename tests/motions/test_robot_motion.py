"""The robot motion file and what may be done with a motion."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.rotations import quat_exp
from motions import InputError, RobotMotion
from motions.robot.motion import SCHEMA

JOINTS = ("hip", "knee", "ankle")
BODIES = ("pelvis", "thigh", "shank", "foot")


def make_motion(frames: int = 31, fps: float = 30.0) -> RobotMotion:
    t = np.arange(frames) / fps
    joint_pos = np.stack([np.sin(t), t**2, -t], axis=1)
    body_pos = np.stack([np.stack([t, 0 * t + b, 0 * t], axis=1) for b in range(4)], axis=1)
    spin = np.stack([quat_exp(np.stack([0 * t, 0 * t, (1 + b) * t], axis=1)) for b in range(4)], 1)
    return RobotMotion.build(
        fps=fps,
        joint_pos=joint_pos,
        body_pos_w=body_pos,
        body_quat_w=spin,
        joint_names=JOINTS,
        body_names=BODIES,
        robot="unitree_x",
        contact=np.stack([t > 0.5, t < 0.5], axis=1),
        quality={"skate": 0.25},
        source="walk.bvh",
        licence="CC0",
        name="walk",
    )


def test_velocities_are_central_differences() -> None:
    motion = make_motion()
    step = 1 / 30
    np.testing.assert_allclose(motion.joint_vel[10, 1], 2 * 10 * step, rtol=1e-9)
    np.testing.assert_allclose(motion.joint_vel[0, 1], step, rtol=1e-9)  # one-sided at the end
    np.testing.assert_allclose(motion.body_lin_vel_w[:, 2], np.tile([1, 0, 0], (31, 1)), atol=1e-9)
    for body in range(4):
        expected = np.tile([0, 0, 1 + body], (31, 1))
        np.testing.assert_allclose(motion.body_ang_vel_w[:, body], expected, atol=1e-9)


def test_save_and_load(tmp_path: Path) -> None:
    motion = make_motion()
    path = tmp_path / "deep" / "walk.npz"
    motion.save(path)
    loaded = RobotMotion.load(path)
    for key in ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w", "contact"):
        np.testing.assert_allclose(getattr(loaded, key), getattr(motion, key), atol=1e-6)
    assert loaded.fps == 30 and loaded.robot == "unitree_x" and loaded.name == "walk"
    assert loaded.joint_names == JOINTS and loaded.body_names == BODIES
    assert loaded.quality == {"skate": 0.25}
    assert (loaded.source, loaded.licence) == ("walk.bvh", "CC0")
    with np.load(path, allow_pickle=False) as data:  # what BeyondMimic's loader reads
        assert data["fps"].shape == (1,) and str(data["schema"]) == SCHEMA
        assert data["body_ang_vel_w"].shape == (31, 4, 3)
    assert os.listdir(path.parent) == ["walk.npz"]


@pytest.mark.parametrize(
    ("fps", "new", "frames"),
    [(30, 50, 31), (30, 60, 31), (120, 50, 61), (60, 30, 31), (50, 30, 60), (25, 50, 3)],
)
def test_resampling_keeps_both_ends(fps: float, new: float, frames: int) -> None:
    motion = make_motion(frames, fps)
    other = motion.resample(new)
    assert other.fps == new
    # As many frames as cover the clip, the last one clamped to its end.
    assert other.num_frames == int(np.ceil(round(motion.duration * new, 6))) + 1
    for key in ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w", "contact"):
        np.testing.assert_allclose(getattr(other, key)[0], getattr(motion, key)[0], atol=1e-12)
        np.testing.assert_allclose(getattr(other, key)[-1], getattr(motion, key)[-1], atol=1e-12)
    time = np.minimum(np.arange(other.num_frames) / new, motion.duration)
    np.testing.assert_allclose(other.body_pos_w[:, 0, 0], time, atol=1e-9)
    # Slerp is exact for a steady turn.
    turn = quat_exp(np.stack([0 * time, 0 * time, 4 * time], axis=1))
    np.testing.assert_allclose(other.body_quat_w[:, 3], turn, atol=1e-9)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    motion = make_motion()
    assert motion.resample(30) is motion
    with pytest.raises(InputError, match="1 to 1000 frames per second .found 0"):
        motion.resample(0)


def test_crop() -> None:
    part = make_motion().crop(10, 20)
    assert part.num_frames == 10 and part.root_pos[0, 0] == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="at least two frames"):
        make_motion().crop(30, 40)


def test_permuted_joints_are_put_in_order_by_name() -> None:
    motion = make_motion()
    other = motion.with_joint_order(("ankle", "hip", "knee"))
    np.testing.assert_array_equal(other.joint_pos[:, 0], motion.joint_pos[:, 2])
    np.testing.assert_array_equal(other.with_joint_order(JOINTS).joint_vel, motion.joint_vel)


def test_joints_of_another_robot() -> None:
    motion = make_motion()
    with pytest.raises(InputError, match="lacks joint waist.*unitree_x"):
        motion.with_joint_order((*JOINTS, "waist"))
    with pytest.raises(InputError, match="has joint ankle that the robot lacks"):
        motion.with_joint_order(("hip", "knee"))


def test_bodies_may_be_selected() -> None:
    motion = make_motion().with_body_order(("pelvis", "foot"))
    assert motion.body_pos_w.shape == (31, 2, 3)
    np.testing.assert_allclose(motion.body_ang_vel_w[:, 1, 2], 4)
    with pytest.raises(InputError, match="lacks body head"):
        motion.with_body_order(("pelvis", "head"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fps": 0.0}, "fps.*1 to 1000.*found 0"),
        ({"fps": float("nan")}, "fps.*1 to 1000"),
        ({"joint_names": ("hip", "knee")}, r"joint_pos has the wrong shape \(found \[31, 3\]"),
        ({"joint_names": ("hip", "knee", "hip")}, "unique .found twice: hip"),
        ({"joint_vel": np.full((31, 3), np.nan)}, "joint_vel.*not finite .found frame 0"),
        ({"body_quat_w": np.ones((31, 4, 4))}, "unit quaternions.*length 2.0000 at frame 0"),
        ({"body_lin_vel_w": np.zeros((31, 4))}, "body_lin_vel_w has the wrong shape"),
    ],
)
def test_impossible_motions_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace(make_motion(), **changes)  # pyright: ignore[reportArgumentType]


def test_one_frame_is_no_motion() -> None:
    with pytest.raises(InputError, match="at least two frames .found 1"):
        make_motion(frames=1)


def _save_without(path: Path, *keys: str) -> Path:
    make_motion().save(path)
    with np.load(path) as data:
        arrays = {k: data[k] for k in data.files if k not in keys}
    np.savez(path, **arrays)
    return path


def test_unnamed_columns_are_refused_unless_named(tmp_path: Path) -> None:
    path = _save_without(tmp_path / "a.npz", "joint_names", "body_names", "robot", "schema")
    with pytest.raises(InputError, match="no joint_names.*any order.*joint_names=..., body_names="):
        RobotMotion.load(path)
    motion = RobotMotion.load(path, joint_names=JOINTS, body_names=BODIES, robot="mine")
    assert motion.robot == "mine" and motion.body_names == BODIES
    with pytest.raises(InputError, match=r"a\.npz: joint_pos has the wrong shape"):
        RobotMotion.load(path, joint_names=JOINTS[:2], body_names=BODIES)


def test_files_that_are_no_motion(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(InputError, match="no such file"):
        RobotMotion.load(path)
    path.touch()
    with pytest.raises(InputError, match="file is empty"):
        RobotMotion.load(path)
    path.write_bytes(b"something else entirely")
    with pytest.raises(InputError, match="not a readable motion file"):
        RobotMotion.load(path)
    make_motion().save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="not a readable motion file"):
        RobotMotion.load(path)
    with pytest.raises(InputError, match="not a directory"):
        RobotMotion.load(tmp_path)
    np.savez(path, joint_pos=np.zeros((3, 2)))
    with pytest.raises(InputError, match="it lacks fps, joint_vel.*found the arrays joint_pos"):
        RobotMotion.load(path)
    np.savez(path, joint_pos=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="pickle"):
        RobotMotion.load(path)
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "x.npy").rename(path)
    with pytest.raises(InputError, match="single array"):
        RobotMotion.load(path)


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(InputError, match=r"walk\.npz: cannot write: the disk is full"):
        make_motion().save(tmp_path / "walk.npz")
    assert os.listdir(tmp_path) == []
