"""Editing: what each operation keeps, and how continuous its seams are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic_base.errors import InputError
from mimic_base.rotations import quat_conj, quat_log, quat_mul, quat_of_yaw, yaw_of_quat
from motions.__main__ import main
from motions.robot.editing import (
    align,
    blend,
    crop,
    loop,
    mirror,
    ramp_in,
    ramp_out,
    stitch,
    time_scale,
)
from motions.robot.editing.joining import concatenate
from motions.robot.formats import RobotTrajectory, read_robot_trajectory
from motions.robot.formats.writers import write_robot_trajectory
from robots.robot import Robot

NAMES = ("left_hip", "right_hip", "waist", "left_knee", "right_knee")
TOY = """
<mujoco><compiler angle="radian"/><worldbody><body name="base" pos="0 0 1"><freejoint/>
  <geom size="0.1" mass="1"/>
  <body name="left_thigh" pos="0 0.1 0"><joint name="left_hip" axis="1 0 0"/>
    <geom size="0.05" mass="1"/></body>
  <body name="right_thigh" pos="0 -0.1 0"><joint name="right_hip" axis="1 0 0"/>
    <geom size="0.05" mass="1"/></body>
  <body name="chest" pos="0 0 0.2"><joint name="waist" axis="0 0 1"/>
    <geom size="0.05" mass="1"/></body>
  <body name="left_shin" pos="0 0.1 -0.4"><joint name="left_knee" axis="0 1 0"/>
    <geom size="0.05" mass="1"/></body>
  <body name="right_shin" pos="0 -0.1 -0.4"><joint name="right_knee" axis="0 1 0"/>
    <geom size="0.05" mass="1"/></body>
</body></worldbody></mujoco>
"""


def toy_robot() -> Robot:
    """Hips that roll, a waist that yaws, knees that pitch: signs -1, -1, -1, +1, +1."""
    model = mujoco.MjModel.from_xml_string(TOY)
    ones = np.ones(5)
    values = dict.fromkeys(
        ("kp", "kd", "effort_limit", "velocity_limit", "armature", "action_scale"), ones
    )
    values |= dict.fromkeys(("joint_lower", "soft_lower"), np.full(5, -0.6))
    values |= dict.fromkeys(("joint_upper", "soft_upper"), np.full(5, 0.62))
    return Robot(
        name="toy", title="toy", vendor_xml=Path("toy.xml"), model_source="", model=model,
        spec_factory=mujoco.MjSpec, vendor_factory=mujoco.MjSpec, joint_names=NAMES,
        body_names=("base", "left_thigh", "right_thigh", "chest", "left_shin", "right_shin"),
        default_joint_pos=np.array([0.1, -0.1, 0.0, 0.4, 0.4]), default_root_height=0.8,
        root_body="base", anchor_body="base", key_bodies=("base",), end_effectors=(),
        feet=("left_shin", "right_shin"), sole_points=(np.zeros((1, 3)), np.zeros((1, 3))),
        human_map={}, **values,
    )  # fmt: skip


ROBOT = toy_robot()


def motion(frames: int = 100, fps: float = 50.0, phase: float = 0.0, yaw: float = 0.0):
    time = np.arange(frames) / fps
    turn = yaw + 0.5 * time
    joints = 0.5 * np.sin(3 * time[:, None] + phase + np.arange(5))
    lean = np.stack([np.cos(0.1 * np.sin(time)), np.sin(0.1 * np.sin(time))], axis=1)
    quat = quat_mul(quat_of_yaw(turn), np.pad(lean, ((0, 0), (0, 2))))
    path = np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    pos = np.column_stack([path, 0.75 + 0.02 * np.sin(2 * time + phase)])
    return RobotTrajectory(
        fps=fps, root_pos=pos, root_quat=quat, joint_pos=joints, joint_names=NAMES, name="toy",
        contact=np.column_stack([np.linspace(0, 1, frames), np.zeros(frames)]),
    )  # fmt: skip


def coordinates(clip: RobotTrajectory) -> np.ndarray:
    """Position, joints [T, 3 + J]: what moves in a flat space."""
    return np.concatenate([clip.root_pos, clip.joint_pos], axis=1)


def speeds(clip: RobotTrajectory) -> np.ndarray:
    """Velocity of every coordinate between frames [T - 1, 6 + J], rotation included."""
    turn = quat_log(quat_mul(clip.root_quat[1:], quat_conj(clip.root_quat[:-1])))
    return np.concatenate([np.diff(coordinates(clip), axis=0), turn], axis=1) * clip.fps


def largest_acceleration(clip: RobotTrajectory) -> float:
    return float(np.abs(np.diff(speeds(clip), axis=0)).max() * clip.fps)


def test_crop_keeps_whole_frames_and_refuses_times_outside() -> None:
    clip = motion()
    part = crop(clip, 0.5, 1.0)
    assert part.num_frames == 26
    np.testing.assert_array_equal(part.joint_pos, clip.joint_pos[25:51])
    assert crop(clip, 0.0, None).num_frames == 100
    for start, end in [(-1.0, None), (0.0, 5.0), (1.0, 0.5), (float("nan"), None), (1.0, 1.0)]:
        with pytest.raises(InputError, match="inside the clip"):
            crop(clip, start, end)


def test_mirror_twice_is_the_identity_and_once_is_not() -> None:
    clip = motion(yaw=0.7)
    once = mirror(clip, ROBOT)
    twice = mirror(once, ROBOT)
    np.testing.assert_array_equal(twice.joint_pos, clip.joint_pos)
    np.testing.assert_array_equal(twice.root_pos, clip.root_pos)
    np.testing.assert_allclose(twice.root_quat, clip.root_quat, atol=1e-15)
    np.testing.assert_allclose(yaw_of_quat(once.root_quat), -yaw_of_quat(clip.root_quat))
    np.testing.assert_array_equal(once.joint_pos[:, 0], -clip.joint_pos[:, 1])
    assert once.contact is not None and clip.contact is not None
    np.testing.assert_array_equal(once.contact[:, 1], clip.contact[:, 0])


def test_mirror_without_a_partner_is_refused() -> None:
    clip = motion()
    lone = replace(clip, joint_pos=clip.joint_pos[:, :1], joint_names=NAMES[:1])
    with pytest.raises(InputError, match="left_hip has no mirror partner"):
        mirror(lone, ROBOT)


def test_time_scale_keeps_the_path() -> None:
    clip = motion(101)
    slow = time_scale(clip, 2.0)
    assert slow.duration == pytest.approx(2 * clip.duration) and slow.fps == clip.fps
    np.testing.assert_allclose(slow.joint_pos[::2], clip.joint_pos, atol=1e-12)
    assert np.abs(speeds(slow)).max() == pytest.approx(0.5 * np.abs(speeds(clip)).max(), rel=0.02)
    for factor in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="0.01 to 100"):
            time_scale(clip, factor)


def test_blend_is_a_mean_and_checks_its_weight() -> None:
    a, b = motion(), motion(phase=1.0)
    half = blend(a, b, 0.5)
    np.testing.assert_allclose(half.joint_pos, 0.5 * (a.joint_pos + b.joint_pos))
    np.testing.assert_allclose(blend(a, b, 1.0).root_quat, b.root_quat, atol=1e-12)
    with pytest.raises(InputError, match="between 0 and 1"):
        blend(a, b, 1.5)
    with pytest.raises(InputError, match="equal length"):
        blend(a, b.with_frames(0, 50), 0.5)


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.8])
def test_stitch_keeps_velocities_within_the_stated_bound(seconds: float) -> None:
    a, b = motion(), motion(phase=1.3, yaw=2.0)
    joined = stitch(a, b, seconds)
    overlap = round(seconds * 50) + 1
    assert joined.num_frames == 200 - overlap
    begin = 100 - overlap
    np.testing.assert_array_equal(joined.joint_pos[:begin], a.joint_pos[:begin])
    np.testing.assert_array_equal(joined.joint_pos[100:], b.joint_pos[overlap:])
    tail, head = a.with_frames(begin, 100), b.with_frames(0, overlap)
    gap = np.abs(tail.joint_pos - head.joint_pos).max()
    faster = np.abs(np.diff(tail.joint_pos - head.joint_pos, axis=0)).max() * 50
    own = max(np.abs(np.diff(c.joint_pos, n=2, axis=0)).max() * 2500 for c in (a, b))
    found = np.abs(np.diff(joined.joint_pos, n=2, axis=0)).max() * 2500
    assert found <= own + 5.78 * gap / seconds**2 + 3.75 * faster / seconds
    # Without the cross-fade the seam would be a step in one frame.
    step = np.abs(np.diff(joined.joint_pos, axis=0)).max()
    assert step < 0.5 * np.abs(a.joint_pos[-1] - b.joint_pos[0]).max()


def test_stitch_aligns_place_and_heading_but_not_height() -> None:
    a, b = motion(), motion(phase=1.3, yaw=2.0)
    joined = stitch(a, b, 0.4)
    # Both turn left on a circle: the joined path goes on around it.
    radius = np.linalg.norm(joined.root_pos[:, :2], axis=1)
    np.testing.assert_allclose(radius, 1.0, atol=0.01)
    np.testing.assert_allclose(joined.root_pos[100:, 2], b.root_pos[21:, 2])
    assert np.abs(speeds(joined)[:, -3:]).max() < 0.8


def test_stitch_resamples_and_refuses_what_does_not_fit() -> None:
    a = motion()
    joined = stitch(a, motion(60, fps=30.0), 0.2)
    assert joined.fps == 50.0
    with pytest.raises(InputError, match="shorter than the transition"):
        stitch(a, motion(10), 0.4)
    with pytest.raises(InputError, match="longer than 0 s"):
        stitch(a, a, 0.0)
    other = replace(a, joint_names=("a", "b", "c", "d", "e"))
    with pytest.raises(InputError, match="other joints"):
        stitch(a, other, 0.2)


def test_loop_ends_where_it_begins() -> None:
    clip = motion(120)
    ring = loop(clip, 0.4)
    assert ring.loop and ring.num_frames == 120 - 21 + 1
    np.testing.assert_allclose(ring.joint_pos[-1], ring.joint_pos[0], atol=1e-12)
    assert ring.root_pos[-1, 2] == pytest.approx(ring.root_pos[0, 2])
    last = ring.num_frames - 1
    rounds = concatenate([ring.with_frames(0, last), align(ring, ring, last)])
    # Played round and round it is as smooth as inside.
    assert largest_acceleration(rounds) < 1.05 * largest_acceleration(ring)
    with pytest.raises(InputError, match="too short to loop"):
        loop(motion(30), 0.4)


@pytest.mark.parametrize("ramp", [ramp_in, ramp_out])
def test_ramps_begin_at_rest_and_meet_the_clips_velocity(ramp) -> None:
    clip = motion()
    long = ramp(clip, ROBOT, 1.0)
    assert long.num_frames == 150
    if ramp is ramp_out:
        long, clip = (replace(c, root_pos=c.root_pos[::-1], root_quat=c.root_quat[::-1],
                              joint_pos=c.joint_pos[::-1]) for c in (long, clip))  # fmt: skip
    np.testing.assert_allclose(long.joint_pos[50:], clip.joint_pos)
    np.testing.assert_allclose(long.joint_pos[0], ROBOT.default_joint_pos)
    assert long.root_pos[0, 2] == pytest.approx(0.8)
    upright = quat_of_yaw(yaw_of_quat(long.root_quat[0]))
    np.testing.assert_allclose(np.abs(upright @ long.root_quat[0]), 1.0, atol=1e-12)
    speed = speeds(long)
    assert np.abs(speed[0]).max() < 0.05
    # At the seam the velocity changes by no more than the clip's own acceleration does in a frame.
    jump = np.abs(speed[50] - speed[49]).max()
    assert jump < 2 * largest_acceleration(clip) / 50
    assert (long.joint_pos <= ROBOT.joint_upper + 1e-12).all()
    assert (long.joint_pos >= ROBOT.joint_lower - 1e-12).all()


def test_every_edit_keeps_joint_limits() -> None:
    a, b = motion(), motion(phase=2.0)
    edits = [stitch(a, b, 0.4), loop(a, 0.3), blend(a, b, 0.3), mirror(a, ROBOT),
             time_scale(a, 0.7), ramp_in(ramp_out(a, ROBOT, 0.3), ROBOT, 0.3)]  # fmt: skip
    for clip in edits:
        assert np.abs(clip.joint_pos).max() <= 0.5 + 1e-9 or clip is edits[-1]
        assert (clip.joint_pos <= ROBOT.joint_upper).all()
        assert (clip.joint_pos >= ROBOT.joint_lower).all()


# -- the command -----------------------------------------------------------------------------


def test_edit_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "toy.npz"
    write_robot_trajectory(motion(), path, "trajectory")
    out = tmp_path / "out.npz"
    arguments = ["edit", str(path), "--start", "0.2", "--end", "1.2", "--join", str(path)]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "out.npz: 130 frames at 50 fps" in capsys.readouterr().out
    assert read_robot_trajectory(out).num_frames == 51 + 100 - 21


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--mirror"], "--robot NAME"),
        (["--ramp-in", "1"], "--robot NAME"),
        (["--to", "robot-motion"], "--robot NAME"),
        (["--to", "cake"], "--to names no format"),
        (["--ramp-out", "-1"], "--ramp-out|--robot NAME"),
        (["--start", "9"], "inside the clip"),
        (["--blend", "missing.npz"], "no such file"),
    ],
)
def test_edit_command_refuses(options: list[str], text: str, tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    write_robot_trajectory(motion(), path, "trajectory")
    out = tmp_path / "out.npz"
    with pytest.raises(InputError, match=text):
        main(["edit", str(path), "--out", str(out), *options])
    assert not out.exists()
